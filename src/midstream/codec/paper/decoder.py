"""The decoder of `paper`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from midstream.codec.base import Declaration, Decoder, DecodeRequest
from midstream.codec.container import Opened, as_bytes
from midstream.codec.laid_out import open_bitstream
from midstream.codec.paper import header
from midstream.codec.paper.info import PaperInfo
from midstream.codec.paper.integers import WholeReader, check_rule, is_whole
from midstream.codec.paper.parameters import Parameters, read_parameters
from midstream.codec.paper.reading import LevelReader, begin_on, decode_levels
from midstream.errors import InputError
from midstream.features import ELEMENT_TYPES
from midstream.limits import Limits

_NAME = "paper"


class PaperDecoder(Decoder):
    """See Decoder; the levels lie in chunks of their own, so that any of them can be decoded alone."""

    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        """See Decoder."""
        head = header.read_header(opened, data, request.limits)
        symbols = _parameters(head).symbols
        chosen = header.select(head.levels, None, symbols, request.limits)
        return Declaration(_NAME, False, {level.name: level.shape for level in chosen})

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, Any]:
        """See Decoder."""
        return self.begin(opened, data, request)()

    def begin(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Callable[[], dict[str, Any]]:
        """See Decoder."""
        head = header.read_header(opened, data, request.limits, partial=request.partial)
        parameters = _parameters(head)
        names = None if request.levels is None else list(request.levels)
        if request.partial:
            names = header.whole_levels(data, head, names)
        chosen = header.select(head.levels, names, parameters.symbols, request.limits)
        readers = _readers(data, head, parameters, chosen)
        if request.device is not None and not any(map(is_whole, chosen)):
            finish = begin_on(request.device, readers, request.threads)
            return lambda: {level.name: tensor for level, tensor in zip(chosen, finish(), strict=True)}
        decoded = {
            level.name: values.astype(ELEMENT_TYPES[level.dtype], copy=False)
            for level, values in zip(chosen, decode_levels(readers, request.threads), strict=True)
        }
        return lambda: decoded

    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> PaperInfo:
        """See Decoder."""
        head = header.read_header(opened, data, request.limits)
        parameters = _parameters(head)
        readers = []
        if symbols:
            chosen = header.select(head.levels, None, parameters.symbols, request.limits)
            readers = _readers(data, head, parameters, chosen)
        return PaperInfo.of(head, parameters, {reader.header.name: reader for reader in readers})


def _readers(
    data: memoryview, head: header.Header, parameters: Parameters, levels: Sequence[header.LevelHeader]
) -> list[LevelReader]:
    kinds = [WholeReader if is_whole(level) else LevelReader for level in levels]
    chunks = [header.read_chunk(data, head, level) for level in levels]
    return [kind.of(level, parameters, *chunk) for kind, level, chunk in zip(kinds, levels, chunks, strict=True)]


def _parameters(head: header.Header) -> Parameters:
    """Raises CorruptError, UnsupportedError."""
    parameters = read_parameters(head.parameters, whole=True)
    check_rule(head.levels, parameters)
    return parameters


def open_levels(data: bytes | bytearray | memoryview, limits: Limits | None = None) -> dict[str, LevelReader]:
    """All levels by name, their side information read, the symbols not yet decoded. Raises as `decode` does."""
    view, limits = as_bytes(data), limits or Limits()
    opened = open_bitstream(view)
    if opened.codec != header.NUMBER:
        raise InputError(f"a bitstream of codec number {opened.codec} has no symbols of channels: only {_NAME} has")
    head = header.read_header(opened, view, limits)
    parameters = _parameters(head)
    chosen = header.select(head.levels, None, parameters.symbols, limits)
    return {reader.header.name: reader for reader in _readers(view, head, parameters, chosen)}
