"""Bitstreams with layouts of arrays (codec 4), after docs/format.md alone; what lies in them is decoded by others."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from tests.helpers import format_decoder as one
from tests.helpers.format_decoder import Array, Reader, need

Layout = tuple[str, str, int, int]  # name, axes, heads, extra tokens


def read_layouts(reader: Reader) -> list[Layout]:
    layouts: list[Layout] = []
    names: set[str] = set()
    count = reader.varint()
    need(count > 0, "no layouts")
    for _ in range(count):
        raw, letters = reader.take(reader.bits(8)), reader.take(reader.bits(8))
        name, axes = raw.decode(errors="replace"), letters.decode(errors="replace")
        need(name.encode() == raw and len(raw) > 0, "name of an array")
        rest = axes.replace("1", "")
        along = sorted(rest.replace("C", "").replace("G", ""))
        need(0 < len(axes) <= 8 and axes != "CHW" and along in (["H", "W"], ["N"], ["T"], []), "axes")
        need(rest.count("C") == 1 and rest.count("G") <= 1, "axes of channels")
        heads = one.within(reader.varint(), 1, 1 << 63, "heads") if "G" in axes else 1
        extra = reader.varint() if "N" in axes else 0
        own = {name, name + "+extra"} if extra else {name}
        need(not own & names and max(len(each.encode()) for each in own) <= 255, "a level of two arrays")
        names |= own
        layouts.append((name, axes, heads, extra))
    return layouts


def arranged(layout: Layout, levels: dict[str, Array]) -> Array:
    name, axes, heads, extra = layout
    need(name in levels and (not extra or name + "+extra" in levels), "an array without its levels")
    level = levels[name]
    channels, height, width = level.shape
    need(channels % heads == 0, "heads")
    if "T" in axes:
        need(height == 1, "a sequence of rows")
    elif not set("HWN") & set(axes):
        need(height == width == 1, "a vector of positions")
    values = level.reshape(heads, channels // heads, height, width)
    if not {"H", "W"} <= set(axes):
        values = values.reshape(heads, channels // heads, -1)
    if extra:
        first = levels[name + "+extra"]
        need(first.shape == (channels, 1, extra) and first.dtype == level.dtype, "extra tokens")
        values = np.concatenate([first.reshape(heads, channels // heads, extra), values], axis=2)
    order = ["G", "C", *(axis for axis in "HWNT" if axis in axes)]
    shape = [1 if axis == "1" else values.shape[order.index(axis)] for axis in axes]
    if "G" not in axes:
        values, order = values[0], order[1:]
    if not set("HWNT") & set(axes):
        values = values[..., 0]
    return values.transpose([order.index(axis) for axis in axes if axis != "1"]).reshape(shape)


def decode(data: bytes, inner: Callable[[bytes], dict[str, Array]] = one.decode) -> dict[str, Array]:
    """Every array by its name, in the order of the levels."""
    if data[:4] != b"MIDS" or data[8:9] != b"\4":
        return inner(data)
    reader, size = one.open_header(data, 4)
    layouts = read_layouts(reader)
    rest = reader.rest()
    need(len(rest) > 0 and rest[0] != 4, "codec behind the layouts")
    head = data[:6] + struct.pack("<H", 12 + len(rest)) + rest
    levels = inner(head + struct.pack("<I", one.crc_of(head)) + data[size:])
    by_name = {layout[0]: layout for layout in layouts}
    need(all(name in levels for name in by_name), "an array without a level")
    hidden = {name + "+extra" for name, _, _, extra in layouts if extra}
    return {
        name: arranged(by_name[name], levels) if name in by_name else values
        for name, values in levels.items()
        if name not in hidden
    }
