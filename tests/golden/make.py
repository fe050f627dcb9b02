"""Makes the golden streams of the present version: python -m tests.golden.make (from the project's root).

A change of these files is a change of the format; tests/unit/test_bitstream.py decodes them for ever.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import midstream as ms

FOLDER = Path(__file__).parent / "v1"
OPTIONS: dict[str, dict[str, Any]] = {
    "4-symbols-fast": {"symbols": 4, "z": 1.5},
    "3-symbols-prefix": {"symbols": 3, "z": 1.0, "coder": "prefix"},
    "3-symbols-fast": {"symbols": 3, "z": 1.0},
    "4-symbols-dense": {"symbols": 4, "z": 1.0, "coder": "dense"},
    "40-symbols-dense": {"symbols": 40, "thresholds": "uniform", "step": 0.1, "coder": "dense"},
    "40-symbols-fast": {"symbols": 40, "thresholds": "uniform", "step": 0.1},
    "3-symbols-raw": {"symbols": 3, "z": 0.5, "coder": "raw"},
    "1-symbol": {"symbols": 1},
    "2-symbols-fast": {"thresholds": [0.0]},
    "16-symbols-lloyd-max": {"symbols": 16, "thresholds": "lloyd-max", "coder": "prefix"},
    "5-symbols-explicit": {"thresholds": [-2.0, -0.5, 0.25, 1.0]},
    "8-symbols-uniform": {"symbols": 8, "thresholds": "uniform", "step": 0.5, "coder": "raw"},
    "8-bit": {"symbols": 256, "thresholds": "range"},
}


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


PYRAMIDS = {"small": golden_pyramid, "wide": wide_pyramid}
#: Which pyramid is coded as which file, and how.
STREAMS = [("small", name, options) for name, options in OPTIONS.items()] + [
    ("wide", "wide-fast", {"symbols": 4, "z": 1.5}),
    ("wide", "wide-dense", {"symbols": 3, "z": 1.0, "coder": "dense"}),
]


def fingerprint(values: Any) -> str:
    """Type, shape and SHA-256 of a level's elements."""
    return f"{values.dtype} {list(values.shape)} {hashlib.sha256(values.tobytes()).hexdigest()}"


def main() -> None:
    """Write all streams and their index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    index = []
    for kind, name, options in STREAMS:
        data = ms.encode(PYRAMIDS[kind](), **options)
        (FOLDER / f"{name}.mids").write_bytes(data)
        levels = {level: fingerprint(values) for level, values in ms.decode(data).items()}
        index.append({"file": f"{name}.mids", "pyramid": kind, "options": options, "levels": levels})
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
