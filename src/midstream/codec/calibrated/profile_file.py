"""A profile's file (docs/profile.md): a document and tensors, read and written here and nowhere else.

Each tensor is bounded as it is read, so that no sum of products of them overflows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.codec.calibrated.document import (
    CELL_PROBE_VERSION,
    ENTROPY_VERSION,
    About,
    LevelAbout,
    read_about,
)
from midstream.codec.calibrated.entropy import IMPORTANCE_ROWS, EntropyPart, RowNetwork
from midstream.codec.calibrated.parts import (
    PREDICTION_CELLS,
    PROBE_FEATURES,
    PROBE_WINDOW,
    SEEN_BY_LAYERS,
    CellProbe,
    Floats,
    FramePart,
    GroupPart,
    GroupSight,
    LevelPart,
    LevelSight,
    Probe,
)
from midstream.errors import InputError

#: Of the coder's state, which the coder trusts (native/mixing.hpp): updates of slots, weights, and their updates.
COUNTS, MIXED, LEARNT = (0, 255), (-(1 << 19), 1 << 19), (0, 4096)
#: The least and the largest number of a tensor.
Range = tuple[float, float]
#: Bounds of a profile's numbers. While coefficients are at most 2^40 (coding.LARGEST), no sum of the transform reaches
#: 2^128, where float32 ends: 2^11 of them (no file has more rows) times 2 are below 2^52, and 2^11 of those times 2^8
#: over 2^-50 below 2^121. Calibration stays far within: rows of the second stage are orthonormal, the mean square of
#: weights is 1, a ridge of 0.02 beside the mean energy of 128 inputs gives no coefficient above 40 (docs/method.md).
_VALUES, _WEIGHTS, _FIRST_STAGE = (-(2.0**30), 2.0**30), (2.0**-50, 2.0**10), (-(2.0**8), 2.0**8)
_SECOND_STAGE, _NEIGHBOURS = (-2.0, 2.0), (-(2.0**6), 2.0**6)
#: All that a float16 holds: predictions add to coefficients, whose sum the encoder bounds.
_PREDICTIONS = (-65504.0, 65504.0)
#: Of a probe: features are logarithms, calibration takes deviations of 10^-6 at least.
_FEATURES, _DEVIATIONS, _SLOPES = (-(2.0**10), 2.0**10), (2.0**-20, 2.0**10), (-(2.0**16), 2.0**16)
#: Of a cell's probe. Its features are at most 2^60 (cell_probe.py), and what is made of them below 2^80, 2^101, 2^118.
_FACTORS = (-(2.0**10), 2.0**10)
#: Features of a level, and numbers that are made of them, at most.
MOST_PROBE_WIDTH = 64
#: From the frame before to this one: a leak at most, so that no error lasts.
_GAINS = (0.0, 1.0)
#: Indices of the standard deviations of coefficients: calibration takes those below 10^-12 (-191) for that.
_SCALES = (-256, 512)


def read_profile(data: bytes, origin: str) -> tuple[About, tuple[GroupPart, ...]]:
    """Document and groups from the content of a file; `origin` is named in errors. Raises InputError."""
    tensors, document = unpack_tensors(data, origin)
    about = read_about(document, origin)
    try:
        return about, read_groups(tensors, about)
    except (KeyError, ValueError) as error:
        raise InputError(f"{origin}: a damaged profile: {error}") from error


def write_profile(about: About, tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of the file of a document and tensors."""
    return pack_tensors(tensors, about.model_dump(mode="json", by_alias=True, exclude_none=True))


def tensors_of(groups: Sequence[GroupPart], most_seen: int) -> dict[str, NDArray[Any]]:
    """The groups as tensors: what `read_groups` reads.

    Args:
        groups: of the profile.
        most_seen: what the coder has seen more often counts as seen that often, so that it goes on learning.
    """
    out: dict[str, NDArray[Any]] = {}
    for number, group in enumerate(groups):
        own: dict[str, NDArray[Any]] = {"basis": group.basis.astype(np.float16)}
        if group.neighbours.size:
            own["neighbours"] = group.neighbours.astype(np.float16)
        own |= {"scales": group.scales, "references": group.references, "offsets": group.offsets}
        own |= pack_state(group.state, most_seen, ALONE)
        for level in group.levels:
            own |= {f"{level.about.name}.{name}": getattr(level, name) for name in ("mean", "weight", "low", "high")}
            own |= {
                f"{level.about.name}.{name}": getattr(level, name).astype(np.float16) for name in ("basis", "synthesis")
            }
        if group.prediction is not None:
            own["prediction"] = group.prediction.astype(np.float16)
        if group.frames is not None:
            own |= {"frames.gains": group.frames.gains.astype(np.float16), "frames.scales": group.frames.scales}
            packed = pack_state(group.frames.state, most_seen, PREDICTED)
            own |= {f"frames.{name}": values for name, values in packed.items()}
        own |= {f"probe.{name}": values for name, values in _tensors_of_probe(group).items()}
        own |= {f"entropy.{name}": values for name, values in _tensors_of_entropy(group.entropy).items()}
        out |= {f"{number}/{name}": values for name, values in own.items()}
    return out


