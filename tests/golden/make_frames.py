"""Writes the golden streams of frames: python tests/golden/make_frames.py (from the root).

Only ever for new files: a stream that is there must decode for ever, with the profile that is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, ".")
from tests.helpers import profiles
from tests.helpers.golden import KEY_INTERVAL, fingerprint, golden_units

import midstream as ms

FOLDER = Path(__file__).parent / "v1"
#: By the version of profiles.
PROFILES: dict[int, dict[str, Any]] = {
    1: {},
    2: {"ways": 2},
    4: {"ways": 2, "entropy": True},
    5: {"ways": 2, "layers": 2},
}


def main() -> None:
    """Write a stream for a profile of each version, the profiles, and what the streams decode to."""
    index_file = FOLDER / "frames.json"
    index = json.loads(index_file.read_text()) if index_file.exists() else []
    for version, options in PROFILES.items():
        name, profile = f"frames-{version}", profiles.profile(**options)
        if (FOLDER / f"{name}.midv").exists():
            print(f"{name} is there")
            continue
        units, decoder, clip, frames = golden_units(profile), ms.StreamDecoder(profile), io.BytesIO(), []
        with ms.ClipWriter(clip, ms.ClipHeader("toy", profile.name)) as writer:
            for number, unit in enumerate(units):
                writer.write(unit, time_s=number, key=number % KEY_INTERVAL == 0)
                frames.append({level: fingerprint(values) for level, values in decoder.decode(unit).items()})
        (FOLDER / f"{name}.midv").write_bytes(clip.getvalue())
        (FOLDER / f"{name}.profile.xz").write_bytes(lzma.compress(profile.data, preset=9))
        written = hashlib.sha256(b"".join(units)).hexdigest()  # by the encoder of today
        index.append({"file": name, "written": written, "frames": frames})
    index_file.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
