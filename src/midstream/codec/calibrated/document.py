"""The document in the header of a profile: what was calibrated, how levels lie in groups, steps and their curve."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from midstream import _native
from midstream.errors import InputError

#: Of the file's layout: with a linear probe, without clips and with them; and with a probe of cells, with clips or not;
#: and with entropy models, and all of a decoder's sums in whole numbers; and with levels that are coded one by one.
PROFILE_VERSION, VIDEO_PROFILE_VERSION, CELL_PROBE_VERSION, ENTROPY_VERSION, LAYERS_VERSION = 1, 2, 3, 4, 5
#: Steps are 2^((index - STEP_INDICES / 2) / STEPS_PER_OCTAVE) in the weighted domain.
STEPS_PER_OCTAVE = 8
#: Of a step's index in a bitstream.
STEP_INDICES = 256
QUALITIES = range(1, 101)
#: Of a profile, as of a stream.
MOST_GROUPS = 16
#: Scores are from 0 to 1; none below this differs from it.
LEAST_SCORE = 2.0**-20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


#: Characters of a field's name in an error.
_MOST_SHOWN = 80
_Side = Annotated[int, Field(ge=1, le=1 << 20)]
#: A whole number that any reader of JSON holds.
_Whole = Annotated[int, Field(ge=0, lt=1 << 53)]
#: A name, or a path as one.
_Text = Annotated[str, Field(max_length=4096)]


class LevelAbout(_Strict):
    """One level: `size` is that of the calibration's images, a cell of the group's grid `ratio` x `ratio` of it."""

    name: str = Field(min_length=1, max_length=255)
    channels: int = Field(ge=1)
    size: tuple[_Side, _Side]
    ratio: int = Field(ge=1, le=64)


class GroupAbout(_Strict):
    """Levels that are coded together."""

    levels: tuple[LevelAbout, ...] = Field(min_length=1)


def _grid(level: LevelAbout) -> tuple[int, ...]:
    """Of a level's cells in the calibration's images."""
    return tuple(-(-side // level.ratio) for side in level.size)


@lru_cache(maxsize=1024)
def _steps(step: int, spacing: int, classes: int) -> NDArray[np.int16]:
    """`ImportanceClasses.steps`, which is asked for with every image; not to be written to."""
    steps = (step + spacing * np.arange(classes)).astype(np.int16)
    steps.flags.writeable = False
    return steps


class ImportanceClasses(_Strict):
    """Classes of cells: class 0 has the finest step, each further one is `spacing` eighths of an octave coarser.

    A cell whose score is `knee` or more is of class 0.
    """

    classes: int = Field(ge=1, le=_native.MOST_IMPORTANCE_CLASSES)
    spacing: int = Field(ge=1, le=64)
    knee: float = Field(ge=LEAST_SCORE, le=1)

    def steps(self, step: int) -> NDArray[np.int16]:
        """The step's index of each class, int16 [classes], where class 0 has `step`; not to be written to."""
        return _steps(step, self.spacing, self.classes)


class CurvePoint(_Strict):
    """What calibration saw at a step: mean bytes an image, and the estimated relative loss of accuracy, 0 to 1."""

    step: int = Field(ge=0, lt=STEP_INDICES)
    bytes: float = Field(ge=1, le=1 << 53)
    loss: float = Field(ge=0, le=1)


