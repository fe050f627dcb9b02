"""Where the network sees something: the class of each cell, which says how much coarser it is quantised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.cell_probe import octaves_of
from midstream.codec.calibrated.document import LEAST_SCORE, STEPS_PER_OCTAVE, ImportanceClasses
from midstream.codec.calibrated.forward import Coefficients, KnownCoefficients
from midstream.codec.calibrated.parts import PROBE_FEATURES, Floats, GroupPart, Probe, step_sizes
from midstream.codec.calibrated.transform import grid_of, laid_out, product
from midstream.errors import InputError

#: How much of its neighbours' score a cell has: what lies at the border of an object is seen from both sides.
SPREAD = 0.5
#: Octaves of step for an octave of score: noise moves a score by as much as it is high, roughly.
_EXPONENT = 0.5
_LEAST_OCTAVES = math.log2(LEAST_SCORE)


def classes_of(importance: ImportanceClasses, scores: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Classes [height, width] of cells from the scores that the network gives there, 0 to 1."""
    return _classes_of(importance, np.asarray(np.log2(np.maximum(scores, LEAST_SCORE)), np.float32))


def _classes_of(importance: ImportanceClasses, octaves: Floats) -> NDArray[np.uint8]:
    """The same from log2 of scores."""
    by = _EXPONENT * STEPS_PER_OCTAVE / importance.spacing
    return _native.score_classes(octaves, _LEAST_OCTAVES, math.log2(importance.knee), by, importance.classes)


def spread(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scores [height, width] with each cell's eight neighbours taken into account."""
    height, width = scores.shape
    padded = np.pad(scores, 1)
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(np.maximum(scores, SPREAD * np.max(around, axis=0)))


def importance_of(
    groups: Sequence[GroupPart],
    importance: ImportanceClasses,
    coefficients: Sequence[Coefficients | KnownCoefficients],
    threads: int,
) -> list[NDArray[np.uint8]]:
    """Classes [height, width] of cells, a map for the first group or for each layer, by so many threads at most.

    As the probe sees them in the coefficients of the groups.
    """
    first, grid = groups[0], coefficients[0].grid
    if first.probe is None:
        return [np.zeros(grid, np.uint8)]
    if first.scores is not None:
        seen = [each.seen for each in coefficients if each.seen is not None]
        octaves = octaves_of(first.scores, reduce(np.add, seen), grid, threads)
        return [_classes_of(importance, each) for each in octaves]
    assert isinstance(first.probe, Probe)
    values = laid_out(coefficients[0].values, grid)
    return [classes_of(importance, probed(first.probe, values, first.scales))]


def importance_in(
    groups: Sequence[GroupPart], importance: ImportanceClasses, maps: Mapping[str, Floats]
) -> list[NDArray[np.uint8]]:
    """The same, as the probe sees them in levels [C, H, W] by name."""
    seeing = [group for number, group in enumerate(groups) if number == 0 or group.sight is not None]
    sizes = {name: (values.shape[1], values.shape[2]) for name, values in maps.items()}
    coefficients = [Coefficients(group, maps, grid_of(group.levels, sizes), 1) for group in seeing]
    return importance_of(seeing, importance, coefficients, 1)


def probed(probe: Probe, coefficients: Floats, scales: NDArray[np.int16]) -> Floats:
    """Scores [height, width] as the probe sees them in coefficients [K, height, width] of a profile's `scales`."""
    features = probe_features(coefficients, scales, len(probe.mean) // PROBE_FEATURES)
    normal = (features - probe.mean[:, None]) / probe.scale[:, None]
    octaves = product(probe.out[None, :-1], normal, 1) + probe.out[-1]
    return np.asarray(np.exp2(np.clip(octaves, -20, 0)).reshape(coefficients.shape[1:]), np.float32)


def probe_features(coefficients: Floats, scales: NDArray[np.int16], count: int) -> Floats:
    """What a probe looks at, [PROBE_FEATURES * count, cells]: logarithms of the first `count` coefficients.

    Each beside its deviation: with its sign and without, in the cell and on average over the cells around it.
    """
    relative = coefficients[:count] / step_sizes(scales[:count])[:, None, None]
    sizes = np.log1p(np.abs(relative))
    here = np.concatenate([np.copysign(sizes, relative), sizes]).astype(np.float32)
    height, width = here.shape[1:]
    padded = np.pad(here, ((0, 0), (1, 1), (1, 1)))
    around = sum(padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)) / np.float32(9)
    return np.ascontiguousarray(np.concatenate([here, around]).reshape(PROBE_FEATURES * count, -1), np.float32)


def check_scores(scores: NDArray[np.floating], maps: int, grid: tuple[int, int]) -> NDArray[np.floating]:
    """The scores [maps, height, width], if they are so many or one for all, and from 0 to 1. Raises InputError."""
    try:
        array = np.asarray(scores, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"scores are an array of numbers {list(grid)}: {error}") from error
    if array.shape not in {grid, (maps, *grid)}:
        own = f", or {[maps, *grid]} with a map of each level" if maps > 1 else ""
        raise InputError(f"scores have the shape {list(grid)} of the grid of cells{own}, not {list(array.shape)}")
    if not (array.min() >= 0 and array.max() <= 1):
        raise InputError("scores are numbers from 0 to 1")
    return np.broadcast_to(array, (maps, *grid))
