"""The head of a stream of features that is not a midstream bitstream: names and shapes of the levels, a few bytes."""

from __future__ import annotations

from midstream.codec.wire import Reader, varint
from midstream.models import FloatPyramid

Shapes = dict[str, tuple[int, int, int]]


def write_shapes(pyramid: FloatPyramid) -> bytes:
    """Number of levels, then length and name, channels, height and width of each."""
    parts = [varint(len(pyramid))]
    for name, values in pyramid.items():
        text = name.encode()
        parts += [varint(len(text)), text, *(varint(side) for side in values.shape)]
    return b"".join(parts)


def read_shapes(reader: Reader) -> Shapes:
    """The same back. Raises CorruptError."""
    shapes: Shapes = {}
    for _ in range(reader.varint()):
        name = reader.take(reader.varint()).decode()
        shapes[name] = (reader.varint(), reader.varint(), reader.varint())
    return shapes