def _tensors_of_entropy(entropy: EntropyPart | None) -> dict[str, NDArray[Any]]:
    if entropy is None:
        return {}
    out: dict[str, NDArray[Any]] = {}
    for name, network, rows in (
        ("values", entropy.values, entropy.value_rows),
        ("flags", entropy.flags, entropy.flag_rows),
    ):
        out |= {f"{name}.bias": network.bias, f"{name}.weights": network.weights, f"{name}.out": network.out}
        out[f"{name}.rows"] = rows
    return out | {"importance.rows": entropy.importance_rows}


def _tensors_of_probe(group: GroupPart) -> dict[str, NDArray[Any]]:
    probe = group.probe
    if probe is None:
        return {}
    if isinstance(probe, Probe):
        return {name: getattr(probe, name) for name in ("mean", "scale", "out")}
    names = ("mix", "mix_bias", "around", "around_bias") if isinstance(probe, CellProbe) else ("mix",)
    out: dict[str, NDArray[Any]] = {name: getattr(probe, name) for name in names}
    if isinstance(probe, CellProbe):
        out["out"] = probe.out if len(probe.out) > 1 else probe.out[0]
    for level, sight in zip(group.levels, probe.levels, strict=True):
        out |= {f"{level.about.name}.rows": sight.rows, f"{level.about.name}.bias": sight.bias}
    return out


def read_groups(tensors: Mapping[str, NDArray[Any]], about: About) -> tuple[GroupPart, ...]:
    """The groups from a profile's tensors, with what clips show where it has seen some. Raises KeyError, ValueError."""
    groups = tuple(_group(_Tensors(tensors, f"{number}/"), number, about) for number in range(len(about.groups)))
    _check_predictions(groups)
    _check_sights(groups, about)
    return groups


