"""Gradient descent by Adam (Kingma and Ba 2015, arXiv:1412.6980), in float32 and in one order of operations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from midstream.codec.calibrated.parts import Floats

Weights = dict[str, Floats]
# Where the numbers come from: docs/method.md, "Constants".
#: Of the steps, what goes by until they are longest; by how much shorter the first ones are.
_WARMING, _FIRST = 0.3, 0.04
#: Adam's decays, and what its roots are at least.
_DECAY, _SQUARES_DECAY, _LEAST_ROOT = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


class Adam:
    """Moves weights, which it keeps and changes, in one cycle of steps: ever longer at first, then ever shorter."""

    def __init__(
        self,
        weights: Weights,
        rate: float,
        steps: int,
        *,
        longer: Mapping[str, float] | None = None,
        fading: Mapping[str, float] | None = None,
    ) -> None:
        """Takes weights by name, the length of the longest step, and how many steps there will be.

        Args:
            weights: all of them have gradients in each step.
            rate: the longest step.
            steps: how many.
            longer: of some, how many times as long their steps are.
            fading: of some, which share of them a step of length 1 would take.
        """
        self._weights, self._rate, self._steps = weights, rate, steps
        self._longer, self._fading = longer or {}, fading or {}
        self._moments: Weights = {name: np.zeros_like(each) for name, each in weights.items()}
        self._squares: Weights = {name: np.zeros_like(each) for name, each in weights.items()}
        self._seen = [np.float32(1), np.float32(1)]
        self._done = 0

    def step(self, gradients: Weights) -> None:
        """One step down the gradients."""
        self._seen = [self._seen[0] * _DECAY, self._seen[1] * _SQUARES_DECAY]
        rate = np.float32(self._rate * _pace(self._done / self._steps)) / (1 - self._seen[0])
        for name, share in self._fading.items():
            self._weights[name] *= 1 - rate * np.float32(share)
        for name, gradient in gradients.items():
            moments, squares = self._moments[name], self._squares[name]
            moments += (1 - _DECAY) * (gradient - moments)
            squares += (1 - _SQUARES_DECAY) * (gradient * gradient - squares)
            own = rate * np.float32(self._longer.get(name, 1))
            self._weights[name] -= own * moments / (np.sqrt(squares / (1 - self._seen[1])) + _LEAST_ROOT)
        self._done += 1


def _pace(done: float) -> float:
    """The length of steps beside the longest ones."""
    if done < _WARMING:
        return _FIRST + (1 - _FIRST) * done / _WARMING
    return (1 - done) / (1 - _WARMING)
