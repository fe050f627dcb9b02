"""Bitstreams of arrays that are no maps: how they lie in levels, before all else that the header says.

What a codec writes knows levels only. The layouts are put into its header, behind a codec's number of their own, so
that a reader that knows no layouts refuses the bitstream instead of giving levels for arrays (docs/format.md, "Codec
4").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from midstream.codec.container import LAID_OUT, Opened, change_body, open_stream
from midstream.codec.sequence import PendingFrame
from midstream.codec.wire import Reader, varint
from midstream.errors import CorruptError, TruncatedError, unknown
from midstream.features import MAX_NAME_BYTES, Level
from midstream.layout import EXTRA, HEADS, Layout, positions_of

Shape = tuple[int, int, int]


def layouts_of(levels: Iterable[Level]) -> tuple[Layout, ...]:
    """Those of a pyramid's arrays that are no maps."""
    return tuple(level.layout for level in levels if level.layout is not None)


def layout_bytes(layouts: Sequence[Layout]) -> bytes:
    """What is put in front of a codec's number; nothing where all arrays are maps."""
    if not layouts:
        return b""
    out = bytes([LAID_OUT]) + varint(len(layouts))
    for layout in layouts:
        for text in (layout.name.encode(), layout.axes.encode()):
            out += bytes([len(text)]) + text
        out += varint(layout.heads) if HEADS in layout.axes else b""
        out += varint(layout.extra) if "N" in layout.axes else b""
    return out


def with_layouts(data: bytes, layouts: Sequence[Layout]) -> bytes:
    """A codec's bitstream with layouts in its header. Raises InputError if the header becomes too large."""
    return change_body(data, layout_bytes(layouts)) if layouts else data


def read_layouts(reader: Reader) -> tuple[Layout, ...]:
    """What `layout_bytes` wrote, behind the number. Raises CorruptError."""
    count = reader.varint()
    if count < 1:
        raise reader.corrupt("a layout of no array")
    names: set[str] = set()
    out = []
    for _ in range(min(count, reader.left)):
        layout = _read_layout(reader)
        if not names.isdisjoint(layout.level_names):
            raise reader.corrupt(f"the array '{layout.name}' has a level twice")
        names.update(layout.level_names)
        out.append(layout)
    if len(out) < count:
        raise reader.corrupt(f"{count} layouts in {reader.left} bytes")
    return tuple(out)


def open_bitstream(data: memoryview) -> Opened:
    """`open_stream`, and behind it the layouts, if there are any. Raises as it does."""
    opened = open_stream(data)
    if opened.codec != LAID_OUT:
        return opened
    layouts, number = read_layouts(opened.reader), opened.reader.u8()
    if number == LAID_OUT:
        raise opened.reader.corrupt("layouts of layouts")
    return replace(opened, codec=number, layouts=layouts)


def without_layouts(data: memoryview, layouts: Sequence[Layout]) -> memoryview:
    """What the codec wrote."""
    return memoryview(change_body(data, b"", len(layout_bytes(layouts)))) if layouts else data


def _read_layout(reader: Reader) -> Layout:
    try:
        name, axes = (reader.take(reader.u8()).decode() for _ in range(2))
    except UnicodeDecodeError as error:
        raise reader.corrupt("a layout is not UTF-8") from error
    if not name or positions_of(axes) is None or axes == "CHW":
        raise reader.corrupt(f"no layout: axes {axes[:20]!r} of the array '{name[:20]}'")
    heads = reader.varint() if HEADS in axes else 1
    extra = reader.varint() if "N" in axes else 0
    if heads < 1 or (extra and len((name + EXTRA).encode()) > MAX_NAME_BYTES):
        raise reader.corrupt(f"the array '{name[:20]}' has {heads} heads and {extra} extra tokens")
    return Layout(name, axes, heads, extra)


def levels_named(layouts: Sequence[Layout], names: Sequence[str] | None) -> list[str] | None:
    """The levels of these arrays; None for all. A level of extra tokens has no name of its own. Raises InputError."""
    if names is None:
        return None
    by_name = {layout.name: layout.level_names for layout in layouts}
    hidden = {level for levels in by_name.values() for level in levels[1:]}
    for name in names:
        if name in hidden:
            raise unknown("level", name, by_name)
    return [level for name in names for level in by_name.get(name, (name,))]


def check_layouts(layouts: Sequence[Layout], shapes: Mapping[str, Shape]) -> None:
    """Refuse layouts that do not fit the levels of a bitstream. Raises CorruptError."""
    for layout in layouts:
        fault = layout.fault([shapes.get(name) for name in layout.level_names])
        if fault:
            raise CorruptError(f"header: {fault}")


def arrays_of(layouts: Sequence[Layout], levels: Mapping[str, Any], every: bool, partial: bool) -> dict[str, Any]:
    """The arrays that decoded levels are of, in the order of these.

    Args:
        layouts: of the bitstream.
        levels: what was decoded.
        every: all arrays were asked for.
        partial: arrays that are not whole are left out.

    Raises:
        CorruptError: levels of other shapes than the layouts are for; TruncatedError: no array is whole.
    """
    if not layouts:
        return dict(levels)
    own = {layout.name: layout for layout in layouts if not partial or levels.keys() >= set(layout.level_names)}
    every = every and not partial
    asked = {name: each for name, each in own.items() if every or not levels.keys().isdisjoint(each.level_names)}
    check_layouts(list(asked.values()), {name: values.shape for name, values in levels.items()})
    parts = {name for layout in layouts for name in layout.level_names}
    out = {}
    for name, values in levels.items():
        if name in asked:
            own_levels = [levels[each] for each in asked[name].level_names]
            if any(each.dtype != values.dtype for each in own_levels):
                raise CorruptError(f"header: the array '{name}' is of two element types")
            out[name] = asked[name].array(own_levels)
        elif name not in parts:
            out[name] = values
    if not out:
        raise TruncatedError("no array is whole: the level of its extra tokens comes first")
    return out


class LaidOutFrame(PendingFrame):
    """A frame of a stream whose units have layouts."""

    def __init__(self, frame: PendingFrame, layouts: Sequence[Layout]) -> None:
        self._frame, self._layouts = frame, layouts
        self.key, self.steps = frame.key, frame.steps

    def write(self) -> bytes:
        """See PendingFrame."""
        return with_layouts(self._frame.write(), self._layouts)

    def code(self, step: int) -> bytes:
        """See PendingFrame."""
        return with_layouts(self._frame.code(step), self._layouts)

    def keep(self, unit: bytes) -> None:
        """See PendingFrame."""
        self._frame.keep(bytes(without_layouts(memoryview(unit), self._layouts)))
