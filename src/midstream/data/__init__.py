"""Data sets to measure on: COCO, Cityscapes, scenes made by the project, folders of images, clips of video."""

from __future__ import annotations

import re
from collections.abc import Callable

from midstream.errors import InputError, unknown
from midstream.files import expanded
from midstream.lazy import loader, needing

with needing(__name__, "networks"):
    from midstream.data import scenes
    from midstream.data.base import Clip, Dataset, ImageFile
    from midstream.data.cityscapes import load_cityscapes
    from midstream.data.clips import load_clips
    from midstream.data.coco import load_coco
    from midstream.data.film import load_video
    from midstream.data.folder import load_folder
    from midstream.data.images import read_image
    from midstream.data.mot import load_mot

__all__ = ["Clip", "Dataset", "ImageFile", "has_clips", "load", "read_image"]

_IMAGES: dict[str, Callable[[str, str], Dataset]] = {
    "coco": load_coco,
    "cityscapes": load_cityscapes,
    "folder": load_folder,
    "scenes": lambda spec, numbers: scenes.load_scenes(spec, numbers),  # which loads what draws
}
_CLIPS: dict[str, Callable[[str, str, int | None], Dataset]] = {
    "clips": lambda spec, rest, _: load_clips(spec, rest),
    "mot": lambda spec, rest, _: load_mot(spec, rest),
    "video": load_video,
}


__getattr__ = loader(__name__, {}, earlier={"PictureFile": "ImageFile", "read_picture": "read_image"})


def __dir__() -> list[str]:
    return __all__


def has_clips(spec: str) -> bool:
    """Whether a data set of this spec is of clips, whose frames follow each other."""
    kind, colon, _ = spec.partition(":")
    return bool(colon) and kind in _CLIPS


def load(spec: str, limit: int | None = None) -> Dataset:
    """The data set that `spec` names.

    Args:
        spec: `coco:IMAGES_DIR,ANNOTATIONS.json`; `cityscapes:ROOT` or `cityscapes:ROOT,SPLIT` (default `val`);
            `scenes:COUNT,SEED`, made on the spot; `folder:DIR` or just a folder for images without labels. Of clips:
            `video:FILE`; `clips:DIR`, a folder of frames or of such folders; `mot:ROOT`, of MOTChallenge's layout.
        limit: the first so many images, or frames of each clip; all of them for None.

    Raises:
        InputError: the kind is unknown, or what it names is missing or unusable; the message says what.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind in _CLIPS:
        return _CLIPS[kind](spec, rest, limit).head(limit)
    if colon and kind in _IMAGES:
        return _IMAGES[kind](spec, rest).head(limit)
    if expanded(spec).is_dir():
        return load_folder(spec, spec).head(limit)
    # One letter before the colon is a drive on Windows, not a kind.
    if colon and re.fullmatch(r"\w{2,}", kind):
        raise unknown("kind of data set", kind, [*_IMAGES, *_CLIPS])
    forms = (
        "coco:IMAGES_DIR,ANNOTATIONS.json, cityscapes:ROOT, scenes:COUNT,SEED, a folder of images, or of clips "
        "video:FILE, clips:DIR, mot:ROOT"
    )
    raise InputError(f"there is no folder '{spec}'; a data set is {forms}")
