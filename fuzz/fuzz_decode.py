"""Whole bitstreams: whatever the bytes, `decode` raises a BitstreamError or gives finite values of the declared shapes.

    python fuzz/fuzz_decode.py --seeds fuzz/corpus/decode    # what fuzzing begins with
    python fuzz/fuzz_decode.py fuzz/corpus/decode            # takes the options of libFuzzer
    python fuzz/fuzz_decode.py fuzz/crashes/decode-...       # one input again

Every input that the mutator makes has right checksums: behind a wrong one, nothing is read.
"""

from __future__ import annotations

import gc
import random
import shlex
import struct
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import atheris
import calibrated
import clip_files
import numpy as np
import stream_units
import symbol_units
from bitstreams import LIMITS, check, small_groups, unless_refused

import midstream as ms
from midstream import _native
from midstream.codec import container
from midstream.codec.paper import header as paper_header
from midstream.codec.paper.symbols import CODERS

ROOT = Path(__file__).resolve().parents[1]
PRELUDE = 8


def header_of(data: bytes) -> paper_header.Header | None:
    """The header, where it can be read; chunks may be cut."""
    view = memoryview(data)
    return unless_refused(lambda: paper_header.read_header(container.open_stream(view), view, LIMITS, partial=True))


def cut_at_header(data: bytes) -> tuple[bytes, bytes]:
    """The header's fields without prelude and checksum, and all that follows it."""
    size = struct.unpack_from("<H", data, 6)[0] if len(data) >= PRELUDE else len(data)
    return data[PRELUDE : max(size - 4, PRELUDE)], data[size:]


def sealed(content: bytes) -> bytes:
    """With its checksum."""
    return content + struct.pack("<I", _native.crc32c(content))


def joined(fields: bytes, chunks: bytes, room: int) -> bytes:
    """A bitstream of these fields; the chunks are cut or filled up to the sizes that the fields declare, and sealed."""
    head = sealed(struct.pack("<4sBBH", container.MAGIC, container.VERSION, 0, PRELUDE + len(fields) + 4) + fields)
    header = header_of(head)
    if header is None or header.total > room:
        return head + chunks
    chunks = chunks.ljust(header.total, b"\0")
    for level in paper_header.wire_order(header.levels):
        size = level.chunk_bytes - 4
        head, chunks = head + sealed(chunks[:size]), chunks[size + 4 :]
    return head


def chunks_of(data: bytes, header: paper_header.Header) -> dict[str, list[bytes]]:
    """Side information and payload of each level, whatever their checksums."""
    out = {}
    for level in header.levels:
        side = header.offsets[level.name]
        payload = side + level.side_bytes
        out[level.name] = [data[side:payload], data[payload : payload + level.payload_bytes]]
    return out


def with_other_chunk(data: bytes, header: paper_header.Header, rng: random.Random, room: int) -> bytes:
    """Side information or payload of one level mutated; the header declares the new sizes."""
    chunks = chunks_of(data, header)
    level = rng.choice(header.levels)
    part = rng.randrange(2)
    chunk = chunks[level.name]
    chunk[part] = atheris.Mutate(chunk[part], len(chunk[part]) + room)
    changed = replace(level, side_bytes=len(chunk[0]), payload_bytes=len(chunk[1]))
    levels = tuple(changed if other is level else other for other in header.levels)
    return paper_header.write(levels, header.parameters, chunks)


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """The mutator: the header's fields, or a chunk, or now and then the bytes as they are; then the checksums."""
    rng = random.Random(seed)
    choice, room = rng.randrange(8), max(most - len(data), 0)
    if choice == 0:
        return atheris.Mutate(data, most)
    if data.startswith(clip_files.MAGIC):
        return clip_files.mutated(data, most, rng, atheris.Mutate)[:most]
    if data.startswith(stream_units.STREAM):
        return stream_units.mutated(data, most, rng, atheris.Mutate)[:most]
    if data.startswith(symbol_units.SYMBOLS):
        return symbol_units.mutated(data, most, rng, atheris.Mutate)[:most]
    if data.startswith(calibrated.RECIPE) or calibrated.fields_of(data) is not None:
        return calibrated.mutated(data, most, rng, atheris.Mutate)[:most]
    header = header_of(data)
    if choice > 2 and header is not None and header.total == len(data):
        return with_other_chunk(data, header, rng, room)[:most]
    fields, chunks = cut_at_header(data)
    fields = atheris.Mutate(fields, min(len(fields) + room, 1000))
    return joined(fields, chunks, most)[:most]


def seeds() -> dict[str, bytes]:
    """The golden streams that are small, small ones of every coder, streams of units and files of clips."""
    golden = {path.name: path.read_bytes() for path in sorted((ROOT / "tests" / "golden").glob("v*/*.mids"))}
    out = {name: data for name, data in golden.items() if len(data) < 2000}
    out |= calibrated.seeds() | stream_units.seeds() | symbol_units.seeds() | clip_files.seeds()
    rng = np.random.default_rng(5)
    fine = rng.normal(size=(3, 4, 4)).astype(np.float32)
    fine[1] = 0.5
    small = {"fine": fine, "coarse": rng.normal(size=(2, 2, 3)).astype(np.float16)}
    smooth = np.repeat(rng.normal(size=(70, 3, 1)), 6, axis=2).astype(np.float32)
    for coder in CODERS:
        for symbols in (2, 3, 4, 40, 256):
            rule: dict[str, Any] = {"thresholds": "uniform", "step": 0.1} if symbols == 40 else {}
            rule = {"thresholds": "range"} if symbols == 256 else rule
            out[f"small-{coder}-{symbols}"] = ms.encode(small, symbols=symbols, coder=coder, **rule)
        out[f"groups-{coder}"] = ms.encode({"x": smooth}, symbols=4, coder=coder)
    return out


def instrument() -> None:
    """Have libFuzzer see the branches of the package.

    Its functions are changed where they are: atheris does not see through the loader of an editable install.
    """
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and (found.__module__ or "").split(".")[0] == "midstream":
            atheris.instrument_func(found)


def main() -> None:
    """Start libFuzzer, or write the seeds into a folder."""
    if sys.argv[1:2] == ["--seeds"]:
        for name, data in seeds().items():
            Path(sys.argv[2], f"seed-{name}").write_bytes(data)
        return
    warnings.simplefilter("error")  # a hostile stream makes no noise either
    small_groups()
    instrument()
    # A merge starts itself again, by the shell.
    again = shlex.join([sys.executable, sys.argv[0]])
    atheris.Setup([again, *sys.argv[1:]], check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
