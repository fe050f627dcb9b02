"""Writes the golden stream of the codec `calibrated`: python tests/golden/make_calibrated.py (from the root).

Only ever for a new file: a stream that is there must decode for ever.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

sys.path.insert(0, ".")
from tests.helpers import profiles

import midstream as ms

TARGET = Path(__file__).parent / "v1" / "calibrated.mids.xz"

if TARGET.exists():
    sys.exit(f"{TARGET} is there")
data = ms.encode(profiles.pyramid(), "calibrated", profile=profiles.profile(), quality=70, embed=True)
TARGET.write_bytes(lzma.compress(data, preset=9))
