"""Pascal VOC's layout: an XML file of boxes for each image, lists of images, and maps of classes.

    ROOT/JPEGImages/NAME.jpg             the images
    ROOT/Annotations/NAME.xml            boxes
    ROOT/ImageSets/Main/SPLIT.txt        names of images with boxes, one a line
    ROOT/ImageSets/Segmentation/SPLIT.txt, ROOT/SegmentationClass/NAME.png

(Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 2010, and its development kit.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from midstream.data.base import Dataset
from midstream.data.bounds import MOST_SIDE
from midstream.data.folder import visible_files
from midstream.data.listed import folder_at, images_by_stem, is_file, lines_of, numbered, place_of
from midstream.data.segmentation import image_entry, mapped
from midstream.data.xml_of import xml_of
from midstream.errors import InputError, unknown
from midstream.files import expanded

#: In the order of their values in maps of classes, from 1 on.
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_BACKGROUND = "background"
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def load_voc(spec: str, where: str) -> Dataset:
    """Boxes, from `ROOT` or `ROOT,SPLIT`; the split is `val` unless given, or all images where there are no lists.

    `ROOT` may be the folder above a single `VOC2007`, and images and XML files may be directly in it. Boxes count
    pixels from 1, and the last is inside. Objects that are marked `difficult` are COCO's `iscrowd`: what is found on
    them counts neither for nor against a network, as in VOC's own evaluation (which lets one detection go for each of
    them, and COCO's any number). The categories are VOC's twenty, or the names that occur, sorted, where others do.

    Raises:
        InputError: the layout is not there, the split is unknown (the message lists those present), an image has no
            file, or an XML file is not what the format says; the message names it.
    """
    root, split = _split(where)
    labels = next((path for path in (root / "Annotations", root) if list(_xml(path))), None)
    if labels is None:
        raise InputError(f"{root} is not in Pascal VOC's layout: there is no Annotations/*.xml in it")
    photos = images_by_stem(root / "JPEGImages" if (root / "JPEGImages").is_dir() else root)
    names = _listed(root / "ImageSets" / "Main", split) or [path.stem for path in _xml(labels)]
    images = numbered([_image(name, photos, labels / f"{name}.xml") for name in names])
    entries, found = [], []
    for image, name in zip(images, names, strict=True):
        entries.append(image_entry(image.id, image.path))
        file = labels / f"{name}.xml"
        found += [{"image_id": image.id, **_object(each, file)} for each in xml_of(file).findall("object")]
    classes = sorted({each["name"] for each in found})
    classes = list(CLASSES) if set(classes) <= set(CLASSES) else classes
    index = {name: number for number, name in enumerate(classes, start=1)}
    annotations = [
        {"id": number, "category_id": index[each.pop("name")], **each} for number, each in enumerate(found, start=1)
    ]
    categories = [{"id": number, "name": name} for name, number in index.items()]
    truth = {"images": entries, "categories": categories, "annotations": annotations}
    return Dataset(spec, "coco", images, truth)


def load_voc_segmentation(spec: str, where: str) -> Dataset:
    """Maps of VOC's twenty classes and the background, from `ROOT` or `ROOT,SPLIT` (`val` unless given).

    Raises:
        InputError: the layout is not there, the split is unknown (the message lists those present), or an image or its
            map is missing.
    """
    root, split = _split(where)
    maps = folder_at(str(root / "SegmentationClass"), "folder of Pascal VOC's maps")
    photos = images_by_stem(folder_at(str(root / "JPEGImages"), "folder of Pascal VOC's images"))
    names = _listed(root / "ImageSets" / "Segmentation", split) or [path.stem for path in visible_files(maps, [".png"])]
    pairs = [(_image(name, photos, maps / f"{name}.png"), maps / f"{name}.png") for name in names]
    return mapped(spec, pairs, dict(enumerate((_BACKGROUND, *CLASSES))))


def _split(where: str) -> tuple[Path, str | None]:
    root, comma, split = where.rpartition(",")
    folder = folder_at(where) if not comma or expanded(where).is_dir() else folder_at(root)
    chosen = split if comma and not expanded(where).is_dir() else None
    above = folder / "VOCdevkit" if (folder / "VOCdevkit").is_dir() else folder
    if not (above / "JPEGImages").is_dir():
        years = sorted(path for path in above.glob("VOC*") if (path / "JPEGImages").is_dir())
        if len(years) > 1:
            raise InputError(f"{above} has {', '.join(path.name for path in years)}: name one of them")
        return (years[0] if years else folder), chosen
    return above, chosen


def _xml(folder: Path) -> list[Path]:
    return visible_files(folder, [".xml"]) if folder.is_dir() else []


def _listed(lists: Path, split: str | None) -> list[str]:
    """Names of the images of a split; none where none was asked for and there are no lists."""
    splits = [path.stem for path in visible_files(lists, [".txt"])] if lists.is_dir() else []
    if not splits and split is None:
        return []
    if split is None and "val" not in splits:
        raise InputError(f"{lists} has no val.txt: say which of {', '.join(splits[:8])} it is to be, after a comma")
    if split not in (None, *splits):
        raise unknown(f"split of Pascal VOC in {lists}", str(split), splits)
    file = lists / f"{split or 'val'}.txt"
    names: dict[str, int] = {}
    for number, line in lines_of(file):
        name = line.split()[0]  # lists of a class say after it whether the class is there
        if len(place_of(name, f"{file}, line {number}").parts) > 1 or names.setdefault(name, number) != number:
            raise InputError(f"{file}, line {number}: '{name}' is listed twice, or is no plain name of an image")
    if not names:
        raise InputError(f"{file} lists no image")
    return list(names)


def _image(name: str, photos: dict[str, Path], label: Path) -> Path:
    if not is_file(label):
        raise InputError(f"the image {name} has no labels: there is no file {label}")
    if name not in photos:
        raise InputError(f"{label} has no image: there is no {name}.jpg in {next(iter(photos.values())).parent}")
    return photos[name]


def _object(element: Element, file: Path) -> dict[str, Any]:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{file}: an object has no name")
    try:
        left, top, right, bottom = (float(element.findtext(f"bndbox/{side}", "")) for side in _SIDES)
    except ValueError as error:
        raise InputError(f"{file}: the bndbox of '{name}' has no numbers {', '.join(_SIDES)}") from error
    width, height = right - left + 1, bottom - top + 1
    if not (all(abs(side) <= MOST_SIDE for side in (left, top, width, height)) and width > 0 and height > 0):
        raise InputError(
            f"{file}: the bndbox of '{name}' has no extent, or one that no image has: {left:g}, {top:g} to {right:g}, "
            f"{bottom:g}"
        )
    difficult = (element.findtext("difficult") or "0").strip() not in ("0", "")
    return {
        "name": name,
        "bbox": [left - 1, top - 1, width, height],
        "area": width * height,
        "iscrowd": int(difficult),
    }
