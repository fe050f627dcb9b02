"""Data sets to measure on: in the formats that people have, scenes made by the project, folders, clips of video."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from midstream.errors import InputError
from midstream.files import expanded
from midstream.lazy import loader, needing

with needing(__name__, "networks"):
    from midstream.data import scenes
    from midstream.data.base import Clip, Dataset, ImageFile
    from midstream.data.cityscapes import load_cityscapes
    from midstream.data.clips import load_clips
    from midstream.data.coco import load_coco
    from midstream.data.coco_video import load_coco_video
    from midstream.data.depth import load_depth
    from midstream.data.film import load_video
    from midstream.data.folder import load_folder
    from midstream.data.imagenet import load_imagenet
    from midstream.data.images import read_image
    from midstream.data.mot import load_mot
    from midstream.data.openimages import load_openimages
    from midstream.data.parquet import load_parquet
    from midstream.data.scenes import motion
    from midstream.data.segmentation import load_masks
    from midstream.data.voc import load_voc, load_voc_segmentation
    from midstream.data.yolo import load_yolo

__all__ = ["Clip", "Dataset", "ImageFile", "has_clips", "has_kind", "load", "read_image"]

#: Of a spec, what follows its colon, and how many images are wanted.
_Loader = Callable[[str, str, int | None], Dataset]


def _whole(load_all: Callable[[str, str], Dataset]) -> _Loader:
    """For a kind whose labels are read as a whole, however many images are wanted."""
    return lambda spec, rest, _: load_all(spec, rest)


_IMAGES: dict[str, _Loader] = {
    "coco": _whole(load_coco),
    "cityscapes": _whole(load_cityscapes),
    "imagenet": _whole(load_imagenet),
    "masks": _whole(load_masks),
    "depth": _whole(load_depth),
    "voc": _whole(load_voc),
    "voc-segmentation": _whole(load_voc_segmentation),
    "yolo": _whole(load_yolo),
    "openimages": _whole(load_openimages),
    "parquet": load_parquet,
    "folder": _whole(load_folder),
    "scenes": lambda spec, numbers, _: scenes.load_scenes(spec, numbers),  # which loads what draws
}
_CLIPS: dict[str, _Loader] = {
    "clips": _whole(load_clips),
    "mot": _whole(load_mot),
    "coco-video": _whole(load_coco_video),
    "video": load_video,
    "scenes-video": lambda spec, numbers, limit: motion.load_films(spec, numbers, limit),
}
#: How each kind is asked for, for messages.
_FORMS = {
    "coco": "coco:IMAGES_DIR,ANNOTATIONS.json",
    "cityscapes": "cityscapes:ROOT",
    "imagenet": "imagenet:DIR",
    "masks": "masks:IMAGES_DIR,MASKS_DIR",
    "depth": "depth:IMAGES_DIR,MAPS_DIR",
    "voc": "voc:ROOT",
    "voc-segmentation": "voc-segmentation:ROOT",
    "yolo": "yolo:data.yaml",
    "openimages": "openimages:IMAGES_DIR,BOXES.csv",
    "parquet": "parquet:FILE",
    "scenes": "scenes:COUNT,SEED",
    "folder": "a folder of images",
    "video": "video:FILE",
    "clips": "clips:DIR",
    "mot": "mot:ROOT",
    "coco-video": "coco-video:FRAMES_DIR,ANNOTATIONS.json",
    "scenes-video": "scenes-video:COUNT,SEED",
}


__getattr__ = loader(__name__, {}, earlier={"PictureFile": "ImageFile", "read_picture": "read_image"})


def __dir__() -> list[str]:
    return __all__


def has_clips(spec: str) -> bool:
    """Whether a data set of this spec is of clips, whose frames follow each other."""
    return _kind(spec) in _CLIPS


def has_kind(spec: str) -> bool:
    """Whether a spec says of which kind its data set is: `coco:...`, but not the path of a folder."""
    return _kind(spec) in _IMAGES | _CLIPS


def _kind(spec: str) -> str:
    kind, colon, _ = spec.partition(":")
    return kind if colon else ""


def load(spec: str, limit: int | None = None) -> Dataset:
    """The data set that `spec` names.

    Args:
        spec: Of objects: `coco:IMAGES_DIR,ANNOTATIONS.json`, with boxes, masks or keypoints; `voc:ROOT[,SPLIT]`;
            `yolo:data.yaml[,SPLIT]`; `openimages:IMAGES_DIR,BOXES.csv[,CLASSES.csv]`; `cityscapes:ROOT[,SPLIT]` (a
            split is `val` unless given). Of classes: `imagenet:DIR`, a folder for each.
            Of maps of classes: `masks:IMAGES_DIR,MASKS_DIR[,CLASSES.txt]`; `voc-segmentation:ROOT[,SPLIT]`. Of depths:
            `depth:IMAGES_DIR,MAPS_DIR[,SCALE[,RELATION]]`. Of what is in it: `parquet:FILE` or `parquet:DIR[,SPLIT]`.
            Of clips: `video:FILE`; `clips:DIR`, a folder of frames or of such folders; `mot:ROOT`, of MOTChallenge's
            layout; `coco-video:FRAMES_DIR,ANNOTATIONS.json`, with tracks. `scenes:COUNT,SEED` and, of clips,
            `scenes-video:COUNT,SEED`, made on the spot; `folder:DIR` or just a folder for images without labels.
        limit: the first so many images, or frames of each clip; all of them for None.

    Raises:
        InputError: the kind is unknown, or what it names is missing or unusable; the message says what.
        MissingExtraError: `yolo:` without PyYAML, `parquet:` without PyArrow, `video:` without PyAV.
    """
    kind, rest = _kind(spec), spec.partition(":")[2]
    if has_kind(spec):
        return (_IMAGES | _CLIPS)[kind](spec, rest, limit).head(limit)
    if expanded(spec).is_dir():
        return load_folder(spec, spec).head(limit)
    # One letter before the colon is a drive on Windows, not a kind.
    if re.fullmatch(r"[\w-]{2,}", kind):
        near = difflib.get_close_matches(kind, _FORMS, n=1)
        hint = f"did you mean {_FORMS[near[0]]}? " if near else ""
        raise InputError(f"unknown kind of data set '{kind}'; {hint}valid: {', '.join([*_IMAGES, *_CLIPS])}")
    raise InputError(f"there is no folder '{spec}'; a data set is {', '.join(_FORMS.values())}")
