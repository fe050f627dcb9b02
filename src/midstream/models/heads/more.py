"""What rows of Ultralytics' networks have after box and classes: keypoints, or the weights of mask prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.models.detector_heads import End2EndHead, YoloV8Head
from midstream.models.heads.nms import PrototypeMasks
from midstream.models.heads.reading import bounded, misfit, output


def counts(head: YoloV8Head | End2EndHead, outputs: Mapping[str, NDArray[Any]]) -> list[int]:
    """How many numbers a row may have after box and classes, the likelier first. Raises InputError."""
    if head.keypoints:
        return [3 * head.keypoints, 2 * head.keypoints]
    return [0] if head.prototypes is None else [len(_prototypes(head.prototypes, outputs))]


def parts(
    head: YoloV8Head | End2EndHead, outputs: Mapping[str, NDArray[Any]], numbers: NDArray[np.float32]
) -> tuple[PrototypeMasks | None, NDArray[np.float32] | None]:
    """Masks and keypoints of rows with the numbers [n, one of `counts`].

    Keypoints [n, K, 3] are in the unit of the boxes; their score is 1 where the network gives none.
    """
    if head.prototypes is not None:
        return PrototypeMasks(numbers, _prototypes(head.prototypes, outputs)), None
    if not head.keypoints:
        return None, None
    given = numbers.reshape(len(numbers), head.keypoints, -1)
    points = np.ones((len(numbers), head.keypoints, 3), np.float32)
    points[:, :, : given.shape[2]] = given
    points[:, :, :2] = bounded(points[:, :, :2])
    return None, points


def _prototypes(name: str, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    name, values = output(outputs, name)
    if values.ndim not in (3, 4) or (values.ndim == 4 and len(values) != 1) or not values.size:
        raise misfit(name, values.shape, "[1, weights, height, width], the prototypes of masks")
    return values.reshape(values.shape[-3:])
