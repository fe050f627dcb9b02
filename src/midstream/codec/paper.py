"""The codec `paper`: normalise, quantise, reconstruct, one level at a time, and the side information of each."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec import quantize
from midstream.codec.container import LevelHeader
from midstream.codec.intervals import IntervalMeans
from midstream.codec.normalize import ChannelStatistics, measure
from midstream.codec.options import BEST_Z, PaperOptions, Rule
from midstream.codec.symbols import CODERS, decode_symbols, encode_symbols
from midstream.codec.wire import Reader, varint, write_elements
from midstream.errors import UnsupportedError
from midstream.features import DTYPES, Level


@dataclass(frozen=True)
class _Active:
    """The channels of a level that are not constant, which are the ones that are quantised."""

    values: NDArray[np.float32]
    statistics: ChannelStatistics


def encode_levels(levels: Sequence[Level], options: PaperOptions) -> tuple[bytes, dict[str, tuple[bytes, bytes]]]:
    """Codec parameters for the header, and (side information, payload) of every level by name."""
    measured = {level.name: measure(level.name, level.values) for level in levels}
    active = {level.name: _active(level.values, measured[level.name]) for level in levels}
    thresholds = thresholds_of(options)
    if options.rule is Rule.lloyd_max:
        fitted = [(a.values, a.statistics) for a in active.values()]
        thresholds = quantize.lloyd_max_thresholds(fitted, options.symbols)
    chunks = {}
    for level in levels:
        constants = _write_constants(level, measured[level.name].constant)
        side, payload = _encode_active(active[level.name], options, thresholds, level)
        chunks[level.name] = (constants + side, payload)
    return _write_parameters(options, thresholds), chunks


def decode_level(header: LevelHeader, parameters: PaperOptions, side: bytes, payload: bytes) -> NDArray[np.float32]:
    """One level as float32 [C, H, W], not beyond the finite range of the level's own element type.

    Raises:
        CorruptError: the chunk contradicts docs/format.md.
    """
    reader = Reader(side, f"level '{header.name}'")
    channels, height, width = header.shape
    dtype = DTYPES[header.dtype]
    constant, held = _read_constants(reader, channels, dtype)
    count = channels - len(held)
    if count == 0:
        reader.end()
        if payload:
            raise reader.corrupt("a payload where every channel is constant")
        return np.repeat(held, height * width).reshape(header.shape)
    table = _read_table(reader, parameters, count, dtype)
    symbols = decode_symbols(parameters.coder, parameters.symbols, reader, payload, (count, height, width))
    reader.end()
    largest = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    values = _native.reconstruct(symbols.reshape(count, -1), np.clip(table, -largest, largest).astype(np.float32))
    if values is None:
        raise reader.corrupt("a symbol outside the alphabet")
    if len(held) == 0:
        return values.reshape(header.shape)
    out = np.empty((channels, height * width), np.float32)
    out[constant] = held[:, None]
    out[~constant] = values
    return out.reshape(header.shape)


def _active(values: NDArray[np.float32], statistics: ChannelStatistics) -> _Active:
    if not statistics.constant.any():
        return _Active(values, statistics)
    keep = ~statistics.constant
    kept = ChannelStatistics(statistics.mean[keep], statistics.std[keep], statistics.min[keep], statistics.max[keep])
    return _Active(values[keep], kept)


def thresholds_of(options: PaperOptions) -> Sequence[float]:
    """Thresholds in the normalised domain; none for Rule.range, and for Rule.lloyd_max none before they are fitted."""
    match options.rule:
        case Rule.z:
            return quantize.z_thresholds(options.symbols, options.parameter or 0.0)
        case Rule.uniform:
            return quantize.uniform_thresholds(options.symbols, options.parameter or 0.0)
        case _:
            return options.thresholds


def _encode_active(
    active: _Active, options: PaperOptions, thresholds: Sequence[float], level: Level
) -> tuple[bytes, bytes]:
    values, statistics, dtype = active.values, active.statistics, DTYPES[level.dtype]
    if len(values) == 0:
        return b"", b""
    if options.rule is Rule.range:
        low, high = statistics.min, statistics.max
        symbols = _native.quantize(values, quantize.range_boundaries(low, high, options.symbols))
        side = write_elements(low, dtype) + write_elements(high, dtype)
    else:
        symbols = _native.quantize(values, quantize.channel_boundaries(statistics, thresholds))
        side = IntervalMeans.of(values, symbols, statistics, options.symbols).write()
    table, payload = encode_symbols(options.coder, symbols.reshape(-1, *level.shape[1:]), options.symbols)
    return side + table, payload


def _read_table(reader: Reader, parameters: PaperOptions, channels: int, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """What each symbol stands for in each channel, [C, n]."""
    if parameters.rule is not Rule.range:
        return IntervalMeans.read(reader, channels, parameters.symbols).table()
    low, high = reader.elements(dtype, channels), reader.elements(dtype, channels)
    if not (low < high).all():
        raise reader.corrupt("an empty range")
    return quantize.range_values(low, high, parameters.symbols)


def _write_constants(level: Level, constant: NDArray[np.bool_]) -> bytes:
    """How many channels are constant, which (unless all or none are), and their values in the level's own type."""
    count = int(constant.sum())
    which: bytes = np.packbits(constant, bitorder="little").tobytes() if 0 < count < len(constant) else b""
    return varint(count) + which + write_elements(level.values[constant, 0], DTYPES[level.dtype])


