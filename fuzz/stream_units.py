"""Units of streams for fuzz_decode.py: an input names a profile and, of each unit, the header's fields and the chunk.

What is made of it has right checksums, sizes, profile and digests, so that a unit that was changed is decoded, and so
are those that refer to it.
"""

from __future__ import annotations

import random
import struct
from typing import Any

import calibrated
import numpy as np

import midstream as ms
from midstream.codec import container
from midstream.codec.calibrated.profile import HASH_BYTES
from midstream.codec.calibrated.stream import STREAM_NUMBER
from midstream.codec.chain import digest_of
from midstream.codec.temporal.units import UnitHeader, read_unit_fields
from midstream.codec.wire import varint

STREAM = b"UNIT"
_SHORT: dict[str, Any] = {"kept": 0.6, "ways": 2, "qualities": (120,) * 100}
#: Of versions 1, 2, 4 and 5.
PROFILES = (
    calibrated.PROFILE,
    calibrated.profiles.profile(layout=calibrated.LAYOUT, **_SHORT),
    calibrated.profiles.profile(layout=calibrated.LAYOUT, entropy=True, **_SHORT),
    calibrated.profiles.profile(layout=calibrated.LAYERED, layers=2, **_SHORT),
)
_SIZES = struct.Struct("<HH")
_MOST_UNITS, MOST_FIELDS, MOST_CHUNK = 8, 1000, 1 << 12
#: Of a header before its fields: prelude and codec.
_BEFORE = 9
Part = tuple[bytes, bytes]


def read(data: bytes) -> tuple[ms.Profile, list[Part]]:
    """Profile and units of any bytes behind STREAM; what is missing is empty."""
    number = (data[len(STREAM) : len(STREAM) + 1] or b"\0")[0] % len(PROFILES)
    return PROFILES[number], unpacked(data[len(STREAM) + 1 :])


def unpacked(data: bytes) -> list[Part]:
    """What `packed` gave, or any bytes."""
    at, parts = 0, list[Part]()
    while at < len(data) and len(parts) < _MOST_UNITS:
        fields, chunk = _SIZES.unpack(data[at : at + _SIZES.size].ljust(_SIZES.size, b"\0"))
        at += _SIZES.size
        parts.append((data[at : at + fields][:MOST_FIELDS], data[at + fields : at + fields + chunk]))
        at += fields + chunk
    return parts


def packed(parts: list[Part]) -> bytes:
    """Fields and chunks with their sizes."""
    return b"".join(_SIZES.pack(len(fields), len(chunk)) + fields + chunk for fields, chunk in parts)


def parts_of(unit: bytes) -> Part:
    """Fields and chunk of a unit."""
    size = int.from_bytes(unit[6:8], "little")
    return unit[_BEFORE : size - 4], unit[size:-4]


def write(profile: ms.Profile, parts: list[Part]) -> bytes:
    """As a fuzzer's input."""
    return STREAM + bytes([PROFILES.index(profile)]) + packed(parts)


def fields_of(fields: bytes) -> UnitHeader | None:
    """What the fields of a unit say, if they are whole."""
    try:
        opened = container.open_stream(memoryview(container.write_header(STREAM_NUMBER, fields)))
        return read_unit_fields(opened, ms.Limits())
    except ms.BitstreamError:
        return None


def built(profile: ms.Profile, parts: list[Part]) -> list[bytes]:
    """The units: chunks are cut or filled up to what the fields declare, digests are those of the frames before."""
    out, digests = list[bytes](), dict[int, int]()
    for fields, chunk in parts:
        header = fields_of(fields)
        if header is not None:
            wanted = min(sum(header.streams), MOST_CHUNK)
            chunk = chunk[:wanted].ljust(wanted, b"\0")
            own = 2 + len(varint(header.number))
            if header.profile is not None:
                fields = fields[:own] + profile.key + fields[own + HASH_BYTES :]
            elif (digest := digests.get(header.number - header.distance)) is not None:
                own += len(varint(header.distance))
                fields = fields[:own] + digest.to_bytes(4, "little") + fields[own + 4 :]
        unit = b"".join([container.write_header(STREAM_NUMBER, fields), *container.sealed([chunk])])
        if header is not None:
            digests[header.number] = digest_of(unit)
        out.append(unit)
    return out


def mutated(data: bytes, most: int, rng: random.Random, mutate: calibrated.Mutate) -> bytes:
    """One unit changed, doubled, left out or moved; all else right."""
    profile, parts = read(data)
    if not parts:
        return data
    at, choice, room = rng.randrange(len(parts)), rng.randrange(8), max(most - len(data), 0)
    fields, chunk = parts[at]
    header = fields_of(fields)
    if choice == 0:
        parts.insert(rng.randrange(len(parts) + 1), parts[at] if rng.randrange(2) else parts.pop(at))
    elif choice == 1 or header is None:
        parts[at] = mutate(fields, min(len(fields) + room, MOST_FIELDS)), chunk
    else:
        number = rng.randrange(len(header.streams))
        start = sum(header.streams[:number])
        old = chunk[start : start + header.streams[number]]
        new = mutate(old, len(old) + room)
        sizes = [*header.streams[:number], len(new), *header.streams[number + 1 :]]
        behind = sum(len(varint(size)) for size in header.streams)
        parts[at] = (
            fields[: len(fields) - behind] + b"".join(map(varint, sizes)),
            chunk[:start] + new + chunk[start + len(old) :],
        )
    return write(profile, parts)


def seeds() -> dict[str, bytes]:
    """Short streams of every kind."""
    out: dict[str, bytes] = {}
    for number, profile in enumerate(PROFILES):
        for name, dtype, change, count in (("still", np.float32, 0.02, 3), ("moving", np.float16, 0.5, 4)):
            encoder = ms.StreamEncoder(profile=profile, quality=60, key_interval=3)
            parts = []
            for frame in calibrated.profiles.clip(count, number, 3.0, calibrated.LAYOUT, change):
                parts.append(parts_of(encoder.encode({name: values.astype(dtype) for name, values in frame.items()})))
            out[f"units-{number}-{name}"] = write(profile, parts)
    return out
