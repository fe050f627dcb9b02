"""Small profiles made on the spot: random orthonormal transforms for pyramids of three levels in two groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.document import (
    CELL_PROBE_VERSION,
    ENTROPY_VERSION,
    LAYERS_VERSION,
    PROFILE_VERSION,
    VIDEO_PROFILE_VERSION,
    About,
    CurvePoint,
    GroupAbout,
    ImportanceClasses,
    LevelAbout,
)
from midstream.codec.calibrated.parts import SEEN_BY_LAYERS
from midstream.codec.calibrated.profile import Profile, pack_profile
from midstream.codec.calibrated.profile_file import ALONE, PREDICTED, pack_state

#: Channels, size and positions of a cell on a side, of each level of a group.
Group = Mapping[str, tuple[int, tuple[int, int], int]]
GROUPS: Sequence[Group] = ({"p3": (6, (16, 20), 2), "p4": (5, (8, 10), 1)}, {"p5": (4, (4, 5), 1)})
#: The same levels, of which two are layers.
LAYERED: Sequence[Group] = ({"p4": (5, (8, 10), 1)}, {"p3": (6, (16, 20), 2)}, {"p5": (4, (4, 5), 1)})
STEP = 128


def profile(
    seed: int = 0,
    layout: Sequence[Group] | None = None,
    kept: float = 1.0,
    ways: int = 0,
    cells: bool = False,
    entropy: bool = False,
    layers: int = 0,
    **changes: Any,
) -> Profile:
    """A profile of levels p3, p4 (one group) and p5, or others.

    It has `kept` of all coefficients, and is of version 2 with so many `ways` to predict a frame from the one before;
    with a probe of `cells` instead of a linear one it is of version 3, and with that and `entropy` models of version 4.
    With that and so many `layers`, the first groups of the layout, it is of version 5.
    `changes` are of the document.
    """
    rng = np.random.default_rng(seed)
    layout, entropy = layout or (LAYERED if layers else GROUPS), entropy or layers > 0
    groups = tuple(
        GroupAbout(levels=tuple(LevelAbout(name=n, channels=c, size=s, ratio=r) for n, (c, s, r) in each.items()))
        for each in layout
    )
    tensors: dict[str, NDArray[Any]] = {}
    before = 0  # coefficients that a layer is predicted from
    for number, group in enumerate(groups):
        own = _group(group, number, kept, rng)
        count = len(own["scales"])
        if entropy:
            own |= _entropy(count, rng)
        if (cells or entropy) and number == 0:
            own = {name: values for name, values in own.items() if "probe." not in name}
            own |= _cell_probe(group, own, seed, max(layers, 1))
        elif number < layers:
            own |= _sight(group, own, np.random.default_rng([seed, number]))
            size = max(2 * count // 3, 1), before + 1
            own["prediction"] = (rng.normal(size=size) / np.sqrt(before)).astype(np.float16)
        before += sum(each * min(count, most) for each, most in zip((1, 4, 4), SEEN_BY_LAYERS, strict=True))
        tensors |= {f"{number}/{name}": values for name, values in (own | _frames(own, ways)).items()}
    about = About(
        version=PROFILE_VERSION,
        made_by="test",
        network="toy",
        cut="0" * 64,
        pictures=20,
        picture_hash="0" * 64,
        seed=0,
        tools={},
        groups=groups,
        order=tuple(name for group in layout for name in group),
        places=ImportanceClasses(classes=3, spacing=6, knee=0.5),
        qualities=tuple(STEP + 50 - q for q in range(100)),
        curve=tuple(CurvePoint(step=s, bytes=1e5 / 2 ** (s / 12), loss=s / 1000) for s in range(60, 190, 10)),
    )
    if ways:
        changes = {"version": VIDEO_PROFILE_VERSION, "frames": 10, "frame_hash": "0" * 64} | changes
    if cells or entropy:
        changes = changes | {"version": ENTROPY_VERSION if entropy else CELL_PROBE_VERSION}
    if layers:
        order = tuple(sorted(about.order))
        changes |= {"version": LAYERS_VERSION, "layers": layers, "order": order}
    return pack_profile(about.model_copy(update=changes), tensors)


def _rows(rng: np.random.Generator, count: int, size: int) -> NDArray[np.float16]:
    return np.linalg.qr(rng.normal(size=(size, size)))[0][:count].astype(np.float16)


def _share(kept: float, count: int) -> int:
    return max(round(kept * count), min(count, 3))


def _group(about: GroupAbout, number: int, kept: float, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    dimensions = 0
    for level in about.levels:
        c = level.channels
        out[f"{level.name}.mean"] = rng.normal(size=c).astype(np.float32)
        out[f"{level.name}.weight"] = rng.uniform(0.5, 2, c).astype(np.float32)
        out[f"{level.name}.low"], out[f"{level.name}.high"] = np.full((2, c), [[-50], [50]], np.float32)
        rows, stretched = _rows(rng, _share(kept, c), c), np.linspace(1, 1.5, c)
        out[f"{level.name}.basis"] = (rows * stretched).astype(np.float16)
        out[f"{level.name}.synthesis"] = (rows / stretched).T.astype(np.float16)
        dimensions += _share(kept, c) * level.ratio**2
    count = _share(kept, dimensions)
    out["basis"] = _rows(rng, count, dimensions)
    out["scales"] = (STEP + 8 - np.arange(count) // 4).astype(np.int16)
    out["references"] = np.minimum(rng.integers(0, 4, (count, 2)), np.arange(count)[:, None]).astype(np.uint16)
    out["offsets"] = rng.integers(-8, 8, (_native.COEFFICIENT_LEVELS, 3)).astype(np.int8)
    out["neighbours"] = (0.2 * rng.normal(size=(3, max(count // 2, 1), count))).astype(np.float16) / 4
    if number == 0:
        features = 4 * min(count, 3)
        out["probe.mean"], out["probe.scale"] = np.zeros(features, np.float32), np.ones(features, np.float32)
        out["probe.out"] = rng.normal(size=features + 1).astype(np.float32) - 1
    else:
        out["prediction"] = (0.1 * rng.normal(size=(count, 9 * 3 + 1))).astype(np.float16)
    return out | pack_state(_native.coefficient_state(), 60, ALONE)


def _entropy(count: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Networks that see a little of everything."""
    out: dict[str, NDArray[Any]] = {}
    sizes = {
        "values": (count, _native.ENTROPY_INPUTS, _native.ENTROPY_UNITS),
        "flags": (-(-count // _native.BAND), _native.FLAG_INPUTS, _native.FLAG_UNITS),
    }
    for name, (items, inputs, units) in sizes.items():
        out[f"{name}.bias"] = rng.integers(-400, 400, (items, units)).astype(np.int16)
        out[f"{name}.weights"] = rng.integers(-18, 19, (inputs, units)).astype(np.int16)
        out[f"{name}.out"] = np.append(rng.integers(-20000, 20001, units), 30 << 16).astype(np.int32)
    kinds = {
        "values": (_native.ENTROPY_ROWS, _native.ENTROPY_SYMBOLS),
        "flags": (_native.FLAG_ROWS, 2),
        "importance": (_native.MOST_IMPORTANCE_CLASSES**2, _native.MOST_IMPORTANCE_CLASSES),
    }
    for name, (rows, symbols) in kinds.items():
        widths = rng.multinomial((1 << _native.ROW_PRECISION) - symbols, rng.dirichlet(np.ones(symbols)), rows) + 1
        out[f"{name}.rows"] = np.pad(np.cumsum(widths, axis=1), ((0, 0), (1, 0))).astype(np.uint16)
    return {f"entropy.{name}": values for name, values in out.items()}


def _cell_probe(about: GroupAbout, own: Mapping[str, NDArray[Any]], seed: int, maps: int) -> dict[str, NDArray[Any]]:
    """Of four numbers a cell, and five around it."""
    rng = np.random.default_rng(seed)
    out = _sight(about, own, rng)
    last = (6,) if maps == 1 else (maps, 6)
    return out | _drawn(rng, {"mix_bias": (4,), "around": (5, 9 * 4), "around_bias": (5,), "out": last})


def _sight(about: GroupAbout, own: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Of three features a level."""
    shapes: dict[str, tuple[int, ...]] = {}
    features = 0
    for level in about.levels:
        shapes |= {f"{level.name}.rows": (3, len(own[f"{level.name}.basis"])), f"{level.name}.bias": (3,)}
        features += 3 if level.ratio == 1 else 6
    return _drawn(rng, shapes | {"mix": (4, features)})


def _drawn(rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    return {f"probe.{name}": rng.normal(size=shape).astype(np.float32) / 2 for name, shape in shapes.items()}


def _frames(own: Mapping[str, NDArray[Any]], ways: int) -> dict[str, NDArray[Any]]:
    """From a frame that hardly changes to one that is another."""
    if not ways:
        return {}
    gains = np.linspace(1, 0.2, ways)[:, None] * np.linspace(1, 0.8, len(own["scales"]))
    scales = own["scales"] + np.arange(-16, -16 + 8 * ways, 8)[:, None]
    state = pack_state(_native.frame_state(_native.coefficient_state()), 60, PREDICTED)
    out = {"gains": gains.astype(np.float16), "scales": scales.astype(np.int16)} | state
    return {f"frames.{name}": values for name, values in out.items()}


def clip(
    count: int, seed: int = 1, scale: float = 1.0, layout: Sequence[Group] = GROUPS, change: float = 0.05
) -> list[dict[str, NDArray[np.float32]]]:
    """Pyramids one after another, each the one before with a `change`, beside its own deviation."""
    rng = np.random.default_rng(seed)
    out = [pyramid(seed, scale, layout)]
    while len(out) < count:
        out.append(
            {
                name: (values + change * scale * rng.laplace(size=values.shape)).astype(np.float32)
                for name, values in out[-1].items()
            }
        )
    return out


def pyramid(seed: int = 1, scale: float = 1.0, layout: Sequence[Group] = GROUPS) -> dict[str, NDArray[np.float32]]:
    """What such a profile codes."""
    rng = np.random.default_rng(seed)
    levels = {name: spec for group in layout for name, spec in group.items()}
    return {name: (scale * rng.laplace(size=(c, *size))).astype(np.float32) for name, (c, size, _) in levels.items()}
