"""The decoder of the units of a stream of `paper`, and what `inspect` finds in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.base import Declaration, Decoder, DecodeRequest, StreamInfo, Table
from midstream.codec.chain import ReferringUnits, digest_of
from midstream.codec.container import CRC_BYTES, VERSION, Opened, unsealed
from midstream.codec.paper.dense import DenseTable, decode_dense_after, read_table_after
from midstream.codec.paper.header import LevelHeader, select
from midstream.codec.paper.memory import LevelMemory, PaperFrame
from midstream.codec.paper.parameters import Parameters
from midstream.codec.paper.reading import cut_payload, groups_with_symbols
from midstream.codec.paper.side import Side
from midstream.codec.paper.symbols import Symbols
from midstream.codec.paper.units import PaperUnit, parameters_of, read_paper_chunk, read_paper_unit
from midstream.codec.sequence import SequenceDecoder
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Reader
from midstream.features import DTYPES

_NAME = "paper"


class PaperUnits(ReferringUnits[PaperFrame]):
    """See SequenceDecoder."""

    unpacked = staticmethod(PaperFrame.unpack)

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        """See SequenceDecoder; all levels are decoded, whichever are asked for."""
        unit = read_paper_unit(opened, request.limits, len(data))
        before = None if unit.key else self.reference(unit.number, unit.distance, unit.digest)
        arrays, frame = _decode_unit(unit, data, before, request)
        self.keep(frame, unit.key)
        return arrays


def _decode_unit(
    unit: PaperUnit, data: memoryview, before: PaperFrame | None, request: DecodeRequest
) -> tuple[dict[str, NDArray[Any]], PaperFrame]:
    """The levels of a unit that refers to `before`, None for a key, and what is kept of the frame.

    Raises:
        CorruptError, UnsupportedError: a unit that does not decode; LimitError: more than the limits allow; InputError:
            no such level.
    """
    headers = unit.levels if before is None else unit.levels_after(before.headers)
    parameters = parameters_of(unit, None if before is None else before.parameters)
    names = None if request.levels is None else list(request.levels)
    wanted = {level.name for level in select(headers, names, parameters.symbols, request.limits)}
    select(headers, None, parameters.symbols, request.limits)
    readers = [
        _LevelUnit.of(header, parameters, *parts, None if before is None else before.levels[at])
        for at, (header, parts) in enumerate(zip(headers, read_paper_chunk(data, unit, headers), strict=True))
    ]
    tasks = [(reader, number) for reader in readers for number in range(len(reader.streams))]
    count = thread_count(request.threads, sum(header.elements for header in headers))
    decoded = run(lambda task: task[0].decoded(task[1]), tasks, count)
    levels, arrays = [], {}
    for reader in readers:
        found = [each for (owner, _), each in zip(tasks, decoded, strict=True) if owner is reader]
        tables = {group.start: table for group, (table, _) in zip(reader.groups, found, strict=True)}
        maps = [symbols for _, symbols in found]
        shape = reader.header.shape
        levels.append(LevelMemory.of(shape, reader.side, maps, tables, parameters.symbols, reader.before))
        if reader.header.name in wanted:
            arrays[reader.header.name] = reader.values(levels[-1].symbols)
    return arrays, PaperFrame(unit.number, digest_of(data), headers, parameters, tuple(levels))


@dataclass(frozen=True, repr=False)
class _LevelUnit:
    """One level of a unit, its side information read."""

    header: LevelHeader
    symbols: int
    side: Side
    groups: list[slice]
    streams: list[memoryview]
    before: LevelMemory | None

    @classmethod
    def of(
        cls,
        header: LevelHeader,
        parameters: Parameters,
        side: memoryview,
        payload: memoryview,
        before: LevelMemory | None,
    ) -> _LevelUnit:
        reader = Reader(side, f"level '{header.name}'")
        found = Side.read(reader, header.dtype, header.shape[0], parameters, None if before is None else before.side)
        groups = groups_with_symbols(header.shape, found)
        return cls(header, parameters.symbols, found, groups, cut_payload(reader, payload, len(groups)), before)

    def decoded(self, number: int) -> tuple[DenseTable, Symbols]:
        """Table and symbols [C'', H, W] of a group. Raises CorruptError."""
        reader, group = Reader(self.streams[number], f"level '{self.header.name}'"), self.groups[number]
        active = self.side.active[group]
        shape = (int(active.sum()), *self.header.shape[1:])
        known = None if self.before is None else self.before.of_group(group, active)
        if known is None:
            table = DenseTable.read(reader, self.symbols, shape[0])
        else:
            table = read_table_after(reader, self.symbols, shape[0], known)
        found = decode_dense_after(reader, self.symbols, shape, table, known)
        if found is None:
            raise reader.corrupt("the dense symbols do not decode")
        return table, found

    def values(self, symbols: Symbols) -> NDArray[Any]:
        """[C, H, W] in the level's element type, of all its symbols."""
        channels, height, width = self.header.shape
        out = _native.empty_floats(channels, height * width)
        out[self.side.constant] = self.side.held[:, None]
        active = np.flatnonzero(self.side.active)
        if len(active):
            flat = symbols.reshape(channels, -1)
            own = flat if len(active) == channels else flat[active]
            _native.reconstruct(own, self.side.table(self.symbols), out, active)
        return out.reshape(self.header.shape).astype(DTYPES[self.header.dtype], copy=False)


