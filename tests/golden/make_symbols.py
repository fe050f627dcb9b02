"""Writes the golden streams of symbols: python tests/golden/make_symbols.py (from the root).

Only ever for new files: a stream that is there must decode for ever.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, ".")
from tests.helpers.golden import KEY_INTERVAL, fingerprint, golden_symbol_units

import midstream as ms

FOLDER = Path(__file__).parent / "v1"
OPTIONS: dict[str, dict[str, Any]] = {
    "symbols-4": {"symbols": 4, "z": 1.5},
    "symbols-20": {"symbols": 20, "thresholds": "lloyd-max"},
    "symbols-range": {"symbols": 6, "thresholds": "range"},
}


def main() -> None:
    """Write the streams, and what they decode to."""
    index = []
    for name, options in OPTIONS.items():
        if (FOLDER / f"{name}.midv").exists():
            sys.exit(f"{name} is there")
        decoder, clip, frames = ms.StreamDecoder(), io.BytesIO(), []
        with ms.ClipWriter(clip, ms.ClipHeader("toy", "")) as writer:
            for number, unit in enumerate(golden_symbol_units(options)):
                writer.write(unit, time_s=number, key=number % KEY_INTERVAL == 0)
                frames.append({level: fingerprint(values) for level, values in decoder.decode(unit).items()})
        (FOLDER / f"{name}.midv").write_bytes(clip.getvalue())
        index.append({"file": name, "options": options, "frames": frames})
    (FOLDER / "symbols.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
