"""What a calibration is asked for."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from midstream.errors import InputError

if TYPE_CHECKING:
    from midstream.models import SplitModel

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
#: Fewer readable images than this fit nothing.
LEAST_IMAGES = 20
DEFAULT_IMAGES = 200
DEFAULT_BUDGET_S = 600.0
#: Of training.
DEFAULT_HOURS, MOST_HOURS = 0.5, 1000
#: Views that the contexts are pre-trained on, at most; and those of a trial.
MOST_SAMPLES, TRIAL_SAMPLES = 150, 60
#: Views that the probe is fitted to, at most.
MOST_SHOWN = 600
#: How far the measured sensitivity is believed: the powers of it that are tried. A network whose channels are of
#: unequal strength needs the first, one whose channels are alike shows little but the noise of the measurement.
POWERS = (1.0, 0.5, 0.0)
#: Passes for each held-out image from which on the powers are tried.
TRIAL_PASSES = 5 * len(POWERS)


#: What version 1 of the profile calls tools that have the field's names elsewhere.
EARLIER_NAMES = {"importance": "places", "pretrained": "primed"}

#: Among the tools of a profile whose transform was trained through the back.
TRAINED = "trained"


@dataclass(frozen=True)
class Tools:
    """Parts of the method, each of which can be left out to measure what it is worth (docs/method.md).

    Attributes:
        sensitivity: weigh channels by how much the network's outputs move with them.
        directions: measure the sensitivity to directions in the space of a level's channels, not to channels alone.
        power: choose how far the sensitivity is believed by trying.
        importance: coarser steps where the network sees nothing.
        flips: also fit to the mirrored images.
        fused: the second stage of the transform, over all that a group has of a cell.
        layers: code the levels of a cell one after another, each with an importance map of its own, where each has a
            head of its own and that takes fewer bytes; without, all of them together (as without `importance` or
            `pretrained`).
        neighbours: predict a cell from those before it.
        prediction: predict groups from those before them.
        references: contexts of two related coefficients.
        pretrained: begin with contexts that calibration has trained.
        offsets: reconstruct at the conditional mean.
    """

    sensitivity: bool = True
    directions: bool = True
    power: bool = True
    importance: bool = True
    flips: bool = True
    fused: bool = True
    layers: bool = True
    neighbours: bool = True
    prediction: bool = True
    references: bool = True
    pretrained: bool = True
    offsets: bool = True

    def to_dict(self) -> dict[str, bool]:
        """By the names that they have in a profile."""
        return {EARLIER_NAMES.get(name, name): used for name, used in asdict(self).items()}


def tool_names() -> tuple[str, ...]:
    """What can be left out."""
    return tuple(field.name for field in fields(Tools))


def seconds_of(budget: float | str, name: str = "budget") -> float:
    """A time in seconds, of a number of them or of a text such as 90s, 10m or 1h.

    Raises:
        InputError: it is none, in which case `name` says what was given.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(budget))
    if found is None or float(found[1]) == 0:
        raise InputError(f"{name} {budget}: a time such as 90s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2] or "s"]


@dataclass(frozen=True)
class Training:
    """How long the transform is trained through the back: so many seconds, or steps, where they are given.

    Raises InputError for no time, and for one above MOST_HOURS.
    """

    seconds: float
    steps: int | None = None

    def __post_init__(self) -> None:
        """Raise InputError for what is no time."""
        if self.steps is None and not 0 < self.seconds <= 3600 * MOST_HOURS:
            raise InputError(f"a training takes a time above 0 and of at most {MOST_HOURS} hours")


@dataclass(frozen=True)
class CalibrationSettings:
    """How to calibrate.

    Attributes:
        images: how many to use at most, of those that there are.
        budget_s: seconds that the whole calibration may take, about; fewer images and passes do when it is short.
        passes: of the network that sensitivity may take, instead of what the budget allows on this machine.
        seed: of all that is drawn.
        tools: parts of the method in use.
        training: of the transform, through the back, which takes its time beside the budget; None for none.
    """

    images: int = DEFAULT_IMAGES
    budget_s: float = DEFAULT_BUDGET_S
    passes: int | None = None
    seed: int = 0
    tools: Tools = Tools()
    training: Training | None = None

    def used_for(self, model: SplitModel, video: bool = False) -> CalibrationSettings:
        """Without what this network's task does not have, and what frames do not gain by.

        A task that looks nowhere has no importance map. Layers leave less to be predicted from the frame before
        (docs/method.md, "Layers").
        """
        tools = self.tools
        looks, layers = tools.importance and model.task.looks, tools.layers and not video
        return replace(self, tools=replace(tools, importance=looks, layers=layers))


#: The same, by the name that it had first.
Settings = CalibrationSettings
