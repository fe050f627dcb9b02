"""The profile: what calibration has learnt of a network, in one safetensors file (docs/profile.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from midstream import _native
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.errors import InputError
from midstream.files import read_bytes, write_bytes

Floats = NDArray[np.float32]
#: Of the file's layout.
PROFILE_VERSION = 1
#: No network's profile is larger.
MOST_PROFILE_BYTES = 8_000_000
#: Of the SHA-256 of the file, what a bitstream carries.
HASH_BYTES = 8
#: Steps are 2^((index - STEP_INDICES / 2) / STEPS_PER_OCTAVE) in the weighted domain.
STEPS_PER_OCTAVE = 8
#: That a probe makes of each component (places.py).
PROBE_FEATURES = 4
#: Of a step's index in a bitstream.
STEP_INDICES = 256
QUALITIES = range(1, 101)
#: Cells of the first group that a component of another is predicted from.
PREDICTION_WINDOW = 3
PREDICTION_CELLS = PREDICTION_WINDOW**2
_LARGEST_WEIGHT = 1 << 19
_LARGEST_COUNT = 255
_MOST_LEARNT = 4096
_LEAST_WEIGHT = 1e-15


def widths(indices: NDArray[np.int16]) -> Floats:
    """Lengths in the weighted domain, float32, of indices in eighths of an octave: steps, and deviations."""
    octaves = (indices.astype(np.float64) - STEP_INDICES / 2) / STEPS_PER_OCTAVE
    return np.exp2(octaves).astype(np.float32)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Side = Annotated[int, Field(ge=1, le=1 << 20)]


class LevelAbout(_Strict):
    """One level: `size` is that of the calibration's pictures, a cell of the group's grid `ratio` x `ratio` of it."""

    name: str = Field(min_length=1, max_length=255)
    channels: int = Field(ge=1)
    size: tuple[_Side, _Side]
    ratio: int = Field(ge=1, le=64)


class GroupAbout(_Strict):
    """Levels that are coded together."""

    levels: tuple[LevelAbout, ...] = Field(min_length=1)


class Places(_Strict):
    """Classes of places: class 0 has the finest step, each further one is `spacing` eighths of an octave coarser.

    A place whose score is `knee` or more is of class 0.
    """

    classes: int = Field(ge=1, le=_native.MOST_PLACE_CLASSES)
    spacing: int = Field(ge=1, le=64)
    knee: float = Field(gt=0)

    def steps(self, step: int) -> NDArray[np.int16]:
        """The step's index of each class, int16 [classes], where class 0 has `step`."""
        return (step + self.spacing * np.arange(self.classes)).astype(np.int16)


class Point(_Strict):
    """What calibration saw at a step: mean bytes a picture, and the estimated relative loss of accuracy, 0 to 1."""

    step: int = Field(ge=0, lt=STEP_INDICES)
    bytes: float = Field(gt=0)
    loss: float = Field(ge=0, le=1)


class About(_Strict):
    """The document in the header of a profile.

    Attributes:
        version: PROFILE_VERSION.
        made_by: release of midstream.
        network, cut: name, and the hash of the cut graph (`SplitModel.fingerprint`).
        pictures, picture_hash, seed: what it was fitted on.
        tools: which parts of the method are in use (docs/method.md).
        power: to which the measured sensitivity was raised.
        groups: in the order of the bitstream.
        order: level names in the pyramid's own order.
        places: classes of places.
        qualities: the step's index for quality 1, 2, ... 100, not increasing.
        curve: measured points by increasing step.
    """

    version: int
    made_by: str
    network: str
    cut: str
    pictures: int
    picture_hash: str
    seed: int
    tools: dict[str, bool]
    power: float = 1.0
    groups: tuple[GroupAbout, ...] = Field(min_length=1, max_length=16)
    order: tuple[str, ...] = Field(min_length=1)
    places: Places
    qualities: tuple[int, ...]
    curve: tuple[Point, ...] = Field(min_length=1)


