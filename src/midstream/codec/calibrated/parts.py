"""What a profile holds of its groups: arrays, checked (profile_file.py)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.cached import cached_property
from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE, LevelAbout
from midstream.codec.calibrated.entropy import EntropyPart

Floats = NDArray[np.float32]
#: How many coefficients of a group are looked at, at most: of a cell itself, of each beside it, of each at a corner.
LookedAt = tuple[int, int, int]
#: That a probe makes of each coefficient (importance.py).
PROBE_FEATURES = 4
#: Cells on a side that a score comes from.
PROBE_WINDOW = 3
#: Cells that a coefficient of a layer, or of a coarser group, is predicted from.
PREDICTION_WINDOW = 3
PREDICTION_CELLS = PREDICTION_WINDOW**2
#: Of each layer before a layer, the coefficients that it is predicted from, at most: of a cell, and of four beside it.
LAYER_INPUTS, LAYER_INPUTS_BESIDE = 96, 24
SEEN_BY_LAYERS: LookedAt = (LAYER_INPUTS, LAYER_INPUTS_BESIDE, 0)


def step_sizes(indices: NDArray[np.int16]) -> Floats:
    """Lengths in the weighted domain, float32, of indices in eighths of an octave: steps, and deviations."""
    if indices.dtype == np.int16 and indices.shape <= (_native.MOST_IMPORTANCE_CLASSES,):
        return _few_sizes(indices.tobytes())
    return _sizes(indices)


@lru_cache(maxsize=1024)
def _few_sizes(indices: bytes) -> Floats:
    """Of the classes of a step, which are asked for again and again; not to be written to."""
    sizes = _sizes(np.frombuffer(indices, np.int16))
    sizes.flags.writeable = False
    return sizes


def _sizes(indices: NDArray[np.int16]) -> Floats:
    octaves = (indices.astype(np.float64) - STEP_INDICES / 2) / STEPS_PER_OCTAVE
    return np.exp2(octaves).astype(np.float32)


@dataclass(frozen=True, repr=False)
class LevelPart:
    """What is known of one level.

    Attributes:
        mean, weight, low, high: [C], of each channel; weight is the square root of the task's sensitivity to it.
        basis: [k, C], from the weighted channels to coefficients: their KLT in the metric of the task, cut to k rows.
        synthesis: [C, k], from the coefficients to the weighted channels.
    """

    about: LevelAbout
    mean: Floats
    weight: Floats
    low: Floats
    high: Floats
    basis: Floats
    synthesis: Floats

    def __getstate__(self) -> dict[str, Any]:
        """The fields: what is made of them is made again."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def dimensions(self) -> int:
        """Of a cell, after the first stage."""
        return len(self.basis) * self.about.ratio**2

    @cached_property
    def columns(self) -> Floats:
        """[C, k], from the coefficients to the channels."""
        return np.ascontiguousarray(self.synthesis / self.weight[:, None])

    @cached_property
    def rows(self) -> Floats:
        """[k, C], from the channels to the coefficients."""
        return np.ascontiguousarray(self.basis * self.weight)

    @cached_property
    def centre(self) -> Floats:
        """[k], what `rows` make of the mean."""
        out = np.empty((len(self.rows), 1), np.float32)
        _native.multiply(self.rows, np.ascontiguousarray(self.mean[:, None]), out)
        return out[:, 0]

    def __repr__(self) -> str:
        return f"LevelPart('{self.about.name}', {self.about.channels} channels, {len(self.basis)} coefficients)"


@dataclass(frozen=True, repr=False)
class Probe:
    """A linear probe, of profiles before version 3: how much the network sees in a cell, from its coefficients.

    Attributes:
        mean, scale: [P], of the features (importance.py).
        out: [P + 1]: log2 of the score, a number a feature and a constant.
    """

    mean: Floats
    scale: Floats
    out: Floats

    def __repr__(self) -> str:
        return f"Probe({len(self.mean)} features)"


@dataclass(frozen=True, repr=False)
class LevelSight:
    """What is made of each element of a level: rows [F, k], of its k coefficients, and a bias [F]."""

    rows: Floats
    bias: Floats


