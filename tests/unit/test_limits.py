"""What decoding takes for an element is what limits.py says, for the streams of each codec that take the most."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
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
data, elements, sizes = sys.stdin.buffer.read(), int(sys.argv[1]), [int(size) for size in sys.argv[2:]]
ms.decode(ms.encode({"x": np.zeros((1, 2, 2), np.float32)}))
limits, before = ms.Limits(elements=elements), peak()
if sizes:
    decoder = ms.StreamDecoder(ms.Profile.parse(data[: sizes[0]], "it"), limits=limits, threads=2)
    for number, size in enumerate(sizes[1:], start=1):
        at = sum(sizes[:number])
        decoded = decoder.decode(data[at : at + size])
else:
    decoded = ms.decode(data, limits=limits, threads=2)
assert sum(values.size for values in decoded.values()) == elements
print(peak() - before)
"""


def taken(data: bytes, elements: int, sizes: Sequence[int] = ()) -> int:
    """Of a bitstream, or of a profile and units of these sizes."""
    command = [sys.executable, "-c", MEASURED, str(elements), *map(str, sizes)]
    return int(subprocess.run(command, input=data, capture_output=True, check=True, timeout=300).stdout)


Layout = Callable[[int], list[profiles.Group]]
LAYOUTS: dict[str, Layout] = {
    "cells of which half lies beyond the level": lambda n: [{"a": (4, (1, n // 4), 2)}],
    "as many components as elements": lambda n: [{"a": (4, (n >> 11, 1 << 9), 1)}],
    "a second group as large as the first": lambda n: [{name: (4, (n >> 11, 1 << 8), 1)} for name in ("a", "b")],
}


def paper(coder: str) -> Callable[[int], bytes]:
    def made(elements: int) -> bytes:
        values = np.random.default_rng(0).normal(size=(8, elements >> 13, 1 << 10)).astype(np.float16)
        return ms.encode({"x": values}, coder=coder, symbols=4 if coder == "dense" else 256)

    return made


def calibrated(layout: Layout) -> Callable[[int], bytes]:
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
} | {f"calibrated: {name}": calibrated(layout) for name, layout in LAYOUTS.items()}


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", WORST)
def test_memory_for_an_element_is_as_promised(kind: str) -> None:
    promised = re.search(rf"`{kind.split(':')[0]}`: (\d+) bytes", Limits.__doc__ or "")
    assert promised is not None
    small, large = (taken(WORST[kind](elements), elements) for elements in (SMALL, LARGE))
    assert (large - small) / (LARGE - SMALL) <= int(promised[1])
    assert large <= int(promised[1]) * LARGE + (32 << 20)  # two threads


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", LAYOUTS)
def test_memory_for_an_element_of_a_stream_is_as_promised(kind: str) -> None:
    promised = re.search(r"units of a stream of `calibrated`: (\d+) bytes, and (\d+) for each", Limits.__doc__ or "")
    assert promised is not None
    took = []
    for elements in (SMALL, LARGE):
        groups = LAYOUTS[kind](elements)
        profile, frame = profiles.profile(layout=groups, ways=3), profiles.pyramid(0, 0.0, groups)
        encoder = ms.StreamEncoder(profile=profile, quality=60)
        parts = [profile.data, *(encoder.encode(frame) for _ in range(3))]
        took.append(taken(b"".join(parts), elements, [len(part) for part in parts]))
    assert (took[1] - took[0]) / (LARGE - SMALL) <= int(promised[1]) + 3 * int(promised[2])


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_memory_for_an_element_of_a_stream_of_symbols_is_as_promised() -> None:
    promised = re.search(r"units of a stream of `paper`: (\d+) bytes, and (\d+) for each", Limits.__doc__ or "")
    assert promised is not None
    took, unused = [], profiles.profile().data
    for elements in (SMALL, LARGE):
        values = np.random.default_rng(0).normal(size=(8, elements >> 13, 1 << 10)).astype(np.float16)
        encoder = ms.StreamEncoder("paper", coder="dense", symbols=4)
        parts = [unused, *(encoder.encode({"x": values}) for _ in range(3))]
        assert not encoder.last or not encoder.last.key
        took.append(taken(b"".join(parts), elements, [len(part) for part in parts]))
    assert (took[1] - took[0]) / (LARGE - SMALL) <= int(promised[1]) + 3 * int(promised[2])


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_memory_for_an_embedded_profile_is_as_promised() -> None:
    assert "three times the bytes of an embedded profile" in (Limits.__doc__ or "")
    groups: list[profiles.Group] = [{"a": (240, (2, 2), 2)}]
    profile = profiles.profile(layout=groups)
    data = ms.encode(profiles.pyramid(0, 1.0, groups), "calibrated", profile=profile, quality=60, embed=True)
    assert len(profile.data) > 4 << 20  # of 8,000,000 bytes at most
    assert taken(data, 960) <= 3 * len(profile.data) + (32 << 20)
