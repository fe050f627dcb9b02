"""Units of streams of `paper` for fuzz_decode.py, as stream_units.py has those of `calibrated`."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import calibrated
import numpy as np
from stream_units import MOST_CHUNK, MOST_FIELDS, Part, packed, parts_of, unpacked

import midstream as ms
from midstream.codec import container
from midstream.codec.chain import digest_of, write_reference
from midstream.codec.paper.header import write_levels
from midstream.codec.paper.units import STREAM_NUMBER, PaperUnit, read_paper_fields
from midstream.codec.wire import varint

SYMBOLS = b"SYMB"
RULES: tuple[dict[str, Any], ...] = (
    {"symbols": 4, "z": 1.5},
    {"symbols": 6, "thresholds": "lloyd-max"},
    {"symbols": 40, "thresholds": "uniform", "step": 0.1},
    {"symbols": 5, "thresholds": "range"},
)


def read(data: bytes) -> list[Part]:
    """Units of any bytes behind SYMBOLS; what is missing is empty."""
    return unpacked(data[len(SYMBOLS) :])


def write(parts: list[Part]) -> bytes:
    """As a fuzzer's input."""
    return SYMBOLS + packed(parts)


def fields_of(fields: bytes) -> PaperUnit | None:
    """What the fields of a unit say, if they are whole."""
    try:
        opened = container.open_stream(memoryview(container.write_header(STREAM_NUMBER, fields)))
        return read_paper_fields(opened, ms.Limits())
    except ms.BitstreamError:
        return None


def written(unit: PaperUnit, digest: int, sizes: list[tuple[int, int]]) -> bytes:
    """The fields with another digest and other sizes."""
    head = bytes([unit.key]) + varint(unit.number)
    if unit.key:
        levels = [
            replace(level, side_bytes=side, payload_bytes=payload)
            for level, (side, payload) in zip(unit.levels, sizes, strict=True)
        ]
        return head + write_levels(levels) + unit.parameters
    head += write_reference(unit.distance, digest) + varint(len(sizes))
    return head + b"".join(varint(size) for each in sizes for size in each) + unit.parameters


def built(parts: list[Part]) -> list[bytes]:
    """The units: chunks are cut or filled up to what the fields declare, digests are those of the frames before."""
    out, digests = list[bytes](), dict[int, int]()
    for fields, chunk in parts:
        unit = fields_of(fields)
        if unit is not None:
            wanted = min(sum(map(sum, unit.sizes)), MOST_CHUNK)
            chunk = chunk[:wanted].ljust(wanted, b"\0")
            fields = written(unit, digests.get(unit.number - unit.distance, unit.digest), list(unit.sizes))
        data = b"".join([container.write_header(STREAM_NUMBER, fields), *container.sealed([chunk])])
        if unit is not None:
            digests[unit.number] = digest_of(data)
        out.append(data)
    return out


def mutated(data: bytes, most: int, rng: random.Random, mutate: calibrated.Mutate) -> bytes:
    """One unit changed, doubled, left out or moved; all else right."""
    parts = read(data)
    if not parts:
        return data
    at, choice, room = rng.randrange(len(parts)), rng.randrange(8), max(most - len(data), 0)
    fields, chunk = parts[at]
    unit = fields_of(fields)
    if choice == 0:
        parts.insert(rng.randrange(len(parts) + 1), parts[at] if rng.randrange(2) else parts.pop(at))
    elif choice == 1 or unit is None:
        parts[at] = mutate(fields, min(len(fields) + room, MOST_FIELDS)), chunk
    else:
        sizes = [size for each in unit.sizes for size in each]
        number = rng.randrange(len(sizes))
        start = sum(sizes[:number])
        old = chunk[start : start + sizes[number]]
        new = mutate(old, len(old) + room)
        chunk = chunk[:start] + new + chunk[start + len(old) :]
        sizes[number] = len(new)
        parts[at] = written(unit, unit.digest, list(zip(sizes[::2], sizes[1::2], strict=True))), chunk
    return write(parts)


def seeds() -> dict[str, bytes]:
    """A short stream of every rule: channels that are constant now and then, a symbol that is new."""
    rng, out = np.random.default_rng(6), dict[str, bytes]()
    for number, rule in enumerate(RULES):
        encoder = ms.StreamEncoder("paper", coder="dense", **rule)
        still, parts = {"fine": rng.normal(size=(4, 5, 4)), "coarse": rng.normal(size=(2, 2, 3))}, list[Part]()
        for frame in range(4):
            now = {name: values + 0.05 * rng.normal(size=values.shape) for name, values in still.items()}
            now["fine"][1] = 0.5 if frame < 2 else now["fine"][1]
            pyramid = {name: values.astype(np.float32 if number % 2 else np.float16) for name, values in now.items()}
            parts.append(parts_of(encoder.encode(pyramid)))
        out[f"symbols-{number}"] = write(parts)
    return out
