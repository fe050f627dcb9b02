"""The toy network with maps large enough for bit rates to matter, a profile for it, and a clip without end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tests.helpers import profiles, toy

import midstream as ms
from midstream import models

SIDE = 256
#: (height, width) of its images.
SIZE = (192, 256)


def write(folder: Path) -> Path:
    """toy.toml and toy.profile in a folder; the description's path. Units take from 200 bytes to 8 kB."""
    description = toy.write_toy(folder, SIDE)
    network = models.load(str(description))
    layout = ({"p3": (toy.CHANNELS, (SIDE // 8,) * 2, 2), "p4": (toy.CHANNELS, (SIDE // 16,) * 2, 1)},)
    made = profiles.profile(layout=layout, ways=2, network=network.name, cut=network.fingerprint)
    made.write(folder / "toy.profile")
    return description


def codec(folder: Path) -> ms.Calibrated:
    """With the profile of `write`."""
    return ms.Calibrated(profile=folder / "toy.profile")


def images(seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """uint8 [192, 256, 3] without end: blobs that drift over a ground, and noise."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(0, 200, (6, 8, 3), dtype=np.uint8), SIZE[::-1])
    texture = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    height, width = SIZE
    for number in range(1 << 30):
        image = ground.copy()
        for blob in range(3):
            top = int((height - 48) * (0.5 + 0.5 * np.sin(number / 17 + blob)))
            left = int((width - 48) * (0.5 + 0.5 * np.cos(number / 23 + 2 * blob)))
            image[top : top + 48, left : left + 48] = texture
        yield np.clip(image.astype(np.int16) + rng.integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
