"""Mask R-CNN (He et al. 2017, arXiv:1703.06870), whose graph ends with its own suppression and masks of its boxes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import RcnnHead
from midstream.models.heads.nms import Boxes, Candidates, PastedMasks
from midstream.models.heads.reading import bounded, indices, misfit, output

_THRESHOLD = 0.5


def decode(head: RcnnHead, outputs: Mapping[str, NDArray[Any]], classes: int, ids: Sequence[int] | None) -> Boxes:
    """See heads.decode_head."""
    boxes = bounded(_shaped(head.boxes, outputs, (-1, 4)))
    scores, given = (_shaped(name, outputs, (len(boxes),)) for name in (head.scores, head.labels))
    labels = indices(head.labels, given, classes, 1, ids)
    side = output(outputs, head.masks)[1].shape[-1]
    masks = _shaped(head.masks, outputs, (len(boxes), 1, side, side))[:, 0]
    known = np.flatnonzero(labels >= 0)
    return Boxes(boxes, scores, labels, PastedMasks(masks)).taken(known)


def candidates(head: RcnnHead, outputs: Mapping[str, NDArray[Any]]) -> Candidates:
    """See heads.candidates: what the network's first stage proposes, of one class, which is "something"."""
    names = proposals(head, outputs)
    if names is None:
        raise InputError("the graph has no outputs `proposals` and `objectness`: it cannot be asked before suppression")
    boxes = bounded(_shaped(names[0], outputs, (-1, 4)))
    return Candidates(boxes, _shaped(names[1], outputs, (len(boxes),))[:, None])


def proposals(head: RcnnHead, outputs: Collection[str]) -> tuple[str, str] | None:
    """The outputs of the first stage, as named or by their usual names; None for a graph without."""
    if head.proposals is not None and head.objectness is not None:
        return head.proposals, head.objectness
    return ("proposals", "objectness") if {"proposals", "objectness"} <= set(outputs) else None


def _shaped(name: str, outputs: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> NDArray[np.float32]:
    name, value = output(outputs, name)
    if value.ndim != len(shape) or any(
        wanted not in (-1, given) for wanted, given in zip(shape, value.shape, strict=True)
    ):
        raise misfit(name, value.shape, str(list(shape)))
    return value


def pasted(mask: NDArray[np.float32], box: NDArray[np.float32], size: tuple[int, int]) -> dict[str, Any]:
    """A mask of chances [m, m] that fills a box, at the size of its image, as COCO's compressed run lengths.

    As torchvision's `paste_masks_in_image`: a border of one cell of zeros, whole pixels, linear in between.

    Args:
        mask: float32 [m, m], 0 to 1.
        box: left, top, right, bottom in pixels of the image, within it.
        size: (height, width) of the image.
    """
    padded = np.pad(mask, 1)
    share = len(padded) / len(mask)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * share
    left, top, right, bottom = (int(side) for side in (*(middle - half), *(middle + half)))
    resized = cv2.resize(padded, (max(right - left + 1, 1), max(bottom - top + 1, 1)), interpolation=cv2.INTER_LINEAR)
    height, width = size
    pixels = np.zeros((height, width), np.uint8, order="F")
    x, y = max(left, 0), max(top, 0)
    inside = resized[y - top : height - top, x - left : width - left] > _THRESHOLD
    pixels[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    rle: dict[str, Any] = pycocotools.mask.encode(pixels)
    return rle
