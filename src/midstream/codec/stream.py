"""`StreamEncoder` and `StreamDecoder`: frames one after another, with any codec, one unit a frame.

What a codec keeps of a stream is its own (`midstream.codec.sequence`); here is what all streams share: when a frame is
a key, and which decoder a unit is for.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.api import begin_unit, check_scores_are_used, guarded, prepared
from midstream.codec.base import NO_HINTS, Hints, in_words
from midstream.codec.laid_out import LaidOutFrame
from midstream.codec.rate_control import rate_control
from midstream.codec.registry import codec_numbered, make_codec
from midstream.codec.sequence import IndependentFrames, SequenceDecoder
from midstream.codec.wire import Reader, varint
from midstream.errors import BitstreamError, InputError, OptionError
from midstream.features import Level, check_pyramid

if TYPE_CHECKING:
    from midstream.codec.base import Codec
    from midstream.codec.calibrated.profile import Profile
    from midstream.limits import Limits

DEFAULT_STREAM_CODEC = "calibrated"
#: Frames from one key to the next, at most.
DEFAULT_KEY_INTERVAL = 64
#: Of frames: a year of 60 a second has fewer.
MOST_INTERVAL = 1 << 31
#: What a state begins with: the last byte is the version of its layout.
_STATE_MAGIC = b"MIDSTAT\x01"
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class SentUnit:
    """What became of a frame.

    Attributes:
        number: of the frame, from 0.
        key: whether a decoder can begin with it.
        size: bytes.
        step: index of the quantiser's step, where the stream chose it; None where the codec's options did.
        passes: how often it was coded until its size was right.
        quality: that the step comes nearest to, where the codec has such a scale.
    """

    number: int
    key: bool
    size: int
    step: int | None = None
    passes: int = 1
    quality: int | None = None


class StreamEncoder:
    """Codes the frames of one stream, one after another; one thread at a time may use it.

    >>> enc = ms.StreamEncoder(codec="calibrated", profile="M.profile", quality=60)
    >>> unit = enc.encode(pyramid)   # bytes of one frame

    Attributes:
        codec: with its options.
        frames: how many were coded; the next one has this number.
        last: what became of the newest frame; None before the first.
    """

    def __init__(
        self,
        codec: str | Codec = DEFAULT_STREAM_CODEC,
        *,
        key_interval: int | None = DEFAULT_KEY_INTERVAL,
        bitrate: float | str | None = None,
        fps: float | None = None,
        max_bytes: int | None = None,
        bucket_s: float | None = None,
        refresh_interval: int | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        """Begin a stream.

        Args:
            codec: a name with its `options`, or a `Codec` with its own, as `midstream.encode` takes them. One without
                memory codes each frame by itself, and all are keys.
            key_interval: a key follows after so many frames at most; None for none but the first, those asked for and
                cuts of scene.
            bitrate: instead of a quality, bits a second, as a number or as text such as 200kbit or 1.5Mbit. Needs
                `fps`, and a codec that has steps to choose from.
            fps: frames a second.
            max_bytes: a cap on the bytes of each unit; without `bitrate` it is filled, instead of a quality.
            bucket_s: the seconds that a receiver of this bit rate waits for a unit at most: what was sent of the stream
                up to any frame is beyond the bit rate by no more than it allows in this time. One second by default, or
                ten frames where they take longer.
            refresh_interval: each cell of a frame stands alone once in so many frames, besides keys, so that what a
                receiver has wrong does not last; None for keys alone. For codecs with memory.
            threads: how many to use at most, all cores by default; the bytes are the same for any number.
            options: of the codec.

        Raises:
            InputError: an option that cannot be used.
        """
        _check_interval("key_interval", key_interval)
        _check_interval("refresh_interval", refresh_interval)
        self.codec = make_codec(codec, options)
        self._control = rate_control(self.codec, bitrate, fps, max_bytes, bucket_s, key_interval)
        self.frames = 0
        self.last: SentUnit | None = None
        self._threads = threads
        self._interval = key_interval
        self._since_key = 0
        self._key_asked = True
        self._layout: list[tuple[str, tuple[int, int, int], str]] = []
        with guarded(type(self.codec)):
            self._sequence = self.codec.sequence()
            self._sequence.refresh_interval = refresh_interval

    def encode(
        self,
        pyramid: Mapping[str, Any],
        *,
        scores: NDArray[np.floating[Any]] | None = None,
        time_s: float | None = None,
    ) -> bytes:
        """The unit of the next frame.

        Args:
            pyramid: as `midstream.encode` takes it.
            scores: as `midstream.encode` takes them.
            time_s: when the frame is, in seconds since the first, where frames do not come at `fps`; for `bitrate`.

        Raises:
            InputError: as `midstream.encode`, and a frame that takes more than `max_bytes` or the bucket of `bitrate`
                has room for, however coarse it is. The stream is as it was: the next frame takes the place of this
                one, and only the bucket's time has gone on.
        """
        check_scores_are_used(self.codec, scores)
        return self.encode_levels(check_pyramid(pyramid), Hints(scores), time_s)

    def encode_levels(self, levels: Sequence[Level], hints: Hints = NO_HINTS, time_s: float | None = None) -> bytes:
        """`encode` of what is checked already. Raises as it does; CodecError for another package's codec that fails."""
        hints, layouts = prepared(self.codec, levels, hints)
        layout = [(level.name, level.shape, level.dtype) for level in levels]
        due = self._interval is not None and self._since_key >= self._interval
        asked = self._key_asked or due or layout != self._layout
        if self.frames or time_s is not None:
            self._control.wait(time_s)
        with guarded(type(self.codec)):
            frame = self._sequence.frame(levels, hints, asked, self._threads)
            frame = LaidOutFrame(frame, layouts) if layouts else frame
            since = 0 if frame.key else self._since_key
            until = None if self._interval is None else self._interval - since
            fitted = self._control.unit(frame, until)
            if not isinstance(fitted.unit, bytes):
                raise TypeError(f"it encodes to {type(fitted.unit).__name__}, not bytes")
            frame.keep(fitted.unit)
        self._control.sent(fitted, frame.key, asked)
        self._since_key, self._layout = since + 1, layout
        self._key_asked = self._key_asked and not frame.key
        quality = None if fitted.step is None else self.codec.quality_of(fitted.step)
        self.last = SentUnit(self.frames, frame.key, len(fitted.unit), fitted.step, fitted.passes, quality)
        self.frames += 1
        return fitted.unit

    @property
    def remembers(self) -> bool:
        """Whether frames may refer to those before them; else the codec codes each by itself, for any decoder."""
        return not isinstance(self._sequence, IndependentFrames)

    def request_key(self) -> None:
        """Make the next unit a key."""
        self._key_asked = True

    @property
    def bitrate(self) -> float | None:
        """Bits a second that the stream is coded at; None where a quality or a cap decides."""
        return self._control.bitrate

    def set_bitrate(self, bitrate: float | str) -> None:
        """Go on at another bit rate from the next frame on, as a link asks for it.

        The bucket stays as full as it is, in seconds: the step follows at once where the rate falls, within some frames
        where it rises, and no frame is refused for the change alone. What the bucket promises holds for each rate from
        its own first frame on; what was sent before it and has not arrived is the caller's to know.

        Args:
            bitrate: as the stream was begun with.

        Raises:
            InputError: no rate, or a stream that has none.
        """
        self._control.set_bitrate(bitrate)

    def acknowledge(self, frame: int) -> None:
        """Say that the receiver has decoded the frame of this number. Raises InputError for one that was not coded."""
        self._sequence.acknowledge(self._known(frame))

    def lost(self, frame: int) -> None:
        """Say that the receiver lacks the frame of this number: nothing later refers to it. Raises InputError."""
        self._sequence.lost(self._known(frame))

    def _known(self, frame: int) -> int:
        if isinstance(frame, bool) or not isinstance(frame, int) or not 0 <= frame < self.frames:
            raise InputError(f"the stream has {self.frames} frames, counted from 0: there is no frame {frame!r}")
        return frame