@dataclass(frozen=True, kw_only=True)
class PaperUnitInfo(StreamInfo):
    """Of a unit of a stream.

    Attributes:
        frame: its number.
        key: whether it stands alone.
        refers_to: the number of the frame that it is predicted from; None of a key.
        options: of a key, as `encode` takes them; else empty.
        level_bytes: side information and payload of each level, in the pyramid's order.
    """

    frame: int
    key: bool
    refers_to: int | None
    options: dict[str, Any]
    level_bytes: list[tuple[int, int]]

    def table(self) -> Table:
        """See StreamInfo."""
        kind = "a key" if self.key else f"predicted from frame {self.refers_to}"
        title = f"bitstream version {self.version}, codec {self.codec}: frame {self.frame}, {kind}"
        names = list(self.shapes or {}) or [f"level {number}" for number in range(len(self.level_bytes))]
        rows = [["header", "", "", f"{self.header_bytes:,}"]]
        for name, (side, payload) in zip(names, self.level_bytes, strict=True):
            rows.append([name, f"{side:,}", f"{payload:,}", f"{side + payload:,}"])
        rows += [["checksum", "", "", f"{self.checksum_bytes:,}"], ["total", "", "", f"{self.total_bytes:,}"]]
        return Table(title, ["part", "side info", "payload", "bytes"], rows)


class PaperUnitDecoder(Decoder):
    """See Decoder: by themselves, keys decode."""

    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        """See Decoder; of a unit that refers to another one, shapes are those of the other."""
        unit = read_paper_unit(opened, request.limits, len(data))
        return Declaration(_NAME, False, _shapes(unit, request))

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        """See Decoder."""
        return PaperUnits().decode(opened, data, request)

    def sequence(self) -> SequenceDecoder:
        """See Decoder."""
        return PaperUnits()

    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> PaperUnitInfo:
        """See Decoder; there is nothing that only decoding tells."""
        del symbols
        unit = read_paper_unit(opened, request.limits, len(data))
        shapes = _shapes(unit, request)
        unsealed(data[unit.header_bytes :], "chunk")
        elements = sum(level.elements for level in unit.levels)
        return PaperUnitInfo(
            version=VERSION,
            codec=_NAME,
            frame=unit.number,
            key=unit.key,
            refers_to=None if unit.key else unit.number - unit.distance,
            options=parameters_of(unit, None).describe() if unit.key else {},
            shapes=shapes,
            level_bytes=list(unit.sizes),
            header_bytes=unit.header_bytes,
            payload_bytes=sum(map(sum, unit.sizes)),
            checksum_bytes=CRC_BYTES,
            total_bytes=unit.total,
            bits_per_element=8 * unit.total / elements if elements else None,
        )


def _shapes(unit: PaperUnit, request: DecodeRequest) -> dict[str, tuple[int, int, int]] | None:
    """Of the levels by name, within the limits; None of a unit that is no key."""
    if not unit.key:
        return None
    chosen = select(unit.levels, None, parameters_of(unit, None).symbols, request.limits)
    return {level.name: level.shape for level in chosen}