class About(_Strict):
    """The document in the header of a profile.

    Attributes:
        version: PROFILE_VERSION, VIDEO_PROFILE_VERSION where clips were calibrated on, or CELL_PROBE_VERSION for both;
            ENTROPY_VERSION for both, with entropy models; LAYERS_VERSION with layers as well.
        made_by: release of midstream, and what else decides the last bits.
        network, cut: name, and the hash of the cut graph (`SplitModel.fingerprint`).
        images, image_hash, seed: what it was fitted on; in the file `pictures` and `picture_hash`.
        tools: which parts of the method are in use (docs/method.md).
        power: to which the measured sensitivity was raised.
        groups: in the order of the bitstream.
        layers: how many of them, from the first on, lie over the same cells, each with an importance map of its own and
            predicted from those before it; None for one.
        order: level names in the pyramid's own order.
        importance: importance classes; in the file `places`.
        qualities: the step's index for quality 1, 2, ... 100, not increasing.
        curve: measured points by increasing step, whose loss does not fall.
        frames, frame_hash: what predicted frames were fitted on; None without clips.
    """

    version: int = Field(ge=PROFILE_VERSION, le=LAYERS_VERSION)
    made_by: _Text
    network: _Text
    cut: _Text
    images: _Whole = Field(alias="pictures")
    image_hash: _Text = Field(alias="picture_hash")
    seed: _Whole
    tools: dict[str, bool] = Field(max_length=64)
    power: float = Field(default=1.0, ge=0, le=1)
    groups: tuple[GroupAbout, ...] = Field(min_length=1, max_length=MOST_GROUPS)
    layers: int | None = Field(default=None, ge=2)
    order: tuple[str, ...] = Field(min_length=1)
    importance: ImportanceClasses = Field(alias="places")
    qualities: tuple[int, ...] = Field(repr=False)
    curve: tuple[CurvePoint, ...] = Field(min_length=1, repr=False)
    frames: _Whole | None = None
    frame_hash: _Text | None = None

    @property
    def layer_count(self) -> int:
        """How many groups lie over the cells of the first one, which is among them."""
        return self.layers or 1

    @property
    def map_levels(self) -> tuple[tuple[str, ...], ...]:
        """The levels that each importance map is of: a layer's own; the first one's is also that of coarser groups."""
        names = [tuple(level.name for level in group.levels) for group in self.groups]
        own, coarser = names[: self.layer_count], tuple(name for each in names[self.layer_count :] for name in each)
        return own[0] + coarser, *own[1:]

    @field_validator("qualities")
    @classmethod
    def _falling(cls, qualities: tuple[int, ...]) -> tuple[int, ...]:
        if len(qualities) != len(QUALITIES) or any(a < b for a, b in pairwise(qualities)):
            raise ValueError("qualities are not 100 indices of steps that do not increase")
        if not 0 <= qualities[-1] <= qualities[0] < STEP_INDICES:
            raise ValueError("qualities are indices of no steps")
        return qualities

    @field_validator("curve")
    @classmethod
    def _rising(cls, curve: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
        if any(a.step >= b.step or a.loss > b.loss for a, b in pairwise(curve)):
            raise ValueError("points are not by increasing step with a loss that does not fall")
        return curve

    @model_validator(mode="after")
    def _has_its_clips(self) -> About:
        there = self.frames is not None
        if there != (self.frame_hash is not None) or self.version == (
            PROFILE_VERSION if there else VIDEO_PROFILE_VERSION
        ):
            raise ValueError(
                "frames and frame_hash belong together, to version 2, and to later ones where they have clips"
            )
        return self

    @model_validator(mode="after")
    def _has_its_layers(self) -> About:
        if (self.layers is not None) != (self.version >= LAYERS_VERSION):
            raise ValueError(f"layers belong to version {LAYERS_VERSION}")
        if self.layer_count > len(self.groups):
            raise ValueError("more layers than groups")
        own = [level for group in self.groups[: self.layer_count] for level in group.levels]
        if self.layers is not None and len({_grid(level) for level in own}) > 1:
            raise ValueError("layers do not lie over the same cells")
        return self

    @model_validator(mode="after")
    def _same_levels(self) -> About:
        names = [level.name for group in self.groups for level in group.levels]
        if sorted(names) != sorted(self.order) or len(set(names)) != len(names):
            raise ValueError("groups and order do not name the same levels once")
        return self


def read_about(document: object, origin: str) -> About:
    """The checked document; `origin` is named in errors. Raises InputError."""
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and not PROFILE_VERSION <= version <= LAYERS_VERSION:
        readable = f"{PROFILE_VERSION} to {LAYERS_VERSION}"
        shown = str(version)[:_MOST_SHOWN]
        raise InputError(f"{origin}: a profile of version {shown}; this release reads {readable}")
    try:
        return About.model_validate_json(json.dumps(document))  # strictly, but lists of JSON are tuples
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:_MOST_SHOWN]  # a name from elsewhere may be of any length
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{origin}: not a profile of midstream: {where + ': ' if where else ''}{reason}") from error
