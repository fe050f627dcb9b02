"""Writes the golden streams of the codec `calibrated`: python tests/golden/make_calibrated.py (from the root).

Only ever for a new file: a stream that is there must decode for ever.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, ".")
from tests.helpers import profiles

import midstream as ms

FOLDER = Path(__file__).parent / "v1"
#: By the version of profiles, but for the first.
PROFILES: dict[str, dict[str, Any]] = {
    "calibrated": {},
    "calibrated-4": {"entropy": True},
    "calibrated-5": {"layers": 2},
}

for name, options in PROFILES.items():
    target = FOLDER / f"{name}.mids.xz"
    if target.exists():
        print(f"{target} is there")
        continue
    profile = profiles.profile(**options)
    data = ms.encode(profiles.pyramid(), "calibrated", profile=profile, quality=70, embed=True)
    target.write_bytes(lzma.compress(data, preset=9))
