"""Streams of all kinds, drawn by hypothesis: what `calibrated` and `temporal` are compared with other readers on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import profiles

import midstream as ms
from midstream.arrays import unpack_tensors
from midstream.codec.calibrated.document import ImportanceClasses
from midstream.codec.calibrated.profile import pack_profile
from midstream.features import DTYPES


@dataclass
class Case:
    """What a stream is made from."""

    seed: int
    layout: tuple[profiles.Group, ...]
    kept: float
    classes: int
    spacing: int
    step: int
    lacking: set[str]
    primed: bool
    more: int  # cells of the images than of those of the profile, each way
    scale: float
    dtypes: list[str]
    scores: bool
    cells: bool  # a probe of these, not a linear one
    entropy: bool  # models of it, too: a profile of version 4
    layers: bool  # the first group's levels one by one, if it has several: a profile of version 5
    embed: bool
    ways: int
    change: float


@st.composite
def layouts(draw: st.DrawFn) -> tuple[profiles.Group, ...]:
    groups, number = [], 0
    for _ in range(draw(st.integers(1, 3))):
        rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        group = {}
        for _ in range(draw(st.integers(1, 2))):
            ratio = draw(st.integers(1, 3))
            size = (rows * ratio - draw(st.integers(0, ratio - 1)), columns * ratio - draw(st.integers(0, ratio - 1)))
            group[f"p{number}"] = (draw(st.integers(3, 6)), size, ratio)
            number += 1
        groups.append(group)
    return tuple(groups)


CASES = st.builds(
    Case,
    seed=st.integers(0, 1 << 32),
    layout=layouts(),
    kept=st.sampled_from([0.6, 1.0]),
    classes=st.integers(1, 8),
    spacing=st.integers(1, 20),
    step=st.integers(60, 200),
    lacking=st.sets(st.sampled_from(["neighbours", "prediction", "probe"])),
    primed=st.booleans(),
    more=st.integers(0, 2),
    scale=st.sampled_from([0.3, 3.0, 1e3]),
    dtypes=st.lists(st.sampled_from(list(DTYPES)), min_size=6, max_size=6) | st.just(["float32"] * 6),
    scores=st.booleans(),
    cells=st.booleans(),
    entropy=st.booleans(),
    layers=st.booleans(),
    embed=st.booleans(),
    ways=st.integers(0, 3),
    change=st.sampled_from([0.0, 0.05, 0.5]),
)


def layers_of(case: Case) -> int:
    """Groups that the levels of the first one become, which need a probe; 1 where they stay one."""
    return len(case.layout[0]) if case.layers and "probe" not in case.lacking else 1


def profile_of(case: Case) -> ms.Profile:
    """Without what a profile may lack, or with a state that any calibration might have left."""
    rng, layout, layers = np.random.default_rng(case.seed), case.layout, layers_of(case)
    if layers > 1:
        layout = (*({name: about} for name, about in layout[0].items()), *layout[1:])
    made = profiles.profile(
        case.seed,
        layout,
        case.kept,
        case.ways,
        case.cells,
        case.entropy,
        layers if layers > 1 else 0,
        importance=ImportanceClasses(classes=case.classes, spacing=case.spacing, knee=0.9),
        qualities=(case.step,) * 100,
    )
    tensors = {
        name: values
        for name, values in unpack_tensors(made.data, "")[0].items()
        if not any(f"/{part}" in name for part in case.lacking)
    }
    for name, values in tensors.items() if case.primed else ():
        high = {"chances": 1 << 16, "counts": 256, "weights": 1 << 16, "learnt": 4097}.get(name.split(".")[-1])
        if high is not None and "state." in name:
            tensors[name] = rng.integers(0, high, values.shape).astype(values.dtype)
    return pack_profile(made.about, tensors)


def frames_of(case: Case, count: int) -> list[dict[str, Any]]:
    """Pyramids one after another."""
    grown = [
        {name: (c, (h + case.more * r, w + case.more * r), r) for name, (c, (h, w), r) in group.items()}
        for group in case.layout
    ]
    clip = profiles.clip(count, case.seed, case.scale, grown, case.change)
    return [
        {name: values.astype(DTYPES[dtype]) for (name, values), dtype in zip(frame.items(), case.dtypes, strict=False)}
        for frame in clip
    ]


def scores_of(case: Case, pyramid: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """What a network sees in each cell, of each map or of all, where the case has it."""
    name, (_, _, ratio) = next(iter(case.layout[0].items()))
    grid = [-(-side // ratio) for side in pyramid[name].shape[1:]]
    shape = grid if case.seed % 2 else [layers_of(case), *grid]
    return np.random.default_rng(case.seed).uniform(size=shape) ** 8 if case.scores else None


def agree(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """That two readers read the same levels, to the bit."""
    assert list(ours) == list(theirs)
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype
        np.testing.assert_array_equal(values.view(np.uint8), np.ascontiguousarray(theirs[name]).view(np.uint8))
