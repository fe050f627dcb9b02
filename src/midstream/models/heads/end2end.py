"""A row for each box: YOLOv10 (Wang et al. 2024, arXiv:2405.14458), YOLO26, and graphs with suppression inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import Column, End2EndHead
from midstream.models.heads import more
from midstream.models.heads.nms import Boxes, ranked
from midstream.models.heads.reading import bounded, indices, misfit, output, rows

#: Ultralytics' exports, and those of YOLOv7 and MMDeploy, which have the image's index in front.
_SIX: tuple[Column, ...] = ("x1", "y1", "x2", "y2", "score", "class")
_SEVEN: tuple[Column, ...] = ("batch", "x1", "y1", "x2", "y2", "class", "score")


def decode(
    head: End2EndHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Boxes:
    """See heads.decode_head. Rows of other images and below the threshold are padding."""
    name, _ = output(outputs, head.output)
    table = rows(outputs, name)
    order = _columns(head, outputs, name, table.shape[1])
    at = {key: number for number, key in enumerate(order)}
    table = table[table[:, at["score"]] > head.score_threshold]
    if "batch" in at:
        table = table[_of_the_image(name, table[:, at["batch"]])]
    labels = indices(name, table[:, at["class"]], classes, head.first_label, ids)
    table, labels = table[labels >= 0], labels[labels >= 0]
    masks, points = more.parts(head, outputs, table[:, len(order) :])
    boxes = bounded(table[:, [at["x1"], at["y1"], at["x2"], at["y2"]]])
    if head.normalised:
        sides = np.array(size[::-1], np.float32)
        boxes = boxes * np.tile(sides, 2)
        points = None if points is None else points * np.append(sides, np.float32(1))
    return ranked(Boxes(boxes, table[:, at["score"]], labels, masks, points), None, head.max_detections)


def _columns(head: End2EndHead, outputs: Mapping[str, NDArray[Any]], name: str, width: int) -> tuple[Column, ...]:
    """What the first columns of a table of this width are."""
    orders = [head.order] if head.order is not None else [_SIX, _SEVEN]
    counts = more.counts(head, outputs)
    for order in orders:
        if width - len(order) in counts:
            return order
    widths = sorted({len(order) + count for order in orders for count in counts})
    raise misfit(name, outputs[name].shape, f"[1, boxes, {' or '.join(map(str, widths))}]")


def _of_the_image(name: str, batch: NDArray[np.float32]) -> NDArray[np.bool_]:
    if (batch != np.rint(batch)).any():
        raise InputError(
            f"output '{name}': its column 'batch' is no image's index: `order` lists the columns as they are "
            "(oriented boxes, which have an angle, are not supported)"
        )
    return np.asarray(batch == 0)
