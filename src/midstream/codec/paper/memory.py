"""What is kept of a frame of `paper`, at the encoder and at the decoder: what later frames are predicted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.cached import cached_property
from midstream.codec.chain import read_number
from midstream.codec.paper.dense import DenseBefore, DenseTable
from midstream.codec.paper.header import LevelHeader, read_levels, write_levels
from midstream.codec.paper.parameters import Parameters, read_parameters
from midstream.codec.paper.reading import groups_with_symbols
from midstream.codec.paper.side import Side
from midstream.codec.paper.symbols import Symbols
from midstream.codec.wire import Reader, varint
from midstream.errors import BitstreamError, InputError
from midstream.limits import Limits

_DIGEST_BYTES = 4
#: A state may hold whatever a decoder was allowed to decode.
_ANY = Limits(elements=1 << 62, values=1 << 62, channels=1 << 62, levels=1 << 62, chunk_bytes=1 << 62)


@dataclass(frozen=True, repr=False)
class LevelMemory:
    """One level of a frame, in two bytes an element.

    Attributes:
        symbols: uint8 [C, H, W]; 0 in channels that are constant.
        past: uint8 [C, H, W], what happened to them since the key (native/dense.hpp).
        side: what they stand for.
        tables: of the streams, by the first channel of their groups.
    """

    symbols: Symbols
    past: NDArray[np.uint8]
    side: Side
    tables: Mapping[int, DenseTable]

    @classmethod
    def of(
        cls,
        shape: tuple[int, int, int],
        side: Side,
        maps: Sequence[Symbols],
        tables: Mapping[int, DenseTable],
        symbols: int,
        before: LevelMemory | None,
    ) -> LevelMemory:
        """Of the maps of a level's groups; `before` is that of the frame which the frame refers to."""
        found = np.zeros(shape, np.uint8)
        if maps:
            found[side.active] = np.concatenate(maps)
        if before is None:
            return cls(found, np.zeros(shape, np.uint8), side, tables)
        past = before.past.copy()
        _native.dense_past(found, before.symbols, symbols, past)
        return cls(found, past, side, tables)

    def of_group(self, group: slice, active: NDArray[np.bool_]) -> DenseBefore:
        """The channels of a group that are `active` [C''] in a later frame."""
        symbols, past = self.symbols[group], self.past[group]
        if not active.all():
            symbols, past = symbols[active], past[active]
        same = np.array_equal(self.side.active[group], active)
        return DenseBefore(symbols, past, self.tables.get(group.start) if same else None)


@dataclass(frozen=True, repr=False)
class PaperFrame:
    """One frame.

    Attributes:
        number: of the frame.
        digest: of its unit.
        headers, parameters: as its unit has them, or its key.
        levels: in the order of the headers.
    """

    number: int
    digest: int
    headers: tuple[LevelHeader, ...]
    parameters: Parameters
    levels: tuple[LevelMemory, ...]

    @cached_property
    def size(self) -> int:
        """Bytes that it takes, about: symbols, and what they stand for in each channel."""
        return sum(level.symbols.nbytes + level.past.nbytes + level.side.size for level in self.levels)

    def pack(self) -> bytes:
        """As bytes, for `unpack`."""
        parameters = self.parameters.write(self.parameters.thresholds)
        parts = [varint(self.number), self.digest.to_bytes(_DIGEST_BYTES, "little"), write_levels(self.headers)]
        parts += [varint(len(parameters)), parameters]
        for level in self.levels:
            parts += [level.side.write(), *(table.write() for table in level.tables.values())]
            parts += [level.symbols.tobytes(), level.past.tobytes()]
        return b"".join(parts)

    @classmethod
    def unpack(cls, data: bytes) -> PaperFrame:
        """What `pack` gave. Raises InputError for anything else."""
        reader = Reader(data, "a frame of the state")
        try:
            number, digest = read_number(reader), int.from_bytes(reader.take(_DIGEST_BYTES), "little")
            headers = read_levels(reader, _ANY)
            parameters = read_parameters(reader.take(reader.varint()))
            levels = tuple(_read_level(reader, header, parameters) for header in headers)
            reader.end()
        except BitstreamError as error:
            raise InputError(f"this is no state of a StreamDecoder: {error}") from error
        return cls(number, digest, headers, parameters, levels)


def _read_level(reader: Reader, header: LevelHeader, parameters: Parameters) -> LevelMemory:
    """Raises CorruptError."""
    if 2 * header.elements > reader.left:  # before anything of such a size is made
        raise reader.corrupt("symbols are missing")
    side = Side.read(reader, header.dtype, header.shape[0], parameters)
    tables = {
        group.start: DenseTable.read(reader, parameters.symbols, int(side.active[group].sum()))
        for group in groups_with_symbols(header.shape, side)
    }
    planes = [np.frombuffer(reader.take(header.elements), np.uint8).reshape(header.shape) for _ in ("symbols", "past")]
    if int(planes[0].max()) >= parameters.symbols or int(planes[1].max()) > _native.LARGEST_PAST:
        raise reader.corrupt("symbols out of range")
    return LevelMemory(planes[0], planes[1], side, tables)
