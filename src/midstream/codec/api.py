"""`encode`, `decode`, `inspect`, `declaration`: for every codec, by its name and by the number in the bitstream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from midstream.codec.base import Codec, Declaration, Decoder, DecodeRequest, Hints, StreamInfo
from midstream.codec.container import Opened, as_bytes
from midstream.codec.laid_out import (
    arrays_of,
    check_layouts,
    layout_bytes,
    layouts_of,
    levels_named,
    open_bitstream,
    with_layouts,
    without_layouts,
)
from midstream.codec.registry import FIRST_FOREIGN, codec_numbered, make_codec
from midstream.codec.sequence import SequenceDecoder
from midstream.errors import CodecError, InputError, MidstreamError, MissingReferenceError, OptionError, unknown
from midstream.features import INTEGERS, Level, check_pyramid, is_torch, to_torch, torch_device, works_on
from midstream.layout import Layout
from midstream.limits import Limits

if TYPE_CHECKING:
    from midstream.codec.calibrated.profile import Profile

DEFAULT_CODEC = "paper"
_LIKE = ("numpy", "torch")


def encode(
    pyramid: Mapping[str, Any],
    codec: str | Codec = DEFAULT_CODEC,
    *,
    scores: NDArray[np.floating[Any]] | None = None,
    threads: int | None = None,
    **options: Any,
) -> bytes:
    """Code a feature pyramid into a bitstream (docs/format.md).

    Args:
        pyramid: level name -> numpy array or torch tensor [C, H, W] of float32, float16, bfloat16 or, of `paper` and
            without loss, int8 or uint8, finest first; an array of other axes, such as tokens, as `midstream.Tensor`.
        codec: a name with its `options`, or a `Codec` with its own: `paper`, the representation of the founding paper
            (docs/method.md), self-contained, with the options of `midstream.Paper`; `calibrated`, fitted to one network
            and far smaller, with those of `midstream.Calibrated`.
        scores: a hint for `calibrated`: [height, width] of the profile's grid of cells, 0 to 1, the highest score that
            the network gives in each, or [layers, height, width] with a map of each layer (`Profile.layers`), coarsest
            first: of the levels in `Profile.about.map_levels`; without it the profile's probe guesses them.
        threads: how many to use at most, all cores by default; the bytes are the same for any number.
        options: of the codec.

    Returns:
        The bitstream.

    Raises:
        InputError: an unusable option, a level that is not [C, H, W] of a known type or not the profile's, a NaN or an
            infinity, a cap that is below what is possible.
    """
    chosen = make_codec(codec, options)
    check_scores_are_used(chosen, scores)
    return encode_levels(chosen, check_pyramid(pyramid), Hints(scores), threads)


def check_scores_are_used(codec: Codec, scores: object) -> None:
    """Refuse scores for a codec without a use for them. Raises InputError."""
    if scores is not None and type(codec).importance_grid is Codec.importance_grid:
        raise OptionError(f"the codec {codec.name} makes no use of `scores`: leave them out")


def encode_levels(codec: Codec, levels: Sequence[Level], hints: Hints, threads: int | None) -> bytes:
    """`encode` of what is checked already. Raises as it does; CodecError for a codec of another package that fails."""
    hints, layouts = prepared(codec, levels, hints)
    with guarded(type(codec)):
        data = codec.encode(levels, hints, threads)
        if not isinstance(data, bytes):
            raise TypeError(f"it encodes to {type(data).__name__}, not bytes")
        return with_layouts(data, layouts)


def prepared(codec: Codec, levels: Sequence[Level], hints: Hints) -> tuple[Hints, tuple[Layout, ...]]:
    """What a codec is told, and the layouts that its bitstream is given. Raises InputError: integers are not for it."""
    whole = [level for level in levels if level.dtype in INTEGERS]
    if whole and not codec.capabilities.integers:
        raise InputError(
            f"level '{whole[0].name}' is {whole[0].dtype}, which the codec {codec.name} does not code: take paper, "
            "which codes it without loss, or convert it to float32"
        )
    layouts = layouts_of(levels)
    return replace(hints, beside=len(layout_bytes(layouts))) if layouts else hints, layouts


@contextmanager
def guarded(codec: type[Codec]) -> Iterator[None]:
    """What goes wrong in somebody else's package is no traceback of ours, and no exit."""
    try:
        yield
    except MidstreamError:
        raise
    except (Exception, SystemExit) as error:
        if codec.number < FIRST_FOREIGN:
            raise
        raise CodecError(f"the codec {codec.name} failed: {type(error).__name__}: {error}") from error


