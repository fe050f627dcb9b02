"""What decoding takes for an element is what limits.py says, for the streams of each codec that take the most."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import profiles

import midstream as ms
from midstream.limits import Limits

#: Elements of two streams of a kind: what both take, whatever they hold, is not counted.
SMALL, LARGE = 1 << 19, 1 << 21
STATUS = Path("/proc/self/status")
#: The peak of this process alone: `getrusage` of a child begins with that of its parent.
MEASURED = """
import sys
import numpy as np
import midstream as ms
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
data, elements = sys.stdin.buffer.read(), int(sys.argv[1])
ms.decode(ms.encode({"x": np.zeros((1, 2, 2), np.float32)}))
before = peak()
decoded = ms.decode(data, limits=ms.Limits(elements=elements), threads=2)
assert sum(values.size for values in decoded.values()) == elements
print(peak() - before)
"""


def taken(data: bytes, elements: int) -> int:
    command = [sys.executable, "-c", MEASURED, str(elements)]
    return int(subprocess.run(command, input=data, capture_output=True, check=True, timeout=300).stdout)


def paper(coder: str) -> Callable[[int], bytes]:
    def made(elements: int) -> bytes:
        values = np.random.default_rng(0).normal(size=(8, elements >> 13, 1 << 10)).astype(np.float16)
        return ms.encode({"x": values}, coder=coder, symbols=4 if coder == "dense" else 256)

    return made


def calibrated(layout: Callable[[int], list[profiles.Group]]) -> Callable[[int], bytes]:
    """Zeros, with a profile that makes the most of them."""

    def made(elements: int) -> bytes:
        groups = layout(elements)
        pyramid: dict[str, Any] = profiles.pyramid(0, 0.0, groups)
        profile = profiles.profile(layout=groups)
        return ms.encode(pyramid, "calibrated", profile=profile, quality=60, embed=True)

    return made


WORST: dict[str, Callable[[int], bytes]] = {
    "paper: fast, 256 symbols": paper("fast"),
    "paper: dense": paper("dense"),
    "calibrated: cells of which half lies beyond the level": calibrated(lambda n: [{"a": (4, (1, n // 4), 2)}]),
    "calibrated: as many components as elements": calibrated(lambda n: [{"a": (4, (n >> 11, 1 << 9), 1)}]),
    "calibrated: a second group as large as the first": calibrated(
        lambda n: [{name: (4, (n >> 11, 1 << 8), 1)} for name in ("a", "b")]
    ),
}


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", WORST)
def test_memory_for_an_element_is_as_promised(kind: str) -> None:
    promised = re.search(rf"`{kind.split(':')[0]}`: (\d+) bytes", Limits.__doc__ or "")
    assert promised is not None
    small, large = (taken(WORST[kind](elements), elements) for elements in (SMALL, LARGE))
    assert (large - small) / (LARGE - SMALL) <= int(promised[1])
    assert large <= int(promised[1]) * LARGE + (32 << 20)  # two threads


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_memory_for_an_embedded_profile_is_as_promised() -> None:
    assert "three times the bytes of an embedded profile" in (Limits.__doc__ or "")
    groups: list[profiles.Group] = [{"a": (240, (2, 2), 2)}]
    profile = profiles.profile(layout=groups)
    data = ms.encode(profiles.pyramid(0, 1.0, groups), "calibrated", profile=profile, quality=60, embed=True)
    assert len(profile.data) > 4 << 20  # of 8,000,000 bytes at most
    assert taken(data, 960) <= 3 * len(profile.data) + (32 << 20)