def _check_interval(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_INTERVAL:
        shown = in_words(value)
        raise OptionError(f"`{name}` is a whole number, 1 or more, or None for no limit, not {shown}")


class StreamDecoder:
    """Decodes the units of one stream.

    >>> dec = ms.StreamDecoder(profile="M.profile")
    >>> back = dec.decode(unit)

    The number in a unit says which codec it is of. A unit that raises leaves the decoder as it was.
    """

    def __init__(
        self,
        profile: Profile | str | Path | None = None,
        *,
        limits: Limits | None = None,
        threads: int | None = None,
        kept_frames: int | None = None,
    ) -> None:
        """Begin with nothing: the first unit has to be a key.

        Args:
            profile: for units of a codec that needs one, the one that they were made with, or its file, read now.
            limits: what a unit may spend (Limits() by default).
            threads: how many to use at most, all cores by default.
            kept_frames: how many frames to keep for later ones to refer to, 1 at least; by default as many as a unit
                may refer back to. One is enough where nothing is lost on the way.

        Raises:
            InputError: no profile.
        """
        _check_interval("kept_frames", kept_frames)
        if profile is not None:
            from midstream.codec.calibrated.profile import Profile

            profile = Profile.of(profile)
        self._profile, self._limits, self._threads, self._kept_frames = profile, limits, threads, kept_frames
        self._sequences: dict[int, SequenceDecoder] = {}

    def decode(
        self,
        unit: bytes | bytearray | memoryview,
        *,
        levels: Sequence[str] | None = None,
        like: Literal["numpy", "torch"] = "numpy",
        device: object = None,
        limits: Limits | None = None,
    ) -> dict[str, Any]:
        """The pyramid of a unit.

        Args:
            unit: as `StreamEncoder.encode` gave it.
            levels, like, device, limits: as `midstream.decode`; `limits` for this unit alone.

        Returns:
            Level name -> array [C, H, W], as `midstream.decode`.

        Raises:
            MissingReferenceError: it refers to a frame that was not decoded here: wait for a key, or ask for one.
            TruncatedError, CorruptError, UnsupportedError, LimitError, InputError: as `midstream.decode`.
        """

        def by_sequence(number: int) -> SequenceDecoder:
            if number not in self._sequences:
                self._sequences[number] = self._begun(number)
            return self._sequences[number]

        chosen = limits or self._limits
        return begin_unit(unit, by_sequence, levels, like, chosen, False, self._profile, self._threads, device)()

    def _begun(self, number: int) -> SequenceDecoder:
        sequence = codec_numbered(number).decoder_numbered(number).sequence()
        sequence.kept_frames = self._kept_frames
        return sequence

    @property
    def size(self) -> int:
        """Bytes of memory that what is kept for later units takes, about; 0 before the first one of them."""
        return sum(sequence.size for sequence in self._sequences.values())

    def state(self) -> bytes:
        """All that later units may refer to, for `restore` in this process or another one."""
        kept = {number: sequence.state() for number, sequence in sorted(self._sequences.items())}
        parts = [bytes([number]) + varint(len(state)) + state for number, state in kept.items() if state]
        body = b"".join([_STATE_MAGIC, *parts])
        return body + _CRC.pack(_native.crc32c(body))

    def restore(self, state: bytes) -> None:
        """Go on from what `state` gave, whatever was decoded since. Raises InputError for anything else."""
        restored: dict[int, SequenceDecoder] = {}
        for number, kept in _states(state):
            try:
                restored[number] = self._begun(number)
            except BitstreamError as error:
                raise InputError(f"the state is of another release: {error}") from error
            restored[number].restore(kept)
        self._sequences = restored


def _states(state: object) -> list[tuple[int, bytes]]:
    """(Number of a codec, its state) of each. Raises InputError."""
    if not isinstance(state, bytes):
        raise InputError(f"a state is bytes, not {type(state).__name__}")
    body, checksum = state[: -_CRC.size], state[-_CRC.size :]
    if not body.startswith(_STATE_MAGIC):
        raise InputError("this is no state of a StreamDecoder, or one of another release")
    if checksum != _CRC.pack(_native.crc32c(body)):
        raise InputError("the state of the StreamDecoder is damaged: its checksum is wrong")
    out = []
    reader = Reader(memoryview(body)[len(_STATE_MAGIC) :], "state")
    try:
        while reader.left:
            out.append((reader.u8(), reader.take(reader.varint())))
    except BitstreamError as error:
        raise InputError(f"this is no state of a StreamDecoder: {error}") from error
    return out
