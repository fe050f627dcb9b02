"""Scenes as torch wants them, and which seeds are for what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE
from midstream.data.scenes import generate
from network import NAMES, SIZE

#: First seeds. 0 to 9,999 are for measuring, and nothing here may look at them; calibration has 10,000 to 19,999.
SELECTION, TRAINING = 20_000, 1_000_000
_LABELS = {value: NAMES.index(name) for name, value in CLASSES.items()}
#: Instances of which less is seen are not taught.
_LEAST_PIXELS, _LEAST_SIDE = 24, 3
#: Rows of a band, of images of the whole size and of half.
_BAND = {False: 160, True: 96}


@dataclass(frozen=True)
class Plan:
    """What each step shows: the first `small` steps twice as many scenes of half the size, each way; the first `bands`
    steps not whole images, but a band of five eighths of their rows around an instance."""

    batch: int
    small: int
    bands: int


class Scenes(IterableDataset[Any]):
    """Batches of fresh scenes for ever, the same from the same first step on."""

    def __init__(self, first: int, plan: Plan) -> None:
        self.first, self.plan = first, plan

    def __iter__(self) -> Iterator[Any]:
        step, plan = self.first, self.plan
        while True:
            small = step < plan.small
            first = TRAINING + 2 * step * plan.batch
            seeds = range(first, first + plan.batch * (2 if small else 1))
            yield collate([sample(seed, small, step < plan.bands) for seed in seeds])
            step += 1


def sample(seed: int, small: bool, band: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A scene, mirrored half of the time."""
    scene = generate(seed, (SIZE[0] // 2, SIZE[1] // 2) if small else SIZE)
    image, ids = scene.image, scene.instance_ids
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        image, ids = image[:, ::-1], ids[:, ::-1]
    if band:
        height, rows = len(ids), _BAND[small]
        seen = np.flatnonzero((ids >= FIRST_INSTANCE).any(axis=1))
        middle = int(rng.choice(seen)) if len(seen) else height // 2
        top = int(np.clip(middle - rng.integers(rows // 4, rows - rows // 4), 0, height - rows))
        image, ids = image[top : top + rows], ids[top : top + rows]
    return image, ids


def collate(samples: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint16]]]) -> Any:
    """Images [n, 3, H, W] from 0 to 1, torchvision's targets, and each pixel's class [n, H, W]."""
    images, targets, classes = [], [], []
    for image, ids in samples:
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        targets.append(target(ids))
        values = np.zeros(1 << 16, np.uint8)
        for value, label in _LABELS.items():
            values[value * FIRST_INSTANCE : (value + 1) * FIRST_INSTANCE] = label
        classes.append(torch.from_numpy(values[ids]))
    return torch.stack(images), targets, torch.stack(classes)


def target(ids: NDArray[np.uint16]) -> dict[str, torch.Tensor]:
    """Boxes, labels and masks of the instances of one scene."""
    boxes, labels, masks = [], [], []
    for value in np.unique(ids[ids >= FIRST_INSTANCE]).tolist():
        mask = ids == value
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        if mask.sum() < _LEAST_PIXELS or min(box[2] - box[0], box[3] - box[1]) < _LEAST_SIDE:
            continue
        boxes.append(box)
        labels.append(_LABELS[value // FIRST_INSTANCE])
        masks.append(mask)
    return {
        "boxes": torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": torch.tensor(np.array(masks, np.uint8).reshape(-1, *ids.shape)),
    }
