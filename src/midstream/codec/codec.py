"""Encode and decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from midstream.codec import container
from midstream.codec.calibrated.coding import encode_calibrated
from midstream.codec.calibrated.decoding import decode_calibrated
from midstream.codec.calibrated.options import CalibratedOptions, calibrated_options
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import profile_for, read_chunk, read_stream_header
from midstream.codec.paper import coding as paper
from midstream.codec.paper.options import PaperOptions, paper_options
from midstream.errors import InputError, OptionError, unknown
from midstream.features import DTYPES, check_pyramid, to_torch
from midstream.limits import Limits

_LIKE = ("numpy", "torch")


#: Options of any codec, checked.
CodecOptions = PaperOptions | CalibratedOptions


def encode(
    pyramid: Mapping[str, Any],
    codec: str = container.PAPER,
    *,
    symbols: int | None = None,
    z: float | None = None,
    thresholds: str | Sequence[float] | None = None,
    step: float | None = None,
    coder: str | None = None,
    profile: Profile | str | Path | None = None,
    quality: int | None = None,
    max_bytes: int | None = None,
    max_loss: float | None = None,
    embed: bool = False,
    scores: NDArray[np.floating[Any]] | None = None,
    threads: int | None = None,
) -> bytes:
    """Code a feature pyramid into a bitstream (docs/format.md).

    Args:
        pyramid: level name -> numpy array or torch tensor [C, H, W] of float32, float16 or bfloat16, finest first.
        codec: `paper`, the representation of the founding paper (docs/method.md), self-contained; or `calibrated`,
            fitted to one network, far smaller.
        symbols: `paper`: number of intervals n, 1 to 256; 4 by default, or one more than a list of thresholds has.
        z: `paper`: the thresholds for n = 3 (-z, z) and n = 4 (-z, 0, z), in standard deviations.
        thresholds: `paper`: n - 1 increasing numbers; or `uniform` with a `step`; or `lloyd-max`, fitted on this
            pyramid; or `range`, uniform over each channel's own range (the 8-bit conversion, with 256 symbols).
        step: `paper`: distance of `uniform` thresholds, in standard deviations.
        coder: `paper`: `fast` (near memory speed, the default), `dense` (the fewest bytes; about 70 ns an element for 3
            and 4 symbols, 500 for 256), `raw` (fixed width) or `prefix` (a Huffman code).
        profile: `calibrated`: the network's profile, or its file.
        quality: `calibrated`: 1 to 100, 60 by default: the same number means about the same relative loss of accuracy
            on every network.
        max_bytes: `calibrated`: instead of a quality, a hard cap on the length of the bitstream.
        max_loss: `calibrated`: instead of a quality, the most that the accuracy may suffer, as a share of it (0.01),
            by the calibration's own estimate.
        embed: `calibrated`: put the profile into the bitstream.
        scores: `calibrated`: [height, width] of the profile's grid of cells, 0 to 1, the highest score that the network
            gives in each; by default the profile's probe guesses them.
        threads: how many to use at most, all cores by default; the bytes are the same for any number.

    Returns:
        The bitstream.

    Raises:
        InputError: an unusable option, a level that is not [C, H, W] of a known type or not the profile's, a NaN or an
            infinity, a cap that is below what is possible.
    """
    ours = {"symbols": symbols, "z": z, "thresholds": thresholds, "step": step, "coder": coder}
    theirs = {"profile": profile, "quality": quality, "max_bytes": max_bytes, "max_loss": max_loss, "scores": scores}
    options = codec_options(codec, ours, theirs | {"embed": embed or None})
    return encode_with(pyramid, options, threads, scores)


def codec_options(codec: str, paper_only: Mapping[str, Any], calibrated_only: Mapping[str, Any]) -> CodecOptions:
    """Options of the codec, from those of `paper` and those of `calibrated` (None where not given).

    Raises:
        InputError: an option of the other codec, or one that cannot be used.
    """
    if codec not in container.CODECS:
        raise unknown("codec", str(codec), container.CODECS)
    ours, others = (paper_only, calibrated_only) if codec == container.PAPER else (calibrated_only, paper_only)
    for name, value in others.items():
        if value is not None:
            own = ", ".join(f"`{each}`" for each in ours)
            raise OptionError(f"`{name}` is no option of the codec {codec}; its own are {own}")
    given = {name: value for name, value in ours.items() if value is not None and name != "scores"}
    if codec == container.PAPER:
        return paper_options(**given)
    return calibrated_options(given.pop("profile", None), **given)


def encode_with(
    pyramid: Mapping[str, Any],
    options: CodecOptions,
    threads: int | None = None,
    scores: NDArray[np.floating[Any]] | None = None,
) -> bytes:
    """`encode` with options that are already checked."""
    levels = check_pyramid(pyramid)
    if isinstance(options, CalibratedOptions):
        return encode_calibrated(levels, options, scores, threads)
    parameters, chunks = paper.encode_levels(levels, options, threads)
    headers = []
    for level in levels:
        side, streams = chunks[level.name]
        payload = sum(len(stream) for stream in streams)
        headers.append(container.LevelHeader(level.name, level.dtype, level.shape, len(side), payload))
    pieces = {name: [side, *streams] for name, (side, streams) in chunks.items()}
    return container.write(tuple(headers), parameters, pieces)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    levels: Sequence[str] | None = None,
    like: Literal["numpy", "torch"] = "numpy",
    limits: Limits | None = None,
    partial: bool = False,
    profile: Profile | str | Path | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Reconstruct a pyramid from a bitstream.

    Args:
        data: the whole bitstream.
        levels: names of the levels to decode; of `paper` only their chunks are read. All by default.
        like: `numpy` arrays or `torch` tensors.
        limits: what may be spent (Limits() by default).
        partial: of a bitstream whose end is missing, decode the levels that are whole: `paper` holds them coarse to
            fine, `calibrated` has one chunk for all.
        profile: for a `calibrated` bitstream that does not hold its own: the one that it was made with, or its file.
        threads: how many to use at most, all cores by default.

    Returns:
        Level name -> array [C, H, W] with the names, shapes and element types that went in, in the same order
        (`calibrated`: in the profile's).

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: the four ways in which a bitstream is unusable.
        InputError: a level that the bitstream does not have; no profile, or another one, where one is needed.
    """
    if like not in _LIKE:
        raise unknown("value of like", str(like), _LIKE)
    limits = limits or Limits()
    view = as_bytes(data)
    if isinstance(levels, str):
        raise InputError(f"levels is a list of names: ['{levels}']")
    names = None if levels is None else list(levels)
    opened = container.open_stream(view)
    if opened.codec == container.PAPER:
        arrays = _decode_paper(view, opened, names, limits, partial, threads)
    else:
        header = read_stream_header(opened, limits, len(view))
        embedded, streams = read_chunk(view, header)
        needed = profile_for(header, embedded, None if profile is None else Profile.of(profile))
        arrays = decode_calibrated(header, streams, needed, names, limits, threads)
    return {name: to_torch(array) for name, array in arrays.items()} if like == "torch" else arrays


def _decode_paper(
    view: memoryview,
    opened: container.Opened,
    names: list[str] | None,
    limits: Limits,
    partial: bool,
    threads: int | None,
) -> dict[str, NDArray[Any]]:
    header = container.read_header(opened, view, limits, partial=partial)
    parameters = paper.read_parameters(header.parameters)
    if partial:
        names = container.whole_levels(view, header, names)
    chosen = container.select(header, names, parameters.symbols, limits)
    readers = _readers(view, header, parameters, chosen)
    decoded = zip(chosen, paper.decode_levels(readers, threads), strict=True)
    return {level.name: values.astype(DTYPES[level.dtype], copy=False) for level, values in decoded}


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
    opened = container.open_stream(view)
    if opened.codec != container.PAPER:
        raise InputError(f"a bitstream of the codec {opened.codec} has no symbols of channels")
    header = container.read_header(opened, view, limits)
    parameters = paper.read_parameters(header.parameters)
    chosen = container.select(header, None, parameters.symbols, limits)
    return {reader.header.name: reader for reader in _readers(view, header, parameters, chosen)}
