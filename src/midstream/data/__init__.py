"""Data sets to measure on: COCO, Cityscapes, scenes made by the project, and folders of images without labels."""

from __future__ import annotations

import re
from collections.abc import Callable

from midstream.errors import InputError, unknown
from midstream.files import expanded
from midstream.lazy import loader, needing

with needing(__name__, "networks"):
    from midstream.data import scenes
    from midstream.data.base import Dataset, ImageFile
    from midstream.data.cityscapes import load_cityscapes
    from midstream.data.coco import load_coco
    from midstream.data.folder import load_folder
    from midstream.data.images import read_image

__all__ = ["Dataset", "ImageFile", "load", "read_image"]

_LOADERS: dict[str, Callable[[str, str], Dataset]] = {
    "coco": load_coco,
    "cityscapes": load_cityscapes,
    "folder": load_folder,
    "scenes": lambda spec, numbers: scenes.load_scenes(spec, numbers),  # which loads what draws
}


__getattr__ = loader(__name__, {}, earlier={"PictureFile": "ImageFile", "read_picture": "read_image"})


def __dir__() -> list[str]:
    return __all__


def load(spec: str) -> Dataset:
    """The data set that `spec` names.

    Args:
        spec: `coco:IMAGES_DIR,ANNOTATIONS.json`; `cityscapes:ROOT` or `cityscapes:ROOT,SPLIT` (default `val`);
            `scenes:COUNT,SEED`, made on the spot; `folder:DIR` or just a folder for images without labels.

    Raises:
        InputError: the kind is unknown, or what it names is missing or unusable; the message says what.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind in _LOADERS:
        return _LOADERS[kind](spec, rest)
    if expanded(spec).is_dir():
        return load_folder(spec, spec)
    # One letter before the colon is a drive on Windows, not a kind.
    if colon and re.fullmatch(r"\w{2,}", kind):
        raise unknown("kind of data set", kind, _LOADERS)
    forms = "coco:IMAGES_DIR,ANNOTATIONS.json, cityscapes:ROOT, scenes:COUNT,SEED or a folder of images"
    raise InputError(f"there is no folder '{spec}'; a data set is {forms}")