@dataclass(frozen=True)
class LevelPart:
    """What is known of one level.

    Attributes:
        mean, weight, low, high: [C], of each channel; weight is the square root of the task's sensitivity to it.
        basis: [k, C], from the weighted channels to components: their KLT in the metric of the task, cut to k rows.
        synthesis: [C, k], from the components to the weighted channels.
    """

    about: LevelAbout
    mean: Floats
    weight: Floats
    low: Floats
    high: Floats
    basis: Floats
    synthesis: Floats


@dataclass(frozen=True)
class Probe:
    """Predicts, from the components at a place, how much the network sees there (docs/method.md, "Places").

    Attributes:
        mean, scale: [P], of the features (places.py).
        out: [P + 1]: log2 of the score, a number a feature and a constant.
    """

    mean: Floats
    scale: Floats
    out: Floats


@dataclass(frozen=True)
class GroupPart:
    """What is known of one group.

    Attributes:
        levels: its levels.
        basis: [K, D], orthonormal rows: from the stacked first-stage components of a cell to the final ones.
        scales: int16 [K], the standard deviation of each component, as the index of a step of that size.
        references: uint16 [K, 2], see native/components.hpp.
        offsets: int8 [levels of magnitude, 3], see native/components.hpp.
        neighbours: [3, I, O], what the first I components of the cells to the west, north and north-east say of the
            first O of a cell; empty where nothing is predicted.
        state: uint32, what the coder begins with.
        probe: of the first group; None where places are not told apart.
        prediction: [K, P * 9 + 1], of the other groups: their components from the first P of the first group around a
            place and a one (prediction.py); None where nothing is predicted.
    """

    levels: tuple[LevelPart, ...]
    basis: Floats
    scales: NDArray[np.int16]
    references: NDArray[np.uint16]
    offsets: NDArray[np.int8]
    neighbours: Floats
    state: NDArray[np.uint32]
    probe: Probe | None = field(default=None)
    prediction: Floats | None = field(default=None)

    @cached_property
    def columns(self) -> Floats:
        """The basis as a decoder multiplies with it: [D, K]."""
        return np.ascontiguousarray(self.basis.T)

    @property
    def transform_size(self) -> int:
        """Numbers in what makes levels of components: the transform back and predictions."""
        parts = [level.synthesis for level in self.levels] + [self.basis, self.neighbours]
        return sum(part.size for part in parts) + (0 if self.prediction is None else self.prediction.size)