class _Tensors:
    """Tensors of one group, each checked for type and shape as it is taken."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], prefix: str) -> None:
        self._tensors = tensors
        self._prefix = prefix

    def has(self, name: str) -> bool:
        return self._prefix + name in self._tensors

    def take(self, name: str, dtype: str, *shape: int | None) -> NDArray[Any]:
        value = self._tensors[self._prefix + name]
        fits = value.ndim == len(shape) and all(w is None or w == g for w, g in zip(shape, value.shape, strict=True))
        if value.dtype != np.dtype(dtype) or not fits or value.size == 0:
            raise ValueError(f"tensor {self._prefix}{name} is {value.dtype} {list(value.shape)}")
        return value

    def floats(self, name: str, dtype: str, *shape: int | None, within: Range) -> Floats:
        return np.ascontiguousarray(self.bounded(name, dtype, *shape, within=within), np.float32)

    def bounded(self, name: str, dtype: str, *shape: int | None, within: Range) -> NDArray[Any]:
        value = self.take(name, dtype, *shape)
        least, most = value.min(), value.max()
        if not (within[0] <= least and most <= within[1]):  # a NaN is not within
            raise ValueError(f"tensor {self._prefix}{name} holds {least:g} to {most:g}, which is out of range")
        return value


def _group(tensors: _Tensors, number: int, whole: About) -> GroupPart:
    about, layer = whole.groups[number], 0 < number < whole.layer_count
    levels = tuple(_level(tensors, level) for level in about.levels)
    width = sum(level.dimensions for level in levels)
    basis = tensors.floats("basis", "float16", None, width, within=_SECOND_STAGE)
    count = len(basis)
    if count > width:
        raise ValueError("more coefficients than dimensions")
    references = np.ascontiguousarray(tensors.take("references", "uint16", count, 2))
    if (references > np.arange(count)[:, None]).any():
        raise ValueError("a coefficient refers to one that does not come before it")
    prediction = None
    if tensors.has("prediction"):
        rows = None if layer else count
        prediction = tensors.floats("prediction", "float16", rows, None, within=_PREDICTIONS)
    return GroupPart(
        levels,
        basis,
        np.ascontiguousarray(tensors.bounded("scales", "int16", count, within=_SCALES)),
        references,
        np.ascontiguousarray(tensors.take("offsets", "int8", _native.COEFFICIENT_LEVELS, 3)),
        _neighbours(tensors, count),
        _state(tensors, "", ALONE),
        _any_probe(tensors, levels, count, whole, layer),
        prediction,
        layer,
        _frames(tensors, count) if whole.frames is not None else None,
        whole=whole.version >= CELL_PROBE_VERSION,
        all_whole=whole.version >= ENTROPY_VERSION,
        entropy=_entropy(tensors, count) if whole.version >= ENTROPY_VERSION else None,
    )


def _entropy(tensors: _Tensors, count: int) -> EntropyPart:
    """The native model checks what it holds. Raises ValueError."""

    def taken(name: str, dtype: str, *shape: int) -> NDArray[Any]:
        return np.ascontiguousarray(tensors.take(f"entropy.{name}", dtype, *shape))

    def network(name: str, items: int, inputs: int, units: int) -> RowNetwork:
        return RowNetwork(
            taken(f"{name}.bias", "int16", items, units),
            taken(f"{name}.weights", "int16", inputs, units),
            taken(f"{name}.out", "int32", units + 1),
        )

    out = EntropyPart(
        network("values", count, _native.ENTROPY_INPUTS, _native.ENTROPY_UNITS),
        network("flags", -(-count // _native.BAND), _native.FLAG_INPUTS, _native.FLAG_UNITS),
        taken("values.rows", "uint16", _native.ENTROPY_ROWS, _native.ENTROPY_SYMBOLS + 1),
        taken("flags.rows", "uint16", _native.FLAG_ROWS, 3),
        taken("importance.rows", "uint16", IMPORTANCE_ROWS, _native.MOST_IMPORTANCE_CLASSES + 1),
    )
    _ = out.model
    return out


def _frames(tensors: _Tensors, count: int) -> FramePart:
    gains = tensors.floats("frames.gains", "float16", None, count, within=_GAINS)
    if len(gains) >= _native.MOST_FRAME_MODES:
        raise ValueError(f"{len(gains)} ways to predict a cell from the frame before")
    scales = np.ascontiguousarray(tensors.bounded("frames.scales", "int16", len(gains), count, within=_SCALES))
    return FramePart(gains, scales, _state(tensors, "frames.", PREDICTED))


def _check_predictions(groups: tuple[GroupPart, ...]) -> None:
    """Of the groups before each, as many numbers are looked at as there are to be."""
    from_layers = 1
    for number, group in enumerate(groups):
        if group.prediction is not None:
            outputs, inputs = group.prediction.shape
            if group.layer:
                fits = inputs == from_layers and outputs <= len(group.scales)
            else:
                count, rest = divmod(inputs - 1, PREDICTION_CELLS)
                fits = number > 0 and 0 < count <= len(groups[0].scales) and not rest
            if not fits:
                raise ValueError("a prediction that does not fit the groups before it")
        here, beside, corner = (min(most, len(group.scales)) for most in SEEN_BY_LAYERS)
        from_layers += here + 4 * (beside + corner)


def _check_sights(groups: tuple[GroupPart, ...], about: About) -> None:
    """Coarser groups see nothing, and what layers see is added to what the first group does."""
    first = groups[0].probe
    mixed = first.mix.shape[0] if isinstance(first, CellProbe) else None
    for group in groups[1:]:
        own = group.probe.mix.shape[0] if isinstance(group.probe, GroupSight) else None
        if own != (mixed if group.layer else None) or isinstance(group.probe, Probe):
            raise ValueError("a probe that does not fit that of the first group")
    if first is None and about.layers is not None:
        raise ValueError("layers without a probe")


def _level(tensors: _Tensors, about: LevelAbout) -> LevelPart:
    def of(name: str, dtype: str, *shape: int | None, within: Range) -> Floats:
        return tensors.floats(f"{about.name}.{name}", dtype, *shape, within=within)

    mean, low, high = (of(name, "float32", about.channels, within=_VALUES) for name in ("mean", "low", "high"))
    if (low > high).any():
        raise ValueError(f"level {about.name}: an empty range")
    weight = of("weight", "float32", about.channels, within=_WEIGHTS)
    basis = of("basis", "float16", None, about.channels, within=_FIRST_STAGE)
    if len(basis) > about.channels:
        raise ValueError(f"level {about.name}: more coefficients than channels")
    synthesis = of("synthesis", "float16", about.channels, len(basis), within=_FIRST_STAGE)
    return LevelPart(about, mean, weight, low, high, basis, synthesis)


def _any_probe(
    tensors: _Tensors, levels: Sequence[LevelPart], count: int, about: About, layer: bool
) -> Probe | GroupSight | None:
    if not tensors.has("probe.mix" if layer else "probe.out"):
        return None
    if about.version < CELL_PROBE_VERSION:
        return _probe(tensors, count)
    return _cell_probe(tensors, levels, about.layer_count, layer)


def _cell_probe(tensors: _Tensors, levels: Sequence[LevelPart], maps: int, layer: bool) -> GroupSight:
    def of(name: str, *shape: int | None, within: Range = _FACTORS) -> Floats:
        values = tensors.floats(f"probe.{name}", "float32", *shape, within=within)
        if name != "out" and len(values) > MOST_PROBE_WIDTH:
            raise ValueError(f"a probe with {len(values)} numbers in {name}")
        return values

    sights = []
    for level in levels:
        rows = of(f"{level.about.name}.rows", None, len(level.basis), within=_VALUES)
        sights.append(LevelSight(rows, of(f"{level.about.name}.bias", len(rows), within=_VALUES)))
    features = sum(
        len(sight.rows) * (1 if level.about.ratio == 1 else 2) for level, sight in zip(levels, sights, strict=True)
    )
    mix = of("mix", None, features)
    if layer:
        return GroupSight(tuple(sights), mix)
    around = of("around", None, PROBE_WINDOW**2 * len(mix))
    size = len(around) + 1
    out = of("out", maps, size) if maps > 1 else of("out", size)[None]
    return CellProbe(tuple(sights), mix, of("mix_bias", len(mix)), around, of("around_bias", len(around)), out)


def _probe(tensors: _Tensors, count: int) -> Probe:
    mean = tensors.floats("probe.mean", "float32", None, within=_FEATURES)
    if len(mean) % PROBE_FEATURES or len(mean) // PROBE_FEATURES > count:
        raise ValueError("a probe of other features than there are")
    scale = tensors.floats("probe.scale", "float32", len(mean), within=_DEVIATIONS)
    return Probe(mean, scale, tensors.floats("probe.out", "float32", len(mean) + 1, within=_SLOPES))


def _neighbours(tensors: _Tensors, count: int) -> Floats:
    if not tensors.has("neighbours"):
        return np.zeros((3, 0, 0), np.float32)
    values = tensors.floats("neighbours", "float16", 3, None, None, within=_NEIGHBOURS)
    if max(values.shape[1:]) > count:
        raise ValueError("a prediction from neighbours of more coefficients than there are")
    return values


@dataclass(frozen=True)
class StateLayout:
    """How what a coder has learnt lies in its state: slots, weights of the mixer, and how often these have learnt."""

    slots: int
    size: int

    @property
    def weights(self) -> int:
        """How many there are."""
        return self.size - self.slots - _native.COEFFICIENT_SETS


ALONE = StateLayout(_native.COEFFICIENT_SLOTS, len(_native.coefficient_state()))
PREDICTED = StateLayout(_native.FRAME_SLOTS, len(_native.frame_state(_native.coefficient_state())))


def pack_state(state: NDArray[np.uint32], most: int, layout: StateLayout) -> dict[str, NDArray[Any]]:
    """The coder's state as it stands in a profile: what was seen more than `most` times counts as seen that often."""
    slots = state[: layout.slots]
    rest = state[layout.slots :].view(np.int32)
    return {
        "state.chances": (slots >> 16).astype(np.uint16),
        "state.counts": np.minimum(slots & 1023, most).astype(np.uint8),
        "state.weights": rest[: layout.weights].copy(),
        "state.learnt": rest[layout.weights :].astype(np.uint16),
    }


def _state(tensors: _Tensors, prefix: str, layout: StateLayout) -> NDArray[np.uint32]:
    """The coder's state again; what it is made of is checked, since the coder trusts it."""
    chances = tensors.take(f"{prefix}state.chances", "uint16", layout.slots).astype(np.uint32)
    counts = tensors.take(f"{prefix}state.counts", "uint8", layout.slots).astype(np.uint32)
    weights = tensors.bounded(f"{prefix}state.weights", "int32", layout.weights, within=MIXED)
    learnt = tensors.bounded(f"{prefix}state.learnt", "uint16", _native.COEFFICIENT_SETS, within=LEARNT)
    slots = (chances << 16 | 1 << 15) | counts
    return np.concatenate([slots, weights.view(np.uint32), learnt.astype(np.uint32)])
