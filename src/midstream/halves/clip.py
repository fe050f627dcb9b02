"""A network in two halves with a stream of frames between: images to units, units to detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from midstream.codec.clip_info import duration_of
from midstream.codec.clip_layout import ClipHeader, ClipUnit
from midstream.codec.clip_reader import ClipReader
from midstream.codec.clip_writer import ClipWriter
from midstream.codec.stream import StreamDecoder, StreamEncoder
from midstream.data.frames import Source
from midstream.errors import BitstreamError, InputError, MidstreamError
from midstream.halves.coding import ReadyFrame, prepared
from midstream.halves.levels import completed
from midstream.models import FloatPyramid, Image, Output, SplitModel
from midstream.wording import InARow

#: Grey levels of an image from which a network tells the shapes of its levels.
_GREY = 114
#: (height, width) that the back is given where a clip does not say how large its images were.
_UNKNOWN = (1, 1)


class ClipEdge:
    """The device's half: a network's front and a stream.

    >>> edge = ClipEdge(model, ms.StreamEncoder(profile=P, quality=60))
    >>> unit = edge.encode(image)
    """

    def __init__(self, model: SplitModel, encoder: StreamEncoder) -> None:
        """Refuses a codec that is for another network. Raises InputError."""
        encoder.codec.check_network(model.name, model.fingerprint)
        self.model, self.encoder = model, encoder
        self._size: tuple[int, int] | None = None

    def encode(self, image: Image, time_s: float | None = None) -> bytes:
        """The unit of the next image, uint8 RGB [H, W, 3]. Raises InputError as `StreamEncoder.encode`."""
        return self.encode_features(self.model.front(image), (image.shape[0], image.shape[1]), time_s)

    def encode_features(self, pyramid: FloatPyramid, size: tuple[int, int], time_s: float | None = None) -> bytes:
        """The unit of what the front made of an image of (height, width); a key where the size is another."""
        return self.code(ReadyFrame(*prepared(self.model, pyramid, size, self.encoder.codec), size), time_s)

    def code(self, frame: ReadyFrame, time_s: float | None = None) -> bytes:
        """The unit of a frame; a key where the image's size is another. Raises as `encode`."""
        if frame.size != self._size:
            self.encoder.request_key()
        self._size = frame.size
        return self.encoder.encode_levels(frame.levels, frame.hints, time_s)


