"""Writes the golden streams of the codec `calibrated`: python tests/golden/make_calibrated.py (from the root).

Only ever for a new file: a stream that is there must decode for ever.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

sys.path.insert(0, ".")
from tests.helpers import profiles

import midstream as ms

FOLDER = Path(__file__).parent / "v1"

for name, entropy in (("calibrated", False), ("calibrated-4", True)):
    target = FOLDER / f"{name}.mids.xz"
    if target.exists():
        print(f"{target} is there")
        continue
    profile = profiles.profile(entropy=entropy)
    data = ms.encode(profiles.pyramid(), "calibrated", profile=profile, quality=70, embed=True)
    target.write_bytes(lzma.compress(data, preset=9))
