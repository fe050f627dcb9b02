"""From the network's input to the image: boxes, masks and keypoints at the image's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.models.detections import Detections
from midstream.models.heads.nms import Boxes, PrototypeMasks
from midstream.models.heads.rcnn import pasted
from midstream.models.preprocess import Placement, to_image

#: Times that prototypes are enlarged, the least that puts the image's edges between two pixels.
_FINER = (1, 2, 4, 8, 16)


def located(found: Boxes, at: Placement, input_size: tuple[int, int], size: tuple[int, int]) -> Detections:
    """Detections in an image of `size` (height, width) that lies `at` a place in the network's input.

    Boxes and keypoints are clipped to the image.
    """
    boxes = to_image(found.boxes, at, size)
    masks = None
    if isinstance(found.masks, PrototypeMasks):
        masks = list(_drawn(found.masks, boxes, at, input_size, size))
    elif found.masks is not None:
        masks = [pasted(mask, box, size) for mask, box in zip(found.masks.values, boxes, strict=True)]
    return Detections(boxes, found.scores, found.labels, masks, _points(found.keypoints, at, size))


def _points(points: NDArray[np.float32] | None, at: Placement, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Keypoints [n, K, 3] in pixels of the image."""
    if points is None:
        return None
    x = (points[:, :, 0] - at.left) / at.scale_x
    y = (points[:, :, 1] - at.top) / at.scale_y
    places = [np.clip(x, 0, size[1]), np.clip(y, 0, size[0]), points[:, :, 2]]
    return np.stack(places, axis=2).astype(np.float32)


def _drawn(
    masks: PrototypeMasks, boxes: NDArray[np.float32], at: Placement, input_size: tuple[int, int], size: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Masks at the image's size, as COCO's run lengths, as Ultralytics has them (`process_mask_native`, 8.4).

    The weighted sum of the prototypes, enlarged until the image's edges lie between pixels, cut to the image, brought
    to its size (linear both times), is a logit: above 0 and in the box is the object.
    """
    height, width = masks.prototypes.shape[1:]
    finer, inside = _content(at, input_size, (height, width))
    for weights, box in zip(masks.weights, boxes, strict=True):
        # Without a product of matrices: a BLAS rounds by the machine and by its threads, and is called by `optimize`.
        logits = np.einsum("c,chw->hw", weights, masks.prototypes, optimize=False)
        if finer > 1:
            logits = cv2.resize(logits, (finer * width, finer * height), interpolation=cv2.INTER_LINEAR)
        whole = cv2.resize(logits[inside], size[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = np.zeros(size, np.uint8, order="F")
        left, top, right, bottom = (int(side) for side in np.ceil(box))
        pixels[top:bottom, left:right] = whole[top:bottom, left:right] > 0
        rle: dict[str, Any] = pycocotools.mask.encode(pixels)
        yield rle


def _content(
    at: Placement, input_size: tuple[int, int], prototypes: tuple[int, int]
) -> tuple[int, tuple[slice, slice]]:
    """How much to enlarge the prototypes, and where the image then lies in them."""
    edges = (at.top, at.top + at.height, at.left, at.left + at.width)
    sides = (input_size[0], input_size[0], input_size[1], input_size[1])
    cells = (prototypes[0], prototypes[0], prototypes[1], prototypes[1])
    for finer in _FINER:
        if all(edge * finer * count % side == 0 for edge, side, count in zip(edges, sides, cells, strict=True)):
            break
    else:
        finer = 1
    top, bottom, left, right = (
        round(edge * finer * count / side) for edge, side, count in zip(edges, sides, cells, strict=True)
    )
    return finer, (slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1)))