class ClipBack:
    """The server's half: a stream and a network's back."""

    def __init__(self, model: SplitModel, decoder: StreamDecoder) -> None:
        self.model, self.decoder = model, decoder
        self._shapes: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {}

    def decode(self, unit: bytes, size: tuple[int, int]) -> Output:
        """What the network finds in a unit's image of (height, width).

        Raises:
            BitstreamError: as `StreamDecoder.decode`.
            InputError: features of another network, a profile that is missing, or what the network finds is no number.
        """
        return self.found(self.decode_features(unit, size), size)

    def found(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Output:
        """What the back makes of all its levels. Raises InputError where that is no number."""
        with np.errstate(all="ignore"):  # features may be as large as float32 goes; what comes of it is looked at
            found = self.model.back(pyramid, size)
        if not found.finite:
            raise InputError("from these features the network makes numbers that are not finite")
        return found

    def decode_features(self, unit: bytes, size: tuple[int, int]) -> FloatPyramid:
        """All levels that the back takes. Raises as `decode`."""
        received = {name: np.asarray(values, np.float32) for name, values in self.decoder.decode(unit).items()}
        expected = self._expected(size)
        sent = {name: shape for name, shape in expected.items() if name not in self.model.derived}
        if {name: values.shape for name, values in received.items()} != sent:
            got = ", ".join(f"{name} {list(values.shape)}" for name, values in received.items())
            takes = ", ".join(f"{name} {list(shape)}" for name, shape in sent.items())
            raise InputError(f"a unit has the levels {got}; {self.model.name} takes {takes} for such an image")
        return completed(self.model, received, list(expected))

    def _expected(self, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Shapes of all levels of an image of (height, width): the front tells them of a grey one."""
        worked = self.model.input_size(size)
        if worked not in self._shapes:
            pyramid = self.model.front_resized(np.full((*worked, 3), _GREY, np.uint8), worked)
            self._shapes[worked] = {name: values.shape for name, values in pyramid.items()}
        return self._shapes[worked]


@dataclass
class ClipTally:
    """What was done of a clip so far.

    Attributes:
        frames: coded.
        skipped: that could not be read or coded.
        keys: of those coded.
        bytes: of their units.
        duration_s: what `clip_info` says of the file.
    """

    frames: int = 0
    skipped: int = 0
    keys: int = 0
    bytes: int = 0
    duration_s: float = 0.0


def encode_clip(
    source: Source,
    edge: ClipEdge,
    writer: ClipWriter,
    tally: ClipTally,
    *,
    limit: int | None = None,
    skipped: Callable[[str], None] = lambda why: None,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Code a source's frames into the file of a clip, up to `limit` of them.

    Times are the source's own, from 0 on; files of a folder follow one another at its rate. A frame that cannot be read
    or coded is left out, and `skipped` is told which and why, once for several in a row. `tally` is kept up to date;
    `done` is called after each frame that was coded.

    Raises:
        InputError: the source fails, the first frame cannot be coded, or the file cannot be written.
    """
    first_s: float | None = None
    last_s = 0.0
    with InARow(skipped) as faults:
        for frame in source.frames():
            if frame.image is None:
                tally.skipped += 1
                faults.add(frame.number, frame.problem)
                continue
            taken_s = frame.number / source.rate if frame.time_s is None else frame.time_s
            first_s = taken_s if first_s is None else first_s
            last_s = max(taken_s - first_s, last_s)  # some sources have a time twice, or go back
            try:
                unit = edge.encode(frame.image, last_s)
            except InputError as error:
                if not tally.frames:
                    raise
                tally.skipped += 1
                faults.add(frame.number, str(error))
                continue
            faults.end()
            sent = edge.encoder.last
            assert sent is not None
            writer.write(unit, time_s=last_s, key=sent.key, size=(frame.image.shape[0], frame.image.shape[1]))
            tally.frames, tally.keys, tally.bytes = tally.frames + 1, tally.keys + sent.key, tally.bytes + len(unit)
            tally.duration_s = duration_of(tally.frames, 0.0, writer.last_s)
            done()
            if tally.frames == limit:
                break


def about_clip(edge: ClipEdge, source: Source) -> ClipHeader:
    """What the file of a clip says of all its frames."""
    about = ClipHeader(edge.model.name, edge.encoder.codec.profile_name)
    return about if source.tick_s is None else ClipHeader(about.network, about.profile, source.tick_s)


@dataclass(frozen=True)
class ClipFound:
    """A frame of a clip, and what the network finds in it; or why there is nothing."""

    unit: ClipUnit
    found: Output | None
    error: MidstreamError | None = None


def decode_clip(
    reader: ClipReader,
    back: ClipBack,
    start_s: float = 0.0,
    damaged: Callable[[BitstreamError], None] | None = None,
) -> Iterator[ClipFound]:
    """Run the back on a clip's frames from a time on. A unit that cannot be decoded costs nothing but its own frame.

    Args:
        reader: of the file.
        back: what decodes, which must not have decoded anything else.
        start_s: decoding begins at the last key before it, detections with the first frame that is not before it.
        damaged: see `ClipReader.units`.

    Raises:
        BitstreamError: as `ClipReader.units`.
        InputError: a unit of another network, or whose profile is not there.
    """
    for unit in reader.units(time_s=start_s, damaged=damaged):
        size = unit.size or _UNKNOWN
        try:
            pyramid = back.decode_features(unit.data, size)
        except BitstreamError as error:
            if unit.time_s >= start_s:
                yield ClipFound(unit, None, error)
            continue
        if unit.time_s < start_s:
            continue
        try:
            found = back.found(pyramid, size)
        except InputError as error:
            yield ClipFound(unit, None, error)
        else:
            yield ClipFound(unit, found)
