"""Bitstreams of the codec `calibrated` for fuzz_decode.py: those that are read with one fixed profile, and *recipes*.

A recipe is what a bitstream with its own profile is made of: such a bitstream has half a megabyte, most of it the
coder's state, and is no input for a fuzzer. It is the profile's document, bytes that are changed in the profile's file,
the header's fields and the streams; `built` makes of it a bitstream whose sizes, hash and checksums are right.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import midstream as ms
from midstream.arrays import unpack_tensors
from midstream.codec import container
from midstream.codec.calibrated.document import CurvePoint
from midstream.codec.calibrated.profile import HASH_BYTES
from midstream.codec.calibrated.stream import CODEC, NUMBER, StreamHeader, read_fields
from midstream.codec.wire import varint

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.helpers import profiles

LAYOUT = ({"a": (3, (4, 5), 2), "b": (3, (2, 3), 1)}, {"c": (3, (2, 2), 1)})
#: The same levels, of which two are layers.
LAYERED = ({"b": (3, (2, 3), 1)}, {"a": (3, (4, 5), 2)}, {"c": (3, (2, 2), 1)})
#: The one that streams without their own are read with; a short document.
SHORT: dict[str, Any] = {
    "layout": LAYOUT,
    "kept": 0.6,
    "cut": "",
    "image_hash": "",
    "qualities": (120,) * 100,
    "curve": (CurvePoint(step=1, bytes=1.0, loss=0.0),),
}
PROFILE = profiles.profile(**SHORT)
#: With entropy models, and with layers, which recipes begin with, too.
LATER = {
    b'"version": 4': profiles.profile(**SHORT, entropy=True),
    b'"version": 5': profiles.profile(**{**SHORT, "layout": LAYERED}, layers=2),
}
_START = 8 + int.from_bytes(PROFILE.data[:8], "little")  # of the tensors in its file
TENSORS = unpack_tensors(PROFILE.data, "the profile")[0]
#: By what is in their documents.
LATER_TENSORS = {mark: unpack_tensors(profile.data, "the profile")[0] for mark, profile in LATER.items()}
RECIPE = b"PROF"
_SIZES = struct.Struct("<HHH")
_CHANGE = struct.Struct("<IB")
_EMBEDDED = 1
Mutate = Callable[[bytes, int], bytes]


def _document(profile: ms.Profile) -> bytes:
    """As it stands in the file."""
    start = 8 + int.from_bytes(profile.data[:8], "little")
    text: str = json.loads(profile.data[8:start])["__metadata__"]["midstream"]
    return text.encode()


@dataclass(frozen=True)
class Recipe:
    """Document (JSON), changes (position and value), fields of the header behind the profile's hash, streams."""

    document: bytes
    changes: bytes
    fields: bytes
    streams: bytes

    @classmethod
    def read(cls, data: bytes) -> Recipe:
        """Of any bytes behind RECIPE; what is missing is empty."""
        sizes = _SIZES.unpack(data[4 : 4 + _SIZES.size].ljust(_SIZES.size, b"\0"))
        parts, at = [], 4 + _SIZES.size
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        return cls(*parts, data[at:])

    def write(self) -> bytes:
        """As a fuzzer's input."""
        parts = (self.document, self.changes, self.fields)
        return RECIPE + _SIZES.pack(*(len(part) & 0xFFFF for part in parts)) + b"".join(parts) + self.streams

    def profile(self) -> bytes:
        """The profile's file."""
        tensors = next((found for mark, found in LATER_TENSORS.items() if mark in self.document), TENSORS)
        made = safetensors.numpy.save(tensors, {"midstream": self.document.decode(errors="replace")})
        file = bytearray(made)
        for at in range(0, len(self.changes) - _CHANGE.size + 1, _CHANGE.size):
            place, value = _CHANGE.unpack_from(self.changes, at)
            file[place % len(file)] = value
        return bytes(file)

    def built(self) -> bytes:
        """The bitstream."""
        file = self.profile()
        fields = bytes([self.fields[0] | _EMBEDDED]) + self.fields[1:] if self.fields else b""
        body = hashlib.sha256(file).digest()[:HASH_BYTES] + fields + varint(len(file))
        return with_chunk(body, file, self.streams)


