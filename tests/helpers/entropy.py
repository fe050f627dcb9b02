"""A group with an entropy model, and coefficients for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.helpers import profiles

from midstream.codec.calibrated.parts import GroupPart, step_sizes

PROFILE = profiles.profile(entropy=True)
GROUP = PROFILE.groups[0]
COUNT = len(GROUP.scales)
STEPS = np.array([120, 126, 132], np.int16)


def coefficients(seed: int, grid: tuple[int, int], scale: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Coefficients [COUNT, h, w] and an importance map."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(scale=scale, size=(COUNT, *grid)) * step_sizes(GROUP.scales)[:, None, None]
    return values.astype(np.float32), rng.integers(0, len(STEPS), grid).astype(np.uint8)


def decoded(group: GroupPart, stream: bytes, grid: tuple[int, int], known: NDArray[np.uint8] | None = None) -> Any:
    """Map and coefficients, None where the stream is invalid."""
    return group.coefficient_model.decode(stream, *grid, STEPS, step_sizes(STEPS), group.state, known)