@dataclass(frozen=True)
class Profile:
    """A calibrated network. Make one with `midstream calibrate`; `Profile.read` reads the file."""

    about: About
    groups: tuple[GroupPart, ...]
    data: bytes

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the file, [32]."""
        return hashlib.sha256(self.data).digest()

    @property
    def key(self) -> bytes:
        """What bitstreams carry of it, [8]."""
        return self.digest[:HASH_BYTES]

    @property
    def name(self) -> str:
        """The key as people read it."""
        return self.key.hex()

    @classmethod
    def read(cls, path: str | Path) -> Profile:
        """From a file. Raises InputError."""
        return cls.parse(read_bytes(str(path), MOST_PROFILE_BYTES + 1), str(path))

    @classmethod
    def of(cls, value: object) -> Profile:
        """A profile, or the one in a file of this name. Raises InputError for anything else."""
        if isinstance(value, Profile):
            return value
        if not isinstance(value, str | Path):
            raise InputError(f"a profile is a midstream.Profile or the name of its file, not {type(value).__name__}")
        return cls.read(value)

    @classmethod
    def parse(cls, data: bytes, origin: str) -> Profile:
        """From the content of a file; `origin` is named in errors. Raises InputError for what is not a profile."""
        if len(data) > MOST_PROFILE_BYTES:
            raise InputError(f"{origin}: not a profile: {len(data):,} bytes, at most {MOST_PROFILE_BYTES:,} are one")
        tensors, document = unpack_tensors(data, origin)
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version != PROFILE_VERSION:
            raise InputError(f"{origin}: a profile of version {version}; this release reads {PROFILE_VERSION}")
        try:
            about = About.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{origin}: not a profile of midstream: {where}: {first['msg']}") from error
        try:
            _check_about(about)
            groups = tuple(_group(_Tensors(tensors, f"{i}/"), group) for i, group in enumerate(about.groups))
            _check_predictions(groups)
        except (KeyError, ValueError) as error:
            raise InputError(f"{origin}: a damaged profile: {error}") from error
        return cls(about, groups, bytes(data))

    def write(self, path: str | Path) -> None:
        """To a file, which appears whole or not at all. Raises InputError."""
        write_bytes(str(path), self.data)

    def step_of(self, quality: int) -> int:
        """The step's index for a quality, 1 to 100. Raises InputError."""
        if isinstance(quality, bool) or not isinstance(quality, int) or quality not in QUALITIES:
            raise InputError(f"quality is a whole number from {QUALITIES[0]} to {QUALITIES[-1]}, not {quality!r}")
        return self.about.qualities[quality - 1]

    def step_for_loss(self, loss: float) -> int:
        """The coarsest step whose estimated relative loss of accuracy is at most `loss`, 0 to 1. Raises InputError."""
        if not 0 < loss < 1:
            raise InputError(f"the loss is a share of the accuracy, above 0 and below 1 (or 1% for 0.01), not {loss:g}")
        fitting = [point.step for point in self.about.curve if point.loss <= loss]
        if not fitting:
            least = min(self.about.curve, key=lambda point: point.loss)
            raise InputError(
                f"no step of this profile has an estimated loss of {loss:.2%}: the least is {least.loss:.2%}"
            )
        return max(fitting)


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
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"tensor {self._prefix}{name} holds a number that is not finite")
        return value

    def floats(self, name: str, dtype: str, *shape: int | None) -> Floats:
        return np.ascontiguousarray(self.take(name, dtype, *shape), np.float32)


def _check_about(about: About) -> None:
    names = [level.name for group in about.groups for level in group.levels]
    if sorted(names) != sorted(about.order) or len(set(names)) != len(names):
        raise ValueError("groups and order do not name the same levels once")
    falling = all(a >= b for a, b in pairwise(about.qualities))
    if len(about.qualities) != len(QUALITIES) or not falling:
        raise ValueError("qualities are not 100 indices of steps that do not increase")
    if not 0 <= about.qualities[-1] <= about.qualities[0] < STEP_INDICES:
        raise ValueError("qualities are indices of no steps")


def _group(tensors: _Tensors, about: GroupAbout) -> GroupPart:
    levels = tuple(_level(tensors, level) for level in about.levels)
    width = sum(len(level.basis) * level.about.ratio**2 for level in levels)
    basis = tensors.floats("basis", "float16", None, width)
    count = len(basis)
    references = np.ascontiguousarray(tensors.take("references", "uint16", count, 2))
    if (references > np.arange(count)[:, None]).any():
        raise ValueError("a component refers to one that does not come before it")
    return GroupPart(
        levels,
        basis,
        np.ascontiguousarray(tensors.take("scales", "int16", count)),
        references,
        np.ascontiguousarray(tensors.take("offsets", "int8", _native.COMPONENT_LEVELS, 3)),
        _neighbours(tensors, count),
        _state(tensors),
        _probe(tensors, count) if tensors.has("probe.out") else None,
        tensors.floats("prediction", "float16", count, None) if tensors.has("prediction") else None,
    )


def _check_predictions(groups: tuple[GroupPart, ...]) -> None:
    for number, group in enumerate(groups):
        if number and group.probe is not None:
            raise ValueError("a probe that is not of the first group")
        if group.prediction is not None:
            inputs = group.prediction.shape[1] - 1
            if number == 0 or inputs % PREDICTION_CELLS or not 0 < inputs // PREDICTION_CELLS <= len(groups[0].scales):
                raise ValueError("a prediction that does not fit the first group")


