"""What the golden streams are made of, the same on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import ml_dtypes
import numpy as np

import midstream as ms

#: Of the golden streams of frames.
KEY_INTERVAL = 4


def golden_pyramid() -> dict[str, Any]:
    """Integers divided by powers of two: the same on every machine and numpy. All element types, a constant channel."""

    def values(channels: int, height: int, width: int) -> Any:
        i = np.arange(channels * height * width, dtype=np.uint64)
        hashed = (i * np.uint64(2654435761) + (i * i) * np.uint64(40503)) % np.uint64(1 << 20)
        spread = np.left_shift(1, np.arange(channels) % 3)[:, None, None]
        signed = (hashed.astype(np.int64) % 4001 - 1500).reshape(channels, height, width)
        return signed * spread / 1024

    fine = values(5, 12, 11).astype(np.float32)
    fine[2] = -0.375
    return {
        "p3": fine,
        "p4": values(4, 6, 6).astype(np.float16),
        "p5": values(3, 3, 3).astype(ml_dtypes.bfloat16),
        "tie": values(4, 9, 4).astype(np.float32),
        "pool": values(2, 1, 1).astype(np.float32),
    }


def wide_pyramid() -> dict[str, Any]:
    """Levels of more channels than are coded side by side, and of more elements than one stream has."""

    def values(channels: int, height: int, width: int) -> Any:
        c, y, x = np.ogrid[:channels, :height, :width]
        return (((x >> 4) * 5 + (y >> 3) * 3 + c * 7) % 11 - (x + y + c) % 3).astype(np.float32)

    many, groups = values(70, 6, 5), values(40, 64, 128)
    many[3], groups[:32] = 0.25, 1.5  # the first group of the second has no symbols
    groups[5] = values(1, 64, 128)[0]
    return {"groups": groups, "many": many}


def golden_frames(version: int) -> list[tuple[dict[str, Any], Any]]:
    """Pyramids of a scene before which something moves, and what a network sees in each cell.

    For profiles of this version; from 2 on sizes are not the usual ones, with 2 neither are element types, and with 5
    there are two maps of what is seen.
    """
    more = version - 1
    shapes = {"p3": (6, 16 + 2 * more, 20 + 2 * more), "p4": (5, 8 + more, 10 + more), "p5": (4, 4 + more, 5 + more)}
    out = []
    for number in range(6):
        pyramid = {}
        for name, (channels, height, width) in shapes.items():
            c, y, x = np.ogrid[:channels, :height, :width]
            still = (c * 37 + y * 11 + x * x * 5) % 29 - 14
            inside = (abs(x - number * width // 6) <= width // 8) & (abs(y - height // 2) <= height // 4)
            moved = still + 12 * inside * (1 + c % 3) + (c + 3 * y + 7 * x + number) % 2
            pyramid[name] = (moved / 8).astype(np.float16 if version == 2 and name != "p4" else np.float32)
        rows, columns = np.indices((8 + more, 10 + more))
        seen = (rows + columns + number) % 4 == 0
        scores = np.stack([seen, (rows + 2 * columns + number) % 5 == 0]) if version == 5 else seen
        out.append((pyramid, scores.astype(np.float32)))
    return out


def golden_units(profile: ms.Profile) -> list[bytes]:
    """The units of a golden stream."""
    encoder = ms.StreamEncoder(profile=profile, quality=80, key_interval=KEY_INTERVAL)
    return [encoder.encode(pyramid, scores=scores) for pyramid, scores in golden_frames(profile.about.version)]


def golden_symbol_units(options: dict[str, Any]) -> list[bytes]:
    """The units of a golden stream of `paper`: what moves, noise, channels that are constant, a cut."""
    encoder = ms.StreamEncoder("paper", coder="dense", key_interval=KEY_INTERVAL, **options)
    units = []
    for number in range(2 * KEY_INTERVAL):
        c, y, x = np.ogrid[:6, :9, :12]
        i = (c * 131 + y * 17 + x * 3 + (number > KEY_INTERVAL + 1) * x * x * 7).astype(np.uint64)
        still = (i * np.uint64(2654435761) % np.uint64(1 << 20)).astype(np.int64) % 4001 - 1500
        noise = (i * np.uint64(40503) + np.uint64(number * 97)) % np.uint64(211)
        inside = (abs(x - 2 * number) < 3) & (abs(y - 4) < 2)
        fine = ((still + noise.astype(np.int64) + 2500 * inside) / 1024).astype(np.float32)
        coarse = fine[:5, ::2, ::2].astype(np.float16)
        if number % 3 == 1:
            fine[2], coarse[1:3] = 0.5, -0.25
        units.append(encoder.encode({"p3": fine, "p4": coarse}))
    return units


def _counted(shape: tuple[int, ...]) -> Any:
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    return (
        (i * np.uint64(2654435761) % np.uint64(1 << 20)).astype(np.int64) % 251 - 110 - (i // 7).astype(np.int64) % 9
    ).reshape(shape)


def laid_out_pyramid() -> dict[str, Any]:
    """An array of each kind of axes, and a map beside them."""
    tokens = (_counted((1, 14, 40)) / 64).astype(np.float16)
    return {
        "tokens": ms.Tensor(tokens, "1NC", grid=(3, 4), extra=2),
        "map": (_counted((3, 6, 5)) / 32).astype(np.float32),
        "cache": ms.Tensor((_counted((2, 9, 8)) / 16).astype(np.float32), "GNC"),
        "last": ms.Tensor((_counted((5, 6, 3)) / 16).astype(ml_dtypes.bfloat16), "HWC"),
        "audio": ms.Tensor((_counted((20, 4)) / 16).astype(np.float32), "TC"),
        "vector": ms.Tensor((_counted((1, 12)) / 16).astype(np.float32), "1C"),
    }


def whole_pyramid(mixed: bool = False) -> dict[str, Any]:
    """Levels of whole numbers; `mixed` with one of floats."""
    out = {"a": _counted((5, 7, 6)).astype(np.int8), "b": (_counted((40, 3, 5)) + 120).astype(np.uint8)}
    out["a"][2], out["b"][:33] = -128, 255
    return {**out, "floats": (_counted((4, 5, 5)) / 8).astype(np.float32)} if mixed else out


PYRAMIDS = {
    "small": golden_pyramid,
    "wide": wide_pyramid,
    "laid out": laid_out_pyramid,
    "whole": whole_pyramid,
    "mixed": lambda: whole_pyramid(mixed=True),
}


def fingerprint(values: Any) -> str:
    """Type, shape and SHA-256 of a level's elements."""
    return f"{values.dtype} {list(values.shape)} {hashlib.sha256(values.tobytes()).hexdigest()}"
