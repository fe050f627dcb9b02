"""Makes the golden streams of the present version: python -m tests.golden.make (from the project's root).

A change of these files is a change of the format; tests/unit/test_bitstream.py decodes them for ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers.golden import PYRAMIDS, fingerprint

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


#: Which pyramid is coded as which file, and how.
STREAMS = [("small", name, options) for name, options in OPTIONS.items()] + [
    ("wide", "wide-fast", {"symbols": 4, "z": 1.5}),
    ("wide", "wide-dense", {"symbols": 3, "z": 1.0, "coder": "dense"}),
    ("laid out", "laid-out-4", {"symbols": 4, "z": 1.5}),
    ("laid out", "laid-out-dense", {"symbols": 256, "coder": "dense"}),
    ("whole", "whole-fast", {}),
    ("whole", "whole-dense", {"coder": "dense"}),
    ("whole", "whole-raw", {"coder": "raw"}),
    ("mixed", "whole-mixed-prefix", {"coder": "prefix"}),
]


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