def _level(tensors: _Tensors, about: LevelAbout) -> LevelPart:
    def of(name: str, dtype: str, *shape: int | None) -> Floats:
        return tensors.floats(f"{about.name}.{name}", dtype, *shape)

    mean, weight, low, high = (of(name, "float32", about.channels) for name in ("mean", "weight", "low", "high"))
    if (weight < _LEAST_WEIGHT).any() or (low > high).any():
        raise ValueError(f"level {about.name}: weights that are not positive, or an empty range")
    basis = of("basis", "float16", None, about.channels)
    if len(basis) > about.channels:
        raise ValueError(f"level {about.name}: more components than channels")
    synthesis = of("synthesis", "float16", about.channels, len(basis))
    return LevelPart(about, mean, weight, low, high, basis, synthesis)


def _probe(tensors: _Tensors, count: int) -> Probe:
    mean = tensors.floats("probe.mean", "float32", None)
    scale, out = tensors.floats("probe.scale", "float32", len(mean)), tensors.floats("probe.out", "float32", None)
    if len(mean) % PROBE_FEATURES or len(mean) // PROBE_FEATURES > count or len(out) != len(mean) + 1:
        raise ValueError("a probe of other features than there are")
    if (scale < _LEAST_WEIGHT).any():
        raise ValueError("a probe with a scale that is not positive")
    return Probe(mean, scale, out)


def _neighbours(tensors: _Tensors, count: int) -> Floats:
    if not tensors.has("neighbours"):
        return np.zeros((3, 0, 0), np.float32)
    values = tensors.floats("neighbours", "float16", 3, None, None)
    if max(values.shape[1:]) > count:
        raise ValueError("a prediction from neighbours of more components than there are")
    return values


def pack_state(state: NDArray[np.uint32], most: int) -> dict[str, NDArray[Any]]:
    """The coder's state as it stands in a profile: what was seen more than `most` times counts as seen that often."""
    slots = state[: _native.COMPONENT_SLOTS]
    rest = state[_native.COMPONENT_SLOTS :].view(np.int32)
    weights = rest[: -_native.COMPONENT_SETS]
    return {
        "state.chances": (slots >> 16).astype(np.uint16),
        "state.counts": np.minimum(slots & 1023, most).astype(np.uint8),
        "state.weights": weights.copy(),
        "state.learnt": rest[-_native.COMPONENT_SETS :].astype(np.uint16),
    }


def _state(tensors: _Tensors) -> NDArray[np.uint32]:
    """The coder's state again; what it is made of is checked, since the coder trusts it."""
    chances = tensors.take("state.chances", "uint16", _native.COMPONENT_SLOTS).astype(np.uint32)
    counts = tensors.take("state.counts", "uint8", _native.COMPONENT_SLOTS).astype(np.uint32)
    size = len(_native.component_state()) - _native.COMPONENT_SLOTS - _native.COMPONENT_SETS
    weights = tensors.take("state.weights", "int32", size)
    learnt = tensors.take("state.learnt", "uint16", _native.COMPONENT_SETS).astype(np.uint32)
    largest = (int(each.astype(np.int64).max()) for each in (np.abs(weights.astype(np.int64)), counts, learnt))
    if any(most < value for value, most in zip(largest, (_LARGEST_WEIGHT, _LARGEST_COUNT, _MOST_LEARNT), strict=True)):
        raise ValueError("a state of the coder that is out of range")
    slots = (chances << 16 | 1 << 15) | counts
    return np.concatenate([slots, weights.view(np.uint32), learnt])


def pack_profile(about: About, tensors: Mapping[str, NDArray[Any]]) -> Profile:
    """A profile from its document and its tensors. Raises InputError for more than MOST_PROFILE_BYTES."""
    return Profile.parse(pack_tensors(tensors, about.model_dump(mode="json")), "the new profile")