@dataclass(frozen=True, repr=False)
class GroupSight:
    """What a group's levels add to the numbers of a cell that a CellProbe looks at.

    Attributes:
        levels: of the group, in its order.
        mix: [M, N], of the N features of a cell: for each level the largest of its elements, then, where a cell has
            several of them, their means.
    """

    levels: tuple[LevelSight, ...]
    mix: Floats

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.mix)} numbers a cell)"


@dataclass(frozen=True, repr=False)
class CellProbe(GroupSight):
    """Predicts how much the network sees in a cell; of the first group, whose levels add to the numbers, too.

    Attributes:
        mix_bias: [M], added to the numbers of all groups.
        around, around_bias: [A, 9 * M] and [A], of the M numbers of nine cells, row by row; those of the cell to the
            north-west come first.
        out: [maps, A + 1]: log2 of the score of each map, from A numbers and a one.
    """

    mix_bias: Floats
    around: Floats
    around_bias: Floats
    out: Floats


@dataclass(frozen=True, repr=False)
class FramePart:
    """How cells are predicted from the frame before, one way a row; see FramePredictors in native/coefficients.hpp.

    Attributes:
        gains: [M, K], 0 to 1.
        scales: int16 [M, K], of what is left, as GroupPart has them.
        state: uint32, what the coder of predicted frames begins with.
    """

    gains: Floats
    scales: NDArray[np.int16]
    state: NDArray[np.uint32]

    def __repr__(self) -> str:
        return f"FramePart({len(self.gains)} ways)"


#: The ways to predict that a profile without clips has, as fitted for PicoDet-S-416 on the calibration clips: what a
#: scale is beside that of a cell that stands alone, in eighths of an octave, of the strongest coefficient and of weak
#: ones, and the gains of both (docs/method.md, "Video").
_USUAL_WAYS = (((-9, -2), (1.0, 1.0)), ((-7, -1), (0.84, 0.5)), ((-5, 5), (0.97, 0.58)))
#: By how much weaker, in eighths of an octave, a weak one is than the strongest.
_WEAK = 30


def usual_frames(scales: NDArray[np.int16], state: NDArray[np.uint32]) -> FramePart:
    """What a group without clips is predicted with, from its scales [K] and what its coder begins with."""
    weak = np.clip((int(scales.max()) - scales.astype(np.int64)) / _WEAK, 0, 1)
    ways = [
        (strong + (last - strong) * weak, high + (low - high) * weak) for (strong, last), (high, low) in _USUAL_WAYS
    ]
    gains = np.stack([gain for _, gain in ways]).astype(np.float32)
    lower = np.stack([np.rint(offset) for offset, _ in ways]).astype(np.int16)
    # A copy: what came from another process may be in memory that cannot be written, which the kernels do not take.
    return FramePart(gains, scales + lower, _native.frame_state(state.copy()))


