"""Calibration and coding of tokens: class tokens beside a grid, sequences, few of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import midstream as ms
from midstream.calibration import transform
from midstream.calibration.coder import COUNT_LIMIT
from midstream.calibration.fitting import Fit, Material, fitted, transforms
from midstream.calibration.layout import groups_of
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.codec.calibrated.coding import analyse, code
from midstream.codec.calibrated.document import About, CurvePoint, ImportanceClasses
from midstream.codec.calibrated.profile import pack_profile
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.codec.laid_out import layouts_of, with_layouts
from midstream.features import check_pyramid
from midstream.progress import SILENT

Floats = NDArray[np.float32]
CHANNELS, GRID, EXTRA, IMAGES = 24, (6, 8), 2, 20
ONE_CLASS = ImportanceClasses(classes=1, spacing=1, knee=0.5)


def tokens(seed: int, length: int | None = None) -> ms.Tensor:
    """[1, N, C]: patches that are like their neighbours, class tokens that are not like those of another image."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(CHANNELS, CHANNELS)) / 4
    rows, columns = GRID if length is None else (1, length)
    smooth = rng.normal(size=(rows + 2, columns + 2, CHANNELS))
    smooth = smooth[1:-1, 1:-1] + (smooth[:-2, 1:-1] + smooth[1:-1, :-2]) * 0.7
    patches = smooth.reshape(-1, CHANNELS) @ mixing
    if length is not None:
        return ms.Tensor(patches.astype(np.float32)[None], "1NC")
    x = np.concatenate([rng.normal(size=(EXTRA, CHANNELS)) * 2, patches]).astype(np.float32)
    return ms.Tensor(x[None], "1NC", grid=GRID, extra=EXTRA)


@dataclass(frozen=True)
class Arrays:
    pyramids: Sequence[Mapping[str, Any]]

    def sent(self, view: int) -> dict[str, Floats]:
        return {each.name: each.values.reshape(each.shape) for each in check_pyramid(self.pyramids[view])}


def fits_of(pyramids: Sequence[Mapping[str, Any]]) -> tuple[About, list[Fit]]:
    views: Any = Arrays(pyramids)
    fit: Any = list(range(len(pyramids)))
    shapes = {name: values.shape for name, values in views.sent(0).items()}
    moments = transform.channel_moments(views, fit, lambda: None)
    metrics = {name: np.eye(len(each.mean)) for name, each in moments.items()}
    tools = Tools(importance=False, flips=False)
    about = About(
        version=3, made_by="a test", network="", cut="", pictures=len(fit), picture_hash="", seed=0,
        tools=tools.to_dict(), groups=groups_of(shapes), order=tuple(shapes), places=ONE_CLASS,
        qualities=(0,) * 100, curve=(CurvePoint(step=0, bytes=1.0, loss=0.0),),
    )  # fmt: skip
    nobody: Any = None
    material = Material(nobody, views, fit, fit, [], CalibrationSettings(tools=tools), SILENT)
    return about, fitted(material, transforms(material, about, moments, metrics, 0.001), about)


def profile_of(pyramids: Sequence[Mapping[str, Any]]) -> ms.Profile:
    about, fits = fits_of(pyramids)
    return pack_profile(about, tensors_of([fit.group for fit in fits], COUNT_LIMIT))


def coded(profile: ms.Profile, pyramid: Mapping[str, Any], step: int) -> bytes:
    levels = check_pyramid(pyramid)
    return with_layouts(code(analyse(levels, profile, None, 1), step), layouts_of(levels))


def test_class_tokens_of_another_image_come_back() -> None:
    profile = profile_of([{"t": tokens(seed)} for seed in range(IMAGES)])
    assert [[level.name for level in group.levels] for group in profile.about.groups] == [["t"], ["t+extra"]]
    errors, sizes = [], []
    for step in (130, 110, 90, 70):
        data = coded(profile, {"t": tokens(99)}, step)
        back, x = ms.decode(data, profile=profile)["t"], tokens(99).values
        assert (back.shape, back.dtype) == (x.shape, x.dtype)
        sizes.append(len(data))
        errors.append(
            [np.square(back - x)[:, part].sum() / np.square(x)[:, part].sum() for part in (slice(2), slice(2, None))]
        )
    assert sizes == sorted(sizes)
    assert np.all(np.diff(errors, axis=0) < 0)
    # Twenty images show forty class tokens: the directions that they do not span are coded all the same.
    assert errors[-1][0] < 0.02
    assert errors[-1][1] < 0.02


def test_without_neighbours_and_samples_nothing_is_predicted() -> None:
    pyramids = [{"t": ms.Tensor(tokens(seed).values[:, 1:], "1NC", grid=GRID, extra=1)} for seed in range(IMAGES)]
    _, (grid, extra) = fits_of(pyramids)
    assert extra.group.prediction is None
    assert extra.group.neighbours.size == 0
    assert grid.group.neighbours.size > 0
    assert len(extra.variances) == CHANNELS
    assert extra.variances.min() > 1e-3 * extra.variances.max()


@pytest.mark.parametrize("length", [50, 7])
def test_sequences_of_any_length(length: int) -> None:
    profile = profile_of([{"t": tokens(seed, 50)} for seed in range(IMAGES)])
    x = tokens(99, length)
    data = coded(profile, {"t": x}, 80)
    back = ms.decode(data, profile=profile)["t"]
    assert back.shape == x.values.shape
    assert np.square(back - x.values).mean() < 0.02 * np.square(x.values).mean()
    west = profile.groups[0].neighbours
    assert np.abs(west[0]).max() > 0.1  # contexts and prediction go along the sequence
    assert np.abs(west[1:]).max() < 1e-3


def test_a_cap_holds_with_the_layout() -> None:
    profile = profile_of([{"t": tokens(seed)} for seed in range(IMAGES)])
    for cap in (200, 300, 500):
        data = ms.encode({"t": tokens(99)}, "calibrated", profile=profile, max_bytes=cap)
        assert 0.8 * cap < len(data) <= cap
        unit = ms.StreamEncoder("calibrated", profile=profile, max_bytes=cap).encode({"t": tokens(99)})
        assert len(unit) <= cap
        assert ms.StreamDecoder(profile).decode(unit)["t"].shape == tokens(99).values.shape
        assert ms.inspect(data, profile=profile).total_bytes == len(data)


def test_groups_of_levels_of_other_shapes() -> None:
    def ratios(shapes: dict[str, tuple[int, int, int]]) -> list[dict[str, int]]:
        return [{level.name: level.ratio for level in group.levels} for group in groups_of(shapes)]

    extra = {"t+extra": (384, 1, 1)}
    assert ratios({"t": (384, 14, 14), **extra}) == [{"t": 2}, {"t+extra": 1}]
    assert ratios({"t": (384, 12, 12), **extra}) == [{"t": 1}, {"t+extra": 1}]
    assert ratios({"p5": (384, 14, 14)}) == [{"p5": 1}]
    assert ratios({"t": (384, 1, 128)}) == [{"t": 1}]
    assert ratios({"p3": (64, 52, 52), "p4": (64, 26, 26)}) == [{"p3": 4, "p4": 2}]
