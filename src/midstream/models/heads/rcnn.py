"""Mask R-CNN (He et al. 2017, arXiv:1703.06870), whose graph ends with its own suppression and masks of its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import RcnnHead
from midstream.models.heads.nms import Boxes, Candidates

_THRESHOLD = 0.5


def decode(head: RcnnHead, outputs: Mapping[str, NDArray[Any]], classes: int) -> Boxes:
    """See heads.decode_head."""
    boxes = _shaped(head.boxes, outputs, (-1, 4))
    scores, labels = _shaped(head.scores, outputs, (len(boxes),)), outputs[head.labels].astype(np.int64) - 1
    side = outputs[head.masks].shape[-1]
    masks = _shaped(head.masks, outputs, (len(boxes), 1, side, side))[:, 0]
    if labels.shape != scores.shape or not ((labels >= 0) & (labels < classes)).all():
        raise InputError(f"output '{head.labels}' is not a label from 1 to {classes} for each of {len(boxes)} boxes")
    return Boxes(boxes, scores, labels, masks)


def candidates(head: RcnnHead, outputs: Mapping[str, NDArray[Any]]) -> Candidates:
    """See heads.candidates: what the network's first stage proposes, of one class, which is "something"."""
    boxes = _shaped(head.proposals, outputs, (-1, 4))
    return Candidates(boxes, _shaped(head.objectness, outputs, (len(boxes),))[:, None])


def _shaped(name: str, outputs: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> NDArray[np.float32]:
    value = outputs[name]
    if value.ndim != len(shape) or any(
        wanted not in (-1, given) for wanted, given in zip(shape, value.shape, strict=True)
    ):
        raise InputError(f"output '{name}' has shape {list(value.shape)}, the head expects {list(shape)}")
    return np.asarray(value, np.float32)


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
