"""Scenes in files of Cityscapes' own layout, and the data set of a spec."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset
from midstream.data.cityscapes import load_cityscapes
from midstream.data.scenes import EDITION, SIZE
from midstream.data.scenes.scene import generate
from midstream.errors import InputError
from midstream.files import check_empty, made_once, make_folder, own_folder, write_bytes

#: What stands for the city, which the layout needs.
CITY = "scenes"
#: Folders of images and of labels.
_KINDS = ("leftImg8bit", "gtFine")
_SPLIT = "val"
#: Scenes of one spec; more are for `write_scenes`.
_MOST = 100_000


def write_scenes(
    root: Path, count: int, seed: int, split: str, size: tuple[int, int] = SIZE, done: Callable[[], None] = lambda: None
) -> None:
    """Write the scenes of the seeds `seed` to `seed + count - 1`.

    Another process that writes into `root` is refused meanwhile.

    Args:
        root: folder, made where it is missing; nothing may be in it but other splits.
        count: at least 1.
        seed: of the first scene.
        split: `train`, `val` or any other name of a folder.
        size: (height, width).
        done: called after each scene.

    Raises:
        InputError: numbers out of range, a split that is no folder name or is there already, or a file that cannot be
            written.
    """
    if count < 1:
        raise InputError(f"there is nothing to write: the number of scenes is {count}")
    if not re.fullmatch(r"\w[\w.-]*", split):
        raise InputError(f"'{split}' cannot be the name of a split: letters, digits, '_', '-' and '.'")
    images, labels = (root / kind / split / CITY for kind in _KINDS)
    with own_folder(root):
        check_empty(root, besides=_KINDS)
        for folder in (images, labels):
            check_empty(folder.parent)
            make_folder(folder)
        for index in range(count):
            scene = generate(seed + index, size)
            name = f"{CITY}_{seed + index:06d}_000000"
            _write(labels / f"{name}_gtFine_instanceIds.png", scene.instance_ids)
            _write(images / f"{name}_leftImg8bit.png", scene.image[:, :, ::-1])
            done()


def is_scene(path: Path, pixels: NDArray[np.uint8]) -> bool:
    """Whether an image, uint8 [H, W, 3], is a scene that `write_scenes` wrote: by the seed in its name, to the bit."""
    named = re.match(rf"{CITY}_([0-9]{{6,9}})_", path.name)
    try:
        return named is not None and np.array_equal(generate(int(named[1]), pixels.shape[:2]).image, pixels)
    except InputError:  # a size that no scene has
        return False


def _write(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    _, data = cv2.imencode(".png", pixels)
    write_bytes(str(path), data.tobytes())


def load_scenes(spec: str, rest: str) -> Dataset:
    """A data set from `COUNT,SEED` or `COUNT` (seed 0): that many scenes with their instances, of kind `cityscapes`.

    They are made once and kept in the user's cache, by the generator's edition.

    Raises:
        InputError: not two such numbers, or a cache that cannot be written.
    """
    count, seed = _numbers(rest)
    root = Path.home() / ".cache" / "midstream" / "scenes" / f"edition-{EDITION}" / f"{count}-{seed}"
    made_once(root, lambda folder: write_scenes(folder, count, seed, _SPLIT))
    return replace(load_cityscapes(spec, f"{root},{_SPLIT}"), spec=spec)


def _numbers(rest: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,7})(?:,([0-9]{1,9}))?", rest)
    if found is None or not 1 <= int(found[1]) <= _MOST:
        raise InputError(
            f"'scenes:{rest}' is not scenes:COUNT,SEED with a count from 1 to {_MOST:,}, such as scenes:50,0"
        )
    return int(found[1]), int(found[2] or 0)