def fields_of(head: bytes) -> StreamHeader | None:
    """What a header says, if it is one of this codec."""
    try:
        opened = container.open_stream(memoryview(head))
        return read_fields(opened, ms.Limits()) if opened.codec == NUMBER else None
    except ms.BitstreamError:
        return None


def with_chunk(body: bytes, profile: bytes, streams: bytes) -> bytes:
    """The bitstream of these fields; the streams are cut or filled up to what the fields declare."""
    head = container.write_header(NUMBER, body[:0xFF00])
    header = fields_of(head)
    wanted = len(streams) if header is None else min(sum(header.streams), 1 << 14)
    return b"".join([head, *container.sealed([profile, streams[:wanted].ljust(wanted, b"\0")])])


def mutated(data: bytes, most: int, rng: random.Random, mutate: Mutate) -> bytes:
    """A recipe, or a stream that is read with PROFILE, with one part changed and all else right."""
    if data.startswith(RECIPE):
        return _mutated_recipe(Recipe.read(data), max(most - len(data), 0), rng, mutate).write()
    size = int.from_bytes(data[6:8], "little")
    body, streams, header = data[9 : size - 4], data[size:-4], fields_of(data[:size])
    room = max(most - len(data), 0)
    if header is None or rng.randrange(4) == 0:
        start = HASH_BYTES if rng.randrange(8) else 0  # a profile's hash is seldom worth a change
        return with_chunk(body[:start] + mutate(body[start:], min(len(body) + room, 1000)), b"", streams)
    number = rng.randrange(len(header.streams))
    at = sum(header.streams[:number])
    old = streams[at : at + header.streams[number]]  # the header may declare more than there is, or than there could be
    part = mutate(old, len(old) + room)
    sizes = [*header.streams[:number], len(part), *header.streams[number + 1 :]]
    behind = len(b"".join(varint(old) for old in header.streams))
    body = body[: len(body) - behind] + b"".join(varint(new) for new in sizes)
    return with_chunk(body, b"", streams[:at] + part + streams[at + header.streams[number] :])


def _mutated_recipe(recipe: Recipe, room: int, rng: random.Random, mutate: Mutate) -> Recipe:
    choice = rng.randrange(4)
    if choice == 0:
        return replace(recipe, document=mutate(recipe.document, len(recipe.document) + room))
    if choice == 1:  # most of a profile is the coder's state: as often what lies before it
        place = rng.choice([rng.randrange(1 << 32), rng.randrange(_START), _START + rng.randrange(3000)])
        return replace(recipe, changes=recipe.changes[-600:] + _CHANGE.pack(place & 0xFFFFFFFF, rng.randrange(256)))
    if choice == 2:
        return replace(recipe, fields=mutate(recipe.fields, min(len(recipe.fields) + room, 200)))
    return replace(recipe, streams=mutate(recipe.streams, len(recipe.streams) + room))


def seeds() -> dict[str, bytes]:
    """Small streams of every kind, and a recipe."""
    out: dict[str, bytes] = {}
    for name, dtype, more in (("plain", np.float32, 0), ("typed", np.float16, 0), ("sized", np.float32, 2)):
        layout: Any = [
            {level: (c, (h + more * r, w + more * r), r) for level, (c, (h, w), r) in group.items()} for group in LAYOUT
        ]
        for scale in (1.0, 300.0):
            pyramid = {level: values.astype(dtype) for level, values in profiles.pyramid(0, scale, layout).items()}
            out[f"calibrated-{name}-{scale:g}"] = ms.encode(pyramid, CODEC, profile=PROFILE, quality=60)
            for kind, profile in zip(
                ("recipe", "recipe-entropy", "recipe-layers"), (PROFILE, *LATER.values()), strict=True
            ):
                made = ms.encode(pyramid, CODEC, profile=profile, quality=60)
                size = int.from_bytes(made[6:8], "little")
                recipe = Recipe(_document(profile), b"", made[9 + HASH_BYTES : size - 4], made[size:-4])
                out[f"{kind}-{name}-{scale:g}"] = recipe.write()
    return out
