"""What the coder begins with: scales, related coefficients, conditional means, and its state after the images seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.calibration import ordered
from midstream.codec.calibrated.coding import quantised
from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE
from midstream.codec.calibrated.parts import Floats, GroupPart, step_sizes

#: Coefficients and importance map of a view: float32 [K, height, width], uint8 [height, width].
Sample = tuple[Floats, NDArray[np.uint8]]
# Where the numbers come from: docs/method.md, "Constants".
#: What was seen more often counts as seen so often, so that an image can still teach the coder.
COUNT_LIMIT = 60
#: Observations of which a conditional mean is believed by half.
_LEAST_SEEN = 20


def scales_of(deviations: NDArray[np.float64]) -> NDArray[np.int16]:
    """Indices of steps as large as the deviations."""
    indices = np.rint(STEPS_PER_OCTAVE * np.log2(np.maximum(deviations, 1e-12))) + STEP_INDICES / 2
    return np.asarray(np.clip(indices, -1024, 1024), np.int16)


def related(samples: Sequence[Sample], scales: NDArray[np.int16]) -> NDArray[np.uint16]:
    """For each coefficient the two before it whose strength goes with its own the most, as distances, [K, 2].

    What all coefficients of a cell have in common is taken out first: the coder knows that by itself.
    """
    deviations = step_sizes(scales)[:, None]
    logs = np.concatenate([np.log(np.abs(c.reshape(len(c), -1)) / deviations + 0.1) for c, _ in samples], axis=1)
    logs -= logs.mean(axis=0)
    logs -= logs.mean(axis=1, keepdims=True)
    logs /= np.maximum(logs.std(axis=1, keepdims=True), 1e-6)
    likeness = np.tril(ordered.gram(logs) / logs.shape[1], -1)
    count = len(likeness)
    best = np.argsort(-likeness, axis=1, kind="stable")[:, :2]
    out = np.arange(count)[:, None] - best
    fits = (likeness[np.arange(count)[:, None], best] > 0) & (out > 0) & (out < 1 << 16)
    found = np.where(fits, out, 0)
    return np.asarray(np.pad(found, ((0, 0), (0, 2 - found.shape[1]))), np.uint16)  # one coefficient has one column


def _off(
    group: GroupPart, indices: NDArray[np.int16], sample: Sample
) -> tuple[NDArray[np.int32], Floats, NDArray[np.uint8]]:
    """What became of a sample's coefficients [K, h, w], and by how many steps they are off it, away from zero."""
    coefficients, importance = sample
    _, chosen, decoded = quantised(group, indices, coefficients, importance)
    steps = step_sizes(indices)[importance]
    levels = group.coefficient_model.levels(indices).T[:, importance]
    sizes = np.minimum(np.abs(chosen), group.offsets.shape[1]) - 1
    held = np.where(chosen != 0, group.offsets[levels, sizes] / np.float32(64), 0)
    return chosen, np.sign(chosen) * (coefficients - decoded) / steps + held, levels


def conditional_means(
    group: GroupPart, samples: Sequence[Sample], steps: Sequence[NDArray[np.int16]]
) -> NDArray[np.int8]:
    """By how much, in 64ths of a step, what became a magnitude is larger than it on average, by level and magnitude."""
    classes = group.offsets.shape[1]
    sums, counts = np.zeros((2, _native.COEFFICIENT_LEVELS, classes))
    for indices in steps:
        for sample in samples:
            chosen, off, levels = _off(group, indices, sample)
            at = np.nonzero(chosen)
            where = levels[at], np.minimum(np.abs(chosen[at]), classes) - 1
            np.add.at(sums, where, off[at])
            np.add.at(counts, where, 1)
    means = sums / np.maximum(counts, 1) * (counts / (counts + _LEAST_SEEN))
    return np.asarray(np.clip(np.rint(64 * means), -48, 48), np.int8)


def pretrained(
    group: GroupPart, samples: Sequence[Sample], steps: Sequence[NDArray[np.int16]], advance: Callable[[], None]
) -> NDArray[np.uint32]:
    """The coder's state after coding all samples at all steps, finely and coarsely in turn."""
    state = _native.coefficient_state()
    for number, (coefficients, importance) in enumerate(samples):
        for offset in range(len(steps)):
            quantised(group, steps[(number + offset) % len(steps)], coefficients, importance, state)
        advance()
    return state


def with_coder(
    group: GroupPart,
    samples: Sequence[Sample],
    steps: Sequence[NDArray[np.int16]],
    offsets: bool,
    advance: Callable[[], None],
) -> GroupPart:
    """The group with conditional means and pre-trained contexts."""
    first = replace(group, state=pretrained(group, samples[::4], steps, lambda: None))
    if offsets:
        first = replace(first, offsets=conditional_means(first, samples[::4], steps))
    return replace(first, state=pretrained(first, samples, steps, advance))
