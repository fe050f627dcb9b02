"""Mask AP of the torch network on scenes that training does not see, as the Cityscapes benchmark computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from midstream.data import load, read_image
from midstream.data.cityscapes import CLASSES
from midstream.data.scenes import write_scenes
from midstream.metrics.cityscapes import InstanceState
from midstream.models import Detections
from midstream.models.torch_common import encode_masks
from network import NAMES
from scenes import SELECTION


def mask_ap(network: Any, count: int, folder: Path) -> tuple[float, float]:
    """(AP, AP50) in percent on the first `count` scenes for selection, which are written below `folder`."""
    root = folder / f"selection-{count}"
    if not root.is_dir():
        write_scenes(root, count, SELECTION, "val")
    dataset = load(f"cityscapes:{root}")
    found = {image.id: detect(network, read_image(image.path)) for image in dataset.images}
    return InstanceState.of(dataset, found, [CLASSES.get(name) for name in NAMES]).average_precision()


def detect(network: Any, image: np.ndarray[Any, np.dtype[np.uint8]]) -> Detections:
    """What the network finds in one image."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        found = network([torch.from_numpy(image.transpose(2, 0, 1).copy()).to(device).float() / 255])[0]
    masks = encode_masks(mask[0] > 0.5 for mask in found["masks"].cpu())
    return Detections(found["boxes"].cpu().numpy(), found["scores"].cpu().numpy(), found["labels"].cpu().numpy(), masks)
