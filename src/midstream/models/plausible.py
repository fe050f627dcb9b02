"""Whether a network's outputs are what its description says, found out by looking at them.

A shape alone does not tell boxes in pixels from offsets of a cell, nor chances from logits: read wrongly, both give
detections, all of them wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.base import FloatPyramid, Image, SplitModel
from midstream.models.description import PyramidLevel
from midstream.models.detector_heads import (
    BoxesHead,
    DetectorHead,
    End2EndHead,
    GflHead,
    RcnnHead,
    YoloV5Head,
    YoloxHead,
)
from midstream.models.heads import Candidates, candidates, decode_head, proposes

#: Why a detector finds nothing, as far as its description is to blame.
USUAL_MISTAKES = (
    "check the input's color (RGB or BGR), scale (0 to 255, or 1/255), mean and std, and resize (stretch or letterbox)"
)
#: A box with a side longer than so many of the image's is none. The networks in tests/real stay below 1.1.
_LONGEST = 4.0
#: At least so many of the best boxes have to be bad, and this share of them.
_FEWEST, _SHARE = 3, 0.5
#: The proposals of a dense head cover the image (about 0.9 of each side, from the 5th to the 95th percentile of their
#: centres); offsets that are taken for pixels lie within a few pixels of the corner. With fewer nothing is said.
_COVERED, _FEWEST_PROPOSALS = 0.25, 16
#: Corners in shares of an image's sides that are taken for pixels lie within so many pixels of its own.
_SHARES = 1.5
#: (height, width) of a first image for a network without a size of its own. Those that bring the shorter side to 800,
#: but the longer to no more than 1333, leave it nearly as it is: a fifth of the work of 800 x 1333.
_TRIAL = (160, 1280)
#: Of its cells, which a level may lack: convolutions without padding leave 35 of 38 (Inception v3, 299 at stride 8).
_UNPADDED = 0.25
#: What rounding may add to a chance.
_SLACK = 1e-3
#: The sigmoid of 0 and of 1.
_TWICE = (0.5, 0.7311)


def natural_image(height: int, width: int) -> Image:
    """Noise whose amplitude falls with its frequency, as photographs have it (Field 1987): uint8 RGB, always the same.

    A network finds more in it than in grey or in white noise, which is all that is asked of it.
    """
    rng = np.random.default_rng(0)
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 8):
        coarse = rng.normal(size=(1 << octave, 1 << octave, 3)).astype(np.float32) / octave
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(127 + 50 * total / total.std(), 0, 255), np.uint8)


def trial(network: SplitModel) -> NDArray[Any]:
    """What a network is tried out with: an image of its size, or noise of the shape of its arrays."""
    values = some_array(network)
    return natural_image(*network.input_size(_TRIAL)) if values is None else values


def some_array(network: SplitModel) -> NDArray[Any] | None:
    """Noise of the shape of the arrays, of two axes at least, that a network takes; None for one that takes images."""
    shape = getattr(network, "tensor_shape", None)
    if shape is None:
        return None
    return np.atleast_2d(noise(shape, getattr(network, "takes_whole", False)))


def noise(shape: Sequence[int], whole: bool) -> NDArray[np.float32]:
    """Normal noise, always the same; `whole`: in small numbers from 0 on, as the ids of tokens are."""
    values = np.random.default_rng(0).normal(size=tuple(shape)).astype(np.float32)
    return np.asarray(np.abs(np.rint(values)) if whole else values, np.float32)


def try_out(network: SplitModel) -> None:
    """Run both halves once, so that what does not fit is found before anything is measured or served.

    Raises:
        InputError: the network does not run, or its outputs cannot be what its description says.
    """
    size = network.input_size(_TRIAL)
    found = network.back(network.front(trial(network)), size)
    if fault := network.task.fault(found, len(network.classes)):
        raise InputError(f"{network.name}: {fault}")


def check_levels(levels: Sequence[PyramidLevel], pyramid: FloatPyramid, size: tuple[int, int]) -> None:
    """Hold the levels' sides against their strides: ceil(size / stride), or a few cells less.

    Args:
        levels: of the description.
        pyramid: of one image. A level with other than three axes (tokens) is no map and is left alone.
        size: (height, width) of the network's input.

    Raises:
        InputError: a level that cannot be of its stride.
    """
    for level in levels:
        shape = pyramid[level.name].shape
        if (
            level.stride is None
            or len(shape) != 3
            or any(_fits(sides, size, level.stride) for sides in (shape[1:], shape[:2]))
        ):
            continue
        expected = [-(-side // level.stride) for side in size]
        raise InputError(
            f"level '{level.name}' has shape {list(shape)}, but an input of {size[0]} x {size[1]} at its stride of "
            f"{level.stride} has {expected[0]} x {expected[1]} cells: correct its stride or its tensor"
        )


def _fits(sides: Sequence[int], size: tuple[int, int], stride: int) -> bool:
    """Whether a map of (rows, columns) can be of an input of (height, width)."""
    cells = [-(-side // stride) for side in size]
    least = [min(side // stride, (1 - _UNPADDED) * most) for side, most in zip(size, cells, strict=True)]
    return all(low <= side <= most for low, side, most in zip(least, sides, cells, strict=True))


def check_outputs(
    head: DetectorHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None = None,
) -> bool:
    """Look at the outputs for one image; arguments as `decode_head` has them.

    Returns:
        Whether the head reports enough boxes to judge by. An image in which the network is sure of nothing proves
        nothing.

    Raises:
        InputError: outputs that cannot be what the description says; where it is plain, with what it should say.
    """
    view = _View(outputs, size, classes, ids)
    if proposes(head, outputs):
        _check_numbers(head, candidates(head, outputs, size, classes, ids))
    problem, count = view.problem(head)
    if problem:
        raise InputError(f"the outputs do not fit the head '{head.kind}': {problem}{_hint(head, view)}")
    return count >= _FEWEST


@dataclass(frozen=True)
class _View:
    """What a network gave for one image, to be read in several ways; arguments as `decode_head` has them."""

    outputs: Mapping[str, NDArray[Any]]
    size: tuple[int, int]
    classes: int
    ids: Sequence[int] | None

    def problem(self, head: DetectorHead) -> tuple[str, int]:
        """What is wrong with the boxes that the head reads, in words, or nothing; and how many it would report."""
        dense = None
        if proposes(head, self.outputs):
            dense = candidates(head, self.outputs, self.size, self.classes, self.ids)
        boxes = self._best(head, dense)
        problem = "" if dense is None else _covering_problem(dense, self.size)
        if dense is None and len(boxes) >= _FEWEST and np.abs(boxes).max() <= _SHARES:
            problem = f"no corner of the {len(boxes)} boxes is further than {_SHARES:g} pixels from the image's"
        return problem or _box_problem(boxes, self.size), len(boxes)

    def _best(self, head: DetectorHead, dense: Candidates | None) -> NDArray[np.float32]:
        """The boxes that the head would report; before suppression, which leaves one of many that are all too large."""
        if dense is None or isinstance(head, RcnnHead):
            return decode_head(head, self.outputs, self.size, self.classes, self.ids).boxes
        scores = dense.scores.max(axis=1, initial=0)
        order = np.argsort(-scores, kind="stable")[: head.max_detections]
        return np.asarray(dense.boxes[order[scores[order] > head.score_threshold]])


def _check_numbers(head: DetectorHead, found: Candidates) -> None:
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise InputError("the network gives boxes or scores that are not finite")
    if not found.scores.size:
        return
    low, high = float(found.scores.min()), float(found.scores.max())
    if low < -_SLACK or high > 1 + _SLACK:
        missing = "; are they logits, and is `sigmoid = true` missing?" if hasattr(head, "sigmoid") else ""
        raise InputError(f"the scores lie between {low:.3g} and {high:.3g}, chances between 0 and 1{missing}")
    if isinstance(head, GflHead | YoloxHead | YoloV5Head) and head.sigmoid:
        factors = 1 if isinstance(head, GflHead) else 2  # objectness times class
        if low >= _TWICE[0] ** factors and high <= _TWICE[1] ** factors:
            raise InputError(
                f"all scores lie between {low:.3g} and {high:.3g}, as if they were chances before the sigmoid: "
                "take `sigmoid = true` out"
            )


def _covering_problem(found: Candidates, size: tuple[int, int]) -> str:
    if len(found.boxes) < _FEWEST_PROPOSALS:
        return ""
    height, width = size
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    x, y = np.subtract(*np.percentile(centres, [95, 5], axis=0))
    if x >= _COVERED * width or y >= _COVERED * height:
        return ""
    return f"the centres of all boxes lie within {x:.1f} x {y:.1f} pixels of an image of {width} x {height}"


def _box_problem(boxes: NDArray[np.float32], size: tuple[int, int]) -> str:
    good = _plausible(boxes, size)
    bad = len(good) - int(good.sum())
    if bad < max(_FEWEST, _SHARE * len(good)):
        return ""
    height, width = size
    return (
        f"of the {len(good)} best boxes {bad} lie outside the image of {width} x {height}, have no extent or are "
        f"more than {_LONGEST:g} times its size"
    )


def _plausible(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (left, top, right, bottom in pixels) meet the image and can be of something in it."""
    extent = np.array(size[::-1], np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    meets = (boxes[:, :2] < extent) & (boxes[:, 2:] > 0)
    return np.asarray((meets & (sides > 0) & (sides <= _LONGEST * extent)).all(axis=1))


def _hint(head: DetectorHead, view: _View) -> str:
    """What the description should say, if another reading of the same numbers is a plausible one."""
    for change, advice in _other_readings(head):
        try:
            problem, _ = view.problem(head.model_copy(update=change))
        except InputError:  # of another number of rows
            continue
        if not problem:
            return f"; {advice}"
    return ""


def _other_readings(head: DetectorHead) -> Iterator[tuple[dict[str, Any], str]]:
    """Changes of a head whose outputs have the same shape, and how to say them."""
    if isinstance(head, YoloxHead | YoloV5Head):
        other = not head.decoded
        missing = f"`decoded = {str(other).lower()}` is missing"
        if isinstance(head, YoloxHead):
            missing = f"they are decoded already: {missing}" if other else "take `decoded = true` out"
        yield {"decoded": other}, missing
    if isinstance(head, BoxesHead | End2EndHead):
        shares = "take `normalised = true` out" if head.normalised else "`normalised = true` is missing"
        yield {"normalised": not head.normalised}, shares
    if isinstance(head, BoxesHead):
        for form in ("xyxy", "cxcywh", "xywh"):
            for normalised in (head.normalised, not head.normalised):
                yield (
                    {"format": form, "normalised": normalised},
                    f'they could be `format = "{form}"` with `normalised = {str(normalised).lower()}`',
                )
