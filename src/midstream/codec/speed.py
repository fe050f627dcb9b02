"""How fast the codec is on this machine, beside one plain read pass over the same elements."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from midstream import _native
from midstream.codec.api import decode, encode
from midstream.codec.base import Codec
from midstream.codec.threads import thread_count
from midstream.errors import InputError
from midstream.features import check_pyramid

Shapes = dict[str, tuple[int, int, int]]
#: Height and width of the paper's images.
_PAPER_IMAGE = (1024, 2048)
#: Channels of every level of R50-FPN, and the strides of P2 to P5; P6 is a subsampled P5.
_R50_CHANNELS = 256
_R50_STRIDES = (4, 8, 16, 32)
#: PicoDet-S at 416x416.
_PICODET = {"p3": (96, 52, 52), "p4": (96, 26, 26), "p5": (96, 13, 13), "p6": (96, 7, 7)}
#: A shape that a typing error made would not fit into memory.
_MOST_ELEMENTS = 1 << 29


class SpeedRow(BaseModel):
    """Speed of one coder with so many threads.

    Attributes:
        bits_per_element: of the whole bitstream.
        encode_seconds, decode_seconds: least of several runs, float32 to bitstream and back.
        encode_passes, decode_passes: the same in units of one read pass over the float32 elements.
    """

    coder: str
    threads: int
    bits_per_element: float
    encode_seconds: float
    decode_seconds: float
    encode_passes: float
    decode_passes: float


class SpeedReport(BaseModel):
    """What was measured.

    Attributes:
        read_seconds: one core reading all elements once.
        copy_seconds: one core copying them into fresh memory.
        simd: the instruction set in use.
    """

    shapes: Shapes
    elements: int
    codec: dict[str, Any]
    simd: str
    read_seconds: float
    copy_seconds: float
    rows: list[SpeedRow]


def r50_fpn_shapes(height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """[C, H, W] of P2 to P6 of R50-FPN for an image fed at this size (padded to a multiple of 32)."""
    height, width = (-(-side // 32) * 32 for side in (height, width))
    shapes = {
        f"p{i}": (_R50_CHANNELS, height // stride, width // stride) for i, stride in enumerate(_R50_STRIDES, start=2)
    }
    shapes["p6"] = (_R50_CHANNELS, -(-height // 64), -(-width // 64))
    return shapes


def shapes_of(name: str) -> Shapes:
    """The levels of `r50` (the paper's, a 2048x1024 image), `picodet`, or CxHxW. Raises InputError."""
    if name == "r50":
        return r50_fpn_shapes(*_PAPER_IMAGE)
    if name == "picodet":
        return dict(_PICODET)
    parts = name.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and part.strip("0") and len(part) < 100 for part in parts):
        raise InputError(f"unknown shape '{name}'; valid: r50, picodet, or CHANNELSxHEIGHTxWIDTH such as 256x100x168")
    channels, height, width = map(int, parts)
    if channels * height * width > _MOST_ELEMENTS:
        raise InputError(f"{name} has {channels * height * width:,} elements; the benchmark takes {_MOST_ELEMENTS:,}")
    return {"map": (channels, height, width)}


def smooth_pyramid(shapes: Shapes) -> dict[str, NDArray[np.float32]]:
    """Noise whose neighbours are alike, as in features; the same every time."""
    rng = np.random.default_rng(0)
    out = {}
    for name, shape in shapes.items():
        noise = rng.standard_normal(shape, np.float32)
        for axis in (1, 2):
            noise += np.roll(noise, 1, axis)
        out[name] = noise
    return out


def measure(
    pyramid: Mapping[str, Any],
    codecs: Sequence[Codec],
    threads: list[int],
    repeats: int,
    on_row: Callable[[], None] = lambda: None,
) -> SpeedReport:
    """Encode and decode with every codec and number of threads, a read pass before each run."""
    levels = check_pyramid(pyramid)
    elements = sum(level.values.size for level in levels)
    reads: list[float] = []
    read = _timer(lambda: [_native.read_pass(level.values) for level in levels], reads)
    rows = []
    for codec in codecs:
        for count in threads:
            rows.append(_row(pyramid, codec, thread_count(count, elements), repeats, read, elements))
            on_row()
    copies: list[float] = []
    copy = _timer(lambda: [level.values.copy() for level in levels], copies)
    for _ in range(repeats):
        copy()
    for row in rows:
        row.encode_passes, row.decode_passes = row.encode_seconds / min(reads), row.decode_seconds / min(reads)
    return SpeedReport(
        shapes={level.name: level.shape for level in levels},
        elements=elements,
        codec=codecs[0].describe(),
        simd=_native.simd_path(),
        read_seconds=min(reads),
        copy_seconds=min(copies),
        rows=rows,
    )


def _row(
    pyramid: Mapping[str, Any],
    codec: Codec,
    threads: int,
    repeats: int,
    read: Callable[[], Any],
    elements: int,
) -> SpeedRow:
    encodes: list[float] = []
    decodes: list[float] = []
    run = _timer(lambda: encode(pyramid, codec, threads=threads), encodes)
    back = _timer(lambda: decode(data, profile=codec.decoding_profile, threads=threads), decodes)
    for _ in range(repeats):
        read()
        data = run()
        back()
    return SpeedRow(
        coder=codec.coder_name,
        threads=threads,
        bits_per_element=8 * len(data) / elements,
        encode_seconds=min(encodes),
        decode_seconds=min(decodes),
        encode_passes=0,
        decode_passes=0,
    )


def _timer(function: Callable[[], Any], seconds: list[float]) -> Callable[[], Any]:
    def timed() -> Any:
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
        return result

    return timed
