"""What the columns of a table say of its images: a class each, or objects; and the names of classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midstream.data.base import Dataset, ImageFile
from midstream.data.bounds import MOST_SIDE
from midstream.data.segmentation import image_entry
from midstream.errors import InputError

_BOX, _CATEGORY, _BOX_SIDES = "bbox", "category", 4
#: The key of a schema's metadata under which Hugging Face describes the columns.
_METADATA = b"huggingface"
_MOST_CLASSES, _MOST_DEPTH = 1 << 16, 8
#: A label of Hugging Face's for an image whose class is a secret of a benchmark.
_HIDDEN = -1


@dataclass(frozen=True)
class Labels:
    """Which column has the labels.

    Attributes:
        column: its name; None where there is none.
        objects: whether it is of objects, not of classes.
        names: of the classes, by index; empty where the table does not say.
        notes: what is to be said about them.
    """

    column: str | None
    objects: bool
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, schemas: Sequence[Any], classes: Sequence[str], objects: str) -> Labels:
        """Of tables with these PyArrow schemas; `objects` counts before `classes`, of which the first there is."""
        common = set.intersection(*(set(schema.names) for schema in schemas))
        column = next((name for name in (objects, *classes) if name in common), None)
        if column is None:
            return cls(None, False, ())
        features = _features(schemas[0])
        feature = (features or {}).get(column)
        if column == objects:
            feature = _within(feature, _CATEGORY)
        names = _within(feature, "names")
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return cls(column, column == objects, tuple(names))
        notes: tuple[str, ...] = ()
        if features is None or names is not None:
            what = "description of the columns" if features is None else f"list of names for '{column}'"
            notes = (f"the tables' metadata has no usable {what}: classes are called by their numbers or texts",)
        return cls(column, column == objects, (), notes)

    def is_missing(self, value: object) -> bool:
        """Whether an image with this value in the column has no label, where it should have one."""
        return self.column is not None and not self.objects and (value is None or value == _HIDDEN)


def labelled(
    spec: str, images: Sequence[ImageFile], rows: Sequence[Any], labels: Labels, notes: tuple[str, ...]
) -> Dataset:
    """The data set of these images, with what `labels` makes of their `rows`. Raises InputError."""
    notes += labels.notes
    if labels.column is None:
        return Dataset(spec, None, tuple(images), None, notes)
    found: list[tuple[int, Any, list[float]]] = []  # image, category, box; of classes an empty one
    for image, row in zip(images, rows, strict=True):
        where = f"'{labels.column}' of image {image.id} in '{spec}'"
        there = _objects(row, where) if labels.objects else [([], row)]
        found += [(image.id, category, box) for box, category in there]
    names = labels.names or _occurring([category for _, category, _ in found], labels.column)
    index = {name: number for number, name in enumerate(names)}
    annotations: list[dict[str, Any]] = []
    for number, (identity, category, box) in enumerate(found, start=1):
        place = index.get(category) if isinstance(category, str) else category
        if not isinstance(place, int) or not 0 <= place < len(names):
            where = f"'{labels.column}' of image {identity} in '{spec}'"
            raise InputError(f"{where} has the class {category!r}; there are {len(names)}, counted from 0")
        extent = {"bbox": box, "area": box[2] * box[3], "iscrowd": 0} if labels.objects else {}
        annotations.append({"id": number, "image_id": identity, "category_id": int(place), **extent})
    truth = {
        "images": [image_entry(image.id, image.path) for image in images],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": annotations,
    }
    return Dataset(spec, "coco" if labels.objects else "classes", tuple(images), truth, notes)


def _objects(row: object, where: str) -> list[tuple[list[float], Any]]:
    """Boxes and categories, from lists of both or from a list of pairs of both."""
    if row is None:
        return []
    if isinstance(row, Mapping):
        boxes, categories = row.get(_BOX), row.get(_CATEGORY)
    elif isinstance(row, list) and all(isinstance(each, Mapping) for each in row):
        boxes, categories = [each.get(_BOX) for each in row], [each.get(_CATEGORY) for each in row]
    else:
        raise InputError(f"{where} is no list of objects with '{_BOX}' and '{_CATEGORY}'")
    if not (isinstance(boxes, list) and isinstance(categories, list) and len(boxes) == len(categories)):
        raise InputError(f"{where} has no '{_BOX}' and '{_CATEGORY}' for each object")
    return [(_box(box, where), category) for box, category in zip(boxes, categories, strict=True)]


def _box(box: object, where: str) -> list[float]:
    if isinstance(box, list) and len(box) == _BOX_SIDES and all(isinstance(side, int | float) for side in box):
        sides = [float(side) for side in box]
        if all(abs(side) <= MOST_SIDE for side in sides) and min(sides[2:]) >= 0:
            return sides
    raise InputError(f"{where} has a box that is not [left, top, width, height] in pixels: {str(box)[:80]}")


def _occurring(categories: Sequence[Any], column: str) -> tuple[str, ...]:
    """Names for the classes of a table that does not name them: its texts, sorted, or their numbers."""
    if all(isinstance(category, str) for category in categories):
        return tuple(sorted(set(categories)))
    if all(isinstance(category, int) for category in categories):
        most = max(categories)
        if most < _MOST_CLASSES:
            return tuple(str(number) for number in range(most + 1))
    raise InputError(
        f"the column '{column}' has classes that are neither texts nor whole numbers below {_MOST_CLASSES}"
    )


def _features(schema: Any) -> Mapping[str, Any] | None:
    """Hugging Face's description of the columns; empty where there is none, None where it is none."""
    if _METADATA not in (schema.metadata or {}):
        return {}
    try:
        features = json.loads(schema.metadata[_METADATA])["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return features if isinstance(features, Mapping) else None


def _within(feature: object, key: str) -> Any:
    """What a description has under `key`, in whatever lists and sequences it is wrapped."""
    for _ in range(_MOST_DEPTH):
        if isinstance(feature, list) and feature:
            feature = feature[0]
        elif isinstance(feature, Mapping) and key in feature:
            return feature[key]
        elif isinstance(feature, Mapping):
            feature = feature.get("feature")
        else:
            return None
    return None