def decode(
    data: bytes | bytearray | memoryview,
    *,
    levels: Sequence[str] | None = None,
    like: Literal["numpy", "torch"] = "numpy",
    device: object = None,
    limits: Limits | None = None,
    partial: bool = False,
    profile: Profile | str | Path | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Reconstruct a pyramid from a bitstream.

    Args:
        data: the whole bitstream.
        levels: names of the levels, or arrays, to decode; of `paper` only their chunks are read. All by default.
        like: `numpy` arrays or `torch` tensors.
        device: of the tensors, a `torch.device` or the name of one; the CPU by default. On a CUDA device they are made
            there, and only symbols or coefficients cross the bus (docs/devices.md).
        limits: what may be spent (Limits() by default).
        partial: of a bitstream whose end is missing, decode the levels that are whole: `paper` holds them coarse to
            fine, `calibrated` has one chunk for all.
        profile: for a `calibrated` bitstream that does not hold its own: the one that it was made with, or its file.
        threads: how many to use at most, all cores by default.

    Returns:
        Level name -> array [C, H, W] with the names, shapes and element types that went in, in the same order
        (`calibrated`: in the profile's). What went in as a `midstream.Tensor` has its own shape again.

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: a bitstream that is unusable by itself.
        MissingReferenceError: a unit of a stream (StreamDecoder) that refers to an earlier one.
        InputError: a level that the bitstream does not have; no profile, or another one, where one is needed.
    """
    return begin_decoding(data, levels, like, limits, partial, profile, threads, device)()


def begin_decoding(
    data: bytes | bytearray | memoryview,
    levels: Sequence[str] | None,
    like: str,
    limits: Limits | None,
    partial: bool,
    profile: Profile | str | Path | None,
    threads: int | None,
    device: object,
) -> Callable[[], dict[str, Any]]:
    """`decode` in two: what is returned does what is left to do on the device. Both raise as it does."""

    def by_number(number: int) -> Decoder:
        return codec_numbered(number).decoder_numbered(number)

    try:
        return begin_unit(data, by_number, levels, like, limits, partial, profile, threads, device)
    except MissingReferenceError as error:
        raise MissingReferenceError(
            "this is a unit of a stream, and no key: it refers to an earlier one; decode the units in their order with "
            "midstream.StreamDecoder"
        ) from error


def begin_unit(
    data: bytes | bytearray | memoryview,
    decoder: Callable[[int], Decoder | SequenceDecoder],
    levels: Sequence[str] | None,
    like: str,
    limits: Limits | None,
    partial: bool,
    profile: Profile | str | Path | None,
    threads: int | None,
    device: object = None,
) -> Callable[[], dict[str, Any]]:
    """`decode` with what `decoder` gives for the number of a codec, in two: what is returned works on the device.

    Both raise as it does.
    """
    if like not in _LIKE:
        raise unknown("value of like", str(like), _LIKE)
    if device is not None and like != "torch":
        raise InputError("device is where torch tensors are made: it goes with like='torch'")
    place = None if device is None else torch_device(device)
    if isinstance(levels, str) or not isinstance(levels, Iterable | None):
        raise InputError(f"levels is a list of names: ['{levels}']")
    names = None if levels is None else list(levels)
    codec, opened, view = _opened(data)
    with guarded(codec):
        there = place if place is not None and works_on(place) else None
        own = levels_named(opened.layouts, names)
        request = DecodeRequest(limits or Limits(), own, partial, profile, threads, there)
        chosen = decoder(opened.codec)
        if isinstance(chosen, Decoder):
            begun = chosen.begin(opened, view, request)
        else:
            plain = without_layouts(view, opened.layouts)
            arrays = chosen.decode(open_bitstream(plain) if opened.layouts else opened, plain, request)

            def begun() -> dict[str, Any]:
                return arrays

    def finish() -> dict[str, Any]:
        with guarded(codec):
            out = begun()
            if not all(_is_level(each) for each in dict(out).values()):
                raise TypeError("it decodes to something else than arrays [C, H, W] by name")
        out = arrays_of(opened.layouts, out, names is None, partial)
        return {name: _as_torch(each, place) for name, each in out.items()} if like == "torch" else out

    return finish


def _is_level(value: Any) -> bool:
    return (isinstance(value, np.ndarray) or is_torch(value)) and value.ndim == 3


def _as_torch(value: Any, device: Any) -> Any:
    tensor = value if is_torch(value) else to_torch(value)
    return tensor if device is None else tensor.to(device)


def inspect(
    data: bytes | bytearray | memoryview,
    *,
    symbols: bool = False,
    limits: Limits | None = None,
    profile: Profile | str | Path | None = None,
) -> StreamInfo:
    """Say what a bitstream holds and where its bytes go.

    Args:
        data: the whole bitstream.
        symbols: of `paper`, also decode the symbols, for their number and entropy; else the header alone is read.
        limits: what may be spent (Limits() by default).
        profile: of `calibrated`, to know the shapes of the levels where the stream does not hold its profile.

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: as `decode`.
    """
    codec, opened, view = _opened(data)
    with guarded(codec):
        info = codec.decoder_numbered(opened.codec).inspect(
            opened, view, DecodeRequest(limits or Limits(), profile=profile), symbols
        )
    check_layouts(opened.layouts if info.shapes is not None else (), info.shapes or {})
    return replace(info, layouts=opened.layouts) if opened.layouts else info


def declaration(
    data: bytes | bytearray | memoryview, *, limits: Limits | None = None, profile: Profile | None = None
) -> Declaration:
    """Read the header alone: costs microseconds, whatever the bitstream holds.

    An embedded profile and the checksums behind the header are not looked at: `decode` does that.

    Args:
        data: the whole bitstream.
        limits: what may be spent (Limits() by default).
        profile: of `calibrated`, what knows the channels, and the sizes where they are the usual ones.

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: as `decode`.
        InputError: the bitstream needs another profile.
    """
    codec, opened, view = _opened(data)
    with guarded(codec):
        declared = codec.decoder_numbered(opened.codec).declare(
            opened, view, DecodeRequest(limits or Limits(), profile=profile)
        )
    alike = codec.stream_number is None and codec.capabilities.state  # its units have no number of their own
    return replace(declared, unit=alike or opened.codec == codec.stream_number)


def _opened(data: object) -> tuple[type[Codec], Opened, memoryview]:
    view = as_bytes(data)
    opened = open_bitstream(view)
    return codec_numbered(opened.codec), opened, view