@dataclass(frozen=True, repr=False)
class GroupPart:
    """What is known of one group.

    Attributes:
        levels: its levels.
        basis: [K, D], orthonormal rows: from the stacked first-stage coefficients of a cell to the final ones.
        scales: int16 [K], the standard deviation of each coefficient, as the index of a step of that size.
        references: uint16 [K, 2], see native/coefficients.hpp.
        offsets: int8 [levels of magnitude, 3], see native/coefficients.hpp.
        neighbours: [3, I, O], what the first I coefficients of the cells to the west, north and north-east say of the
            first O of a cell; empty where nothing is predicted.
        state: uint32, what the coder begins with.
        probe: of the first group, or what a layer adds to that; None where all cells are of one class.
        prediction: of the other groups: [K, P * 9 + 1], their coefficients from the first P of the first group around a
            place and a one; of layers [O, I + 1], the first O of theirs from I of the layers before them, and a one
            (prediction.py); None where nothing is predicted.
        layer: whether that is how this group is predicted.
        frames: from clips; None where there were none.
        whole: whether the second stage is undone and cells are predicted from their neighbours in whole numbers, as in
            profiles of version 3 (docs/format.md).
        all_whole: whether a decoder's other sums are in whole numbers, too, as in profiles of version 4.
        entropy: codes what stands alone, as in profiles of version 4; None where that is context mixing.
    """

    levels: tuple[LevelPart, ...]
    basis: Floats
    scales: NDArray[np.int16]
    references: NDArray[np.uint16]
    offsets: NDArray[np.int8]
    neighbours: Floats
    state: NDArray[np.uint32]
    probe: Probe | GroupSight | None = field(default=None)
    prediction: Floats | None = field(default=None)
    layer: bool = field(default=False)
    frames: FramePart | None = field(default=None)
    whole: bool = field(default=False)
    all_whole: bool = field(default=False)
    entropy: EntropyPart | None = field(default=None)

    def __repr__(self) -> str:
        names = " ".join(level.about.name for level in self.levels)
        return f"GroupPart(levels {names}, {len(self.scales)} coefficients)"

    def __getstate__(self) -> dict[str, Any]:
        """The fields: what is made of them is made again, and a `CoefficientModel` cannot be copied."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def coefficient_model(self) -> _native.CoefficientModel:
        """What codes the group's coefficients. Raises ValueError for arrays that do not belong together."""
        by = None if self.entropy is None else self.entropy.model
        return _native.CoefficientModel(self.scales, self.references, self.offsets, self.neighbours, self.whole, by)

    @cached_property
    def predicted_frames(self) -> FramePart:
        """How frames are predicted, from clips or as usual."""
        return usual_frames(self.scales, self.state) if self.frames is None else self.frames

    @cached_property
    def frame_model(self) -> _native.FrameModel:
        """What codes coefficients that are predicted from the frame before. Raises ValueError."""
        frames = self.predicted_frames
        return _native.FrameModel(self.coefficient_model, frames.gains, frames.scales)

    @cached_property
    def second_stage(self) -> _native.SecondStage:
        """From the stacked first-stage coefficients of cells to the final ones, as an encoder makes them."""
        return _native.SecondStage(self.basis, step_sizes(self.scales))

    @cached_property
    def sight(self) -> _native.CellMix | None:
        """What the levels add to the numbers that a CellProbe looks at; None where there is none."""
        if not isinstance(self.probe, GroupSight):
            return None
        bias = self.probe.mix_bias if isinstance(self.probe, CellProbe) else np.zeros(len(self.probe.mix), np.float32)
        return _native.CellMix((self.probe.mix, bias))

    @cached_property
    def scores(self) -> _native.CellScores | None:
        """What makes scores of these numbers; None where the group has no CellProbe."""
        probe = self.probe
        if not isinstance(probe, CellProbe):
            return None
        return _native.CellScores((probe.around, probe.around_bias), len(probe.mix), probe.out)

    @cached_property
    def forward(self) -> _native.Forward:
        """The first stage as an encoder takes it, and what a probe sees in its elements."""
        seen = self.probe.levels if isinstance(self.probe, GroupSight) else [None] * len(self.levels)
        levels = [
            (each.basis, each.weight, each.mean, each.about.ratio, None if sight is None else (sight.rows, sight.bias))
            for each, sight in zip(self.levels, seen, strict=True)
        ]
        return _native.Forward(levels, self.second_stage, self.sight)

    @cached_property
    def inverse(self) -> _native.Inverse:
        """The way back as a decoder takes it."""
        levels = [(level.columns, level.mean, level.about.ratio) for level in self.levels]
        return _native.Inverse(levels, self.basis, self.whole, self.all_whole)

    @cached_property
    def coarser(self) -> _native.Coarser:
        """The prediction from groups before this one."""
        assert self.prediction is not None
        count = (self.prediction.shape[1] - 1) // PREDICTION_CELLS
        most = SEEN_BY_LAYERS if self.layer else (count, count, count)
        return _native.Coarser(self.prediction, most, self.all_whole)

    @cached_property
    def on_devices(self) -> dict[Any, Any]:
        """By torch device, the matrices that are there (device_transform.py)."""
        return {}

    @cached_property
    def input_sizes(self) -> tuple[int, int]:
        """Numbers of a cell that the transform back, D, and the prediction from other groups are made of."""
        return self.basis.shape[1], 0 if self.prediction is None else self.prediction.shape[1]

    @property
    def transform_size(self) -> int:
        """Numbers in what makes levels of coefficients: the transform back and predictions."""
        parts = [level.synthesis for level in self.levels] + [self.basis, self.neighbours]
        return sum(part.size for part in parts) + (0 if self.prediction is None else self.prediction.size)
