"""Rows of inputs: their keys, and tables of them that are not too large."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from midstream.batch.schema import INPUT

Row = dict[str, Any]
#: Most bytes of a table of inputs, unless a single one is larger. Blocks of this size lie in Ray's object store.
INPUT_BYTES = 8 << 20
#: Of a key, in hexadecimal: Ray Data holds those of all inputs that are done in memory.
_KEY_DIGITS = 32


class Chunk(ABC):
    """A part of the input; travels to the machine that reads it."""

    @property
    def count(self) -> int | None:
        """How many inputs there are; None where only reading tells: what a container says is not relied on."""
        return None

    def read(self) -> Iterator[pa.Table]:
        """Tables of `schema.INPUT`."""
        return tables(self.inputs())

    @abstractmethod
    def inputs(self) -> Iterator[Row]:
        """Rows of `schema.INPUT`, one an input; what cannot be read is a row with an error."""


def content_row(
    name: str,
    data: bytes,
    size: Sequence[int | None] = (None, None),
    raw: bool = False,
    numbers: Sequence[int] | None = None,
) -> Row:
    """A row of `schema.INPUT`; with `raw`, the pixels of an image of `size`; with `numbers`, a clip of such frames."""
    content = hashlib.sha256(data).hexdigest()
    height, width = size
    about = {"key": key_of(name, content), "id": name, "sha256": content, "data": data}
    return {**about, "raw": raw, "height": height, "width": width, "numbers": numbers}


def failed_row(name: str, error: str) -> Row:
    """A row of `schema.INPUT` of what cannot be read."""
    return {"key": key_of(name, "unreadable"), "id": name, "raw": False, "error": error}


def key_of(name: str, content: str) -> str:
    """Of an input, by its name and its content."""
    return hashlib.sha256(f"{content} {name}".encode(errors="surrogatepass")).hexdigest()[:_KEY_DIGITS]


def tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    """Rows in tables of at most INPUT_BYTES, or one row."""
    held: list[Row] = []
    size = 0
    for row in rows:
        length = len(row.get("data") or b"")
        if held and size + length > INPUT_BYTES:
            yield pa.Table.from_pylist(held, INPUT)
            held, size = [], 0
        held.append(row)
        size += length
    if held:
        yield pa.Table.from_pylist(held, INPUT)
