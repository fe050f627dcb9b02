"""What a cap on the bytes uses of it, of networks whose streams give way to finer steps and dearer bits differently."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.helpers import profiles

from midstream import _native
from midstream.codec.calibrated.document import CurvePoint
from midstream.codec.calibrated.rate import code_within

#: The curve that the profile has of it: a sixth of an octave of bytes per step.
PROFILE = profiles.profile(
    curve=tuple(CurvePoint(step=step, bytes=6000 * 2 ** ((100 - step) / 6), loss=step / 1000) for step in (80, 160))
)


class Network:
    """Streams of zeros, of sizes as a network has them: by step, and by what a bit is worth."""

    def __init__(self, step_fall: float, worth_fall: float, scale: float) -> None:
        self.step_fall, self.worth_fall, self.scale = step_fall, worth_fall, scale
        self.passes = 0

    def code(self, step: int, bit_worth: float = _native.BIT_WORTH) -> bytes:
        """Below the usual worth less and less comes back, and headers are always there."""
        self.passes += 1
        worth = math.log2(bit_worth / _native.BIT_WORTH)
        eased = worth if worth > 0 else math.expm1(worth / 2) * 2
        octaves = (100 - step) * self.step_fall - eased * self.worth_fall
        return bytes(40 + round(self.scale * 6000 * 2**octaves))


@pytest.mark.parametrize("scale", [0.3, 1, 3])
@pytest.mark.parametrize("worth_fall", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("step_fall", [0.1, 0.17, 0.3])
def test_a_cap_is_used(step_fall: float, worth_fall: float, scale: float) -> None:
    passes = []
    for most in np.geomspace(300, 30_000, 40).astype(int).tolist():
        network = Network(step_fall, worth_fall, scale)
        size = len(code_within(network.code, most, PROFILE, 0, trimmed=network.code))
        assert 0.95 * most <= size <= most, (most, size)
        passes.append(network.passes)
    assert max(passes) <= 10, passes
    assert np.mean(passes) < 7, passes


def test_a_profile_in_the_stream_is_no_part_of_what_gives_way() -> None:
    network = Network(0.3, 0.7, 1)
    beside, most = 50_000, 53_000

    def code(step: int, bit_worth: float = _native.BIT_WORTH) -> bytes:
        return bytes(beside) + network.code(step, bit_worth)

    size = len(code_within(code, most, PROFILE, 0, beside, code))
    assert 0.95 * most <= size <= most
    assert size - beside >= 0.9 * (most - beside)
