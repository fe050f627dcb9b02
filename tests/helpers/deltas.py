"""A codec with memory, as small as can be: each frame is its difference to the decoded one before, through zlib.

It keeps every promise of `midstream.codec.sequence` that a stream counts on: keys, a digest chained over the units
since the key, steps, acknowledged and lost frames, a state.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from midstream.codec import container, registry
from midstream.codec.base import NO_HINTS, Capabilities, Codec, Declaration, Decoder, DecodeRequest, Hints, StreamInfo
from midstream.codec.container import Opened
from midstream.codec.sequence import PendingFrame, SequenceDecoder, SequenceEncoder
from midstream.errors import CorruptError, InputError, MissingReferenceError, TruncatedError
from midstream.features import Level

NUMBER = 200
STEPS = range(64)
_KEY = 1
_DIGEST = 8
Shapes = list[tuple[str, tuple[int, int, int]]]


@dataclass(frozen=True)
class Reference:
    """What a frame may refer to: float32 values of all levels, and the digest of the units since the key."""

    digest: bytes
    shapes: Shapes
    values: NDArray[np.float32] = field(repr=False)


def _width(step: int) -> np.float32:
    return np.float32(2 ** (step / 8 - 6))


def _chained(before: bytes, unit: bytes | memoryview) -> bytes:
    return hashlib.sha256(before + bytes(unit)).digest()[:_DIGEST]


class DeltasEncoder(SequenceEncoder):
    def __init__(self, step: int) -> None:
        self.step = step
        self.reference: Reference | None = None
        self.sent: dict[int, Reference] = {}
        self.acknowledged: Reference | None = None
        self.count = 0

    def frame(self, levels: Sequence[Level], hints: Hints, key: bool, threads: int | None) -> PendingFrame:
        shapes = [(level.name, level.shape) for level in levels]
        values = np.concatenate([level.values.reshape(-1) for level in levels])
        if not np.isfinite(values).all():
            raise InputError("a NaN or an infinity")
        reference = None if key else self.reference
        if reference is not None and np.abs(values - reference.values).mean() > np.abs(values).mean():
            reference = None  # a cut of scene
        return _Pending(self, shapes, values, reference)

    def acknowledge(self, number: int) -> None:
        self.acknowledged = self.sent.get(number)

    def lost(self, number: int) -> None:
        if number in self.sent:  # all later ones refer to it
            self.reference = self.acknowledged


class _Pending(PendingFrame):
    steps = STEPS

    def __init__(
        self, encoder: DeltasEncoder, shapes: Shapes, values: NDArray[np.float32], reference: Reference | None
    ) -> None:
        self._encoder, self._shapes, self._values, self._reference = encoder, shapes, values, reference
        self.key = reference is None

    def write(self) -> bytes:
        return self.code(self._encoder.step)

    def code(self, step: int) -> bytes:
        ahead = 0 if self._reference is None else self._reference.values
        symbols = np.rint((self._values - ahead) / _width(step)).astype("<i4")
        digest = b"" if self._reference is None else self._reference.digest
        payload = zlib.compress(symbols.tobytes(), 6)
        body = bytes([_KEY if self.key else 0, step]) + digest + json.dumps(self._shapes).encode()
        header = container.write_header(NUMBER, body)
        return b"".join([header, *container.sealed([payload])])

    def keep(self, unit: bytes) -> None:
        encoder = self._encoder
        encoder.reference = _rebuilt(memoryview(unit), self._reference)
        if self.key:
            encoder.sent.clear()
        encoder.sent[encoder.count] = encoder.reference
        encoder.count += 1


def _rebuilt(unit: memoryview, reference: Reference | None) -> Reference:
    opened = container.open_stream(unit)
    key, step, digest, shapes = _fields(opened)
    return _made(unit, opened, step, digest, shapes, None if key else reference)


def _fields(opened: Opened) -> tuple[bool, int, bytes, Shapes]:
    reader = opened.reader
    key, step = bool(reader.u8()), reader.u8()
    digest = b"" if key else reader.take(_DIGEST)
    return key, step, digest, [(name, tuple(shape)) for name, shape in json.loads(reader.rest().tobytes())]


def _made(
    unit: memoryview, opened: Opened, step: int, digest: bytes, shapes: Shapes, reference: Reference | None
) -> Reference:
    if len(unit) < opened.size + container.CRC_BYTES:
        raise TruncatedError("the unit ends before its chunk")
    try:
        symbols = np.frombuffer(zlib.decompress(container.unsealed(unit[opened.size :], "chunk")), "<i4")
    except zlib.error as error:
        raise CorruptError(f"chunk: {error}") from error
    values = symbols * _width(step) + (0 if reference is None else reference.values)
    return Reference(_chained(digest, unit), shapes, values.astype(np.float32))


class DeltasSequence(SequenceDecoder):
    def __init__(self) -> None:
        self.kept: dict[bytes, Reference] = {}

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        key, step, digest, shapes = _fields(opened)
        if not key and digest not in self.kept:
            raise MissingReferenceError(f"the unit refers to a frame of digest {digest.hex()}, which is not here")
        made = _made(data, opened, step, digest, shapes, None if key else self.kept[digest])
        self.kept = {made.digest: made} if key else self.kept | {made.digest: made}
        out, at = {}, 0
        for name, shape in shapes:
            size = int(np.prod(shape))
            out[name] = made.values[at : at + size].reshape(shape).copy()
            at += size
        return {name: values for name, values in out.items() if request.levels is None or name in request.levels}

    def state(self) -> bytes:
        kept = [[each.digest.hex(), each.shapes, each.values.tolist()] for each in self.kept.values()]
        return json.dumps(kept).encode() if kept else b""

    def restore(self, state: bytes) -> None:
        self.kept = {}
        for digest, shapes, values in json.loads(state or b"[]"):
            key = bytes.fromhex(digest)
            self.kept[key] = Reference(key, [(n, tuple(s)) for n, s in shapes], np.array(values, np.float32))


class DeltasDecoder(Decoder):
    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        return Declaration("deltas", False, dict(_fields(opened)[3]))

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        return DeltasSequence().decode(opened, data, request)

    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> StreamInfo:
        raise NotImplementedError

    def sequence(self) -> SequenceDecoder:
        return DeltasSequence()


class Deltas(Codec):
    """Differences to the frame before."""

    name: ClassVar[str] = "deltas"
    number: ClassVar[int] = NUMBER
    capabilities: ClassVar[Capabilities] = Capabilities(state=True)
    decoder: ClassVar[Decoder] = DeltasDecoder()
    targets: ClassVar[tuple[str, ...]] = ("step",)
    step: int | None = None

    def encode(self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
        return self.sequence().frame(levels, hints, True, threads).write()

    def sequence(self) -> SequenceEncoder:
        return DeltasEncoder(16 if self.step is None else self.step)


def install(patch: pytest.MonkeyPatch) -> None:
    """Make it known, as if a package had brought it."""
    patch.setattr(registry, "_foreign", lambda: ({"deltas": Deltas}, []))
