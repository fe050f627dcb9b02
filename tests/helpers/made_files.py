"""Files of data sets, made as a test needs them, and the classes that are read of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset

HEIGHT, WIDTH = 6, 8


def image_file(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    return pixels_file(path, np.zeros((*size, 3), np.uint8))


def pixels_file(path: Path, pixels: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def text_file(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def classes_of(dataset: Dataset) -> list[tuple[str, str]]:
    """Image and class, in order."""
    truth = dataset.ground_truth
    names = {category["id"]: category["name"] for category in truth["categories"]}
    labels = {a["image_id"]: names[a["category_id"]] for a in truth["annotations"]}
    return [(image.path.name, labels[image.id]) for image in dataset.images]
