"""Encode and decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from midstream.codec import container, paper
from midstream.codec.options import DEFAULT_CODER, PaperOptions, paper_options
from midstream.errors import InputError, unknown
from midstream.features import DTYPES, check_pyramid, to_torch
from midstream.limits import Limits

_LIKE = ("numpy", "torch")


def encode(
    pyramid: Mapping[str, Any],
    codec: str = "paper",
    *,
    symbols: int | None = None,
    z: float | None = None,
    thresholds: str | Sequence[float] | None = None,
    step: float | None = None,
    coder: str = DEFAULT_CODER,
    threads: int | None = None,
) -> bytes:
    """Code a feature pyramid into a self-contained bitstream (docs/format.md).

    Args:
        pyramid: level name -> numpy array or torch tensor [C, H, W] of float32, float16 or bfloat16, finest first.
        codec: `paper`, the representation of the founding paper (docs/method.md).
        symbols: number of intervals n, 1 to 256; 4 by default, or one more than a list of thresholds has.
        z: the paper's thresholds for n = 3 (-z, z) and n = 4 (-z, 0, z), in standard deviations.
        thresholds: n - 1 increasing numbers; or `uniform` with a `step`; or `lloyd-max`, fitted on this pyramid; or
            `range`, uniform over each channel's own range (the 8-bit conversion, with 256 symbols).
        step: distance of `uniform` thresholds, in standard deviations.
        coder: `fast` (near memory speed), `dense` (the fewest bytes; about 70 ns an element for 3 and 4 symbols,
            500 for 256), `raw` (fixed width) or `prefix` (a Huffman code).
        threads: how many to use at most, all cores by default; the bytes are the same for any number.

    Returns:
        The bitstream.

    Raises:
        InputError: an unusable option, a level that is not [C, H, W] of a known type, a NaN or an infinity.
    """
    if codec not in container.CODECS:
        raise unknown("codec", str(codec), container.CODECS)
    options = paper_options(symbols, z, thresholds, step, coder)
    return encode_with(pyramid, options, threads)


def encode_with(pyramid: Mapping[str, Any], options: PaperOptions, threads: int | None = None) -> bytes:
    """`encode` with options that are already checked."""
    levels = check_pyramid(pyramid)
    parameters, chunks = paper.encode_levels(levels, options, threads)
    headers = []
    for level in levels:
        side, streams = chunks[level.name]
        payload = sum(len(stream) for stream in streams)
        headers.append(container.LevelHeader(level.name, level.dtype, level.shape, len(side), payload))
    pieces = {name: [side, *streams] for name, (side, streams) in chunks.items()}
    return container.write("paper", tuple(headers), parameters, pieces)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    levels: Sequence[str] | None = None,
    like: Literal["numpy", "torch"] = "numpy",
    limits: Limits | None = None,
    partial: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """Reconstruct a pyramid from a bitstream.

    Args:
        data: the whole bitstream.
        levels: names of the levels to decode; only their chunks are read. All by default.
        like: `numpy` arrays or `torch` tensors.
        limits: what may be spent (Limits() by default).
        partial: of a bitstream whose end is missing, decode the levels that are whole: it holds them coarse to fine.
        threads: how many to use at most, all cores by default.

    Returns:
        Level name -> array [C, H, W] with the names, shapes and element types that went in, in the same order.

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: the four ways in which a bitstream is unusable.
        InputError: a level that the bitstream does not have.
    """
    if like not in _LIKE:
        raise unknown("value of like", str(like), _LIKE)
    limits = limits or Limits()
    view = as_bytes(data)
    header = container.read_header(view, limits, partial=partial)
    parameters = paper.read_parameters(header.parameters)
    if isinstance(levels, str):
        raise InputError(f"levels is a list of names: ['{levels}']")
    names = None if levels is None else list(levels)
    if partial:
        names = container.whole_levels(view, header, names)
    chosen = container.select(header, names, parameters.symbols, limits)
    readers = _readers(view, header, parameters, chosen)
    out: dict[str, Any] = {}
    for level, values in zip(chosen, paper.decode_levels(readers, threads), strict=True):
        array: NDArray[Any] = values.astype(DTYPES[level.dtype], copy=False)
        out[level.name] = to_torch(array) if like == "torch" else array
    return out


def as_bytes(data: object) -> memoryview:
    """A view of the bytes of a bitstream. Raises InputError for anything else."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"a bitstream is bytes, not {type(data).__name__}")
    view = memoryview(data)
    return view.cast("B") if view.contiguous else memoryview(bytes(view))


def _readers(
    view: memoryview, header: container.Header, parameters: PaperOptions, levels: Sequence[container.LevelHeader]
) -> list[paper.LevelReader]:
    return [paper.LevelReader.of(level, parameters, *container.read_chunk(view, header, level)) for level in levels]


def open_levels(data: bytes | bytearray | memoryview, limits: Limits | None = None) -> dict[str, paper.LevelReader]:
    """All levels by name, their side information read, the symbols not yet decoded. Raises as `decode` does."""
    limits = limits or Limits()
    view = as_bytes(data)
    header = container.read_header(view, limits)
    parameters = paper.read_parameters(header.parameters)
    chosen = container.select(header, None, parameters.symbols, limits)
    return {reader.header.name: reader for reader in _readers(view, header, parameters, chosen)}