def _read_constants(
    reader: Reader, channels: int, dtype: np.dtype[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    count = reader.varint()
    if count > channels:
        raise reader.corrupt(f"{count} constant channels of {channels}")
    constant = np.full(channels, count == channels)
    if 0 < count < channels:
        packed = np.frombuffer(reader.take((channels + 7) // 8), np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        constant = bits[:channels].astype(np.bool_)
        if int(constant.sum()) != count or bits[channels:].any():
            raise reader.corrupt("the constant channels are not as many as declared")
    return constant, reader.elements(dtype, count)


def _write_parameters(options: PaperOptions, thresholds: Sequence[float]) -> bytes:
    head = bytes([options.symbols - 1, CODERS.index(options.coder), options.rule])
    if options.rule in (Rule.z, Rule.uniform):
        return head + struct.pack("<f", options.parameter)
    return head + write_elements(np.asarray(thresholds, np.float32), DTYPES["float32"])


def read_parameters(data: bytes) -> PaperOptions:
    """The codec's parameters from the header; of Rule.lloyd_max the thresholds, too.

    Raises:
        CorruptError, UnsupportedError.
    """
    reader = Reader(data, "header")
    symbols, coder, rule = reader.u8() + 1, reader.u8(), reader.u8()
    if coder >= len(CODERS):
        raise UnsupportedError(f"coder number {coder}; this release knows {', '.join(CODERS)}")
    if rule not in set(Rule):
        raise UnsupportedError(f"threshold rule number {rule}")
    options = PaperOptions(symbols, Rule(rule), CODERS[coder])
    if options.rule in (Rule.z, Rule.uniform):
        options = replace(options, parameter=reader.f32())
    elif options.rule is not Rule.range:
        options = replace(options, thresholds=tuple(float(t) for t in reader.elements(DTYPES["float32"], symbols - 1)))
    reader.end()
    _check_parameters(options, reader)
    return options


def _check_parameters(options: PaperOptions, reader: Reader) -> None:
    if options.rule is Rule.z and options.symbols not in BEST_Z:
        raise reader.corrupt(f"thresholds by z for {options.symbols} symbols")
    if options.rule is Rule.range and options.symbols < 2:
        raise reader.corrupt("a range for one symbol")
    if options.parameter is not None and options.parameter <= 0:
        raise reader.corrupt("a threshold parameter that is not positive")
    if any(b <= a for a, b in pairwise(options.thresholds)):
        raise reader.corrupt("thresholds that do not increase")
