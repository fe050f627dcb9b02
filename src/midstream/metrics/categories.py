"""Classes of a network matched to the categories of a data set, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from midstream.errors import InputError

#: Names that a note lists.
_SHOWN = 5
#: Pascal VOC's names of classes that COCO has under another one.
_VOC = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
_OTHER_NAME = {**_VOC, **{theirs: name for name, theirs in _VOC.items()}}


def category_ids(classes: Sequence[str], truth: Mapping[str, Any]) -> list[int | None]:
    """For each class of the network the id of the data set's category of that name, None where it has none.

    Case, and `_` or `-` for a space, do not matter. Where only one side has a class under Pascal VOC's name and the
    other under COCO's ("motorbike", "motorcycle"), they are the same. Of several categories of one name the one with
    annotations counts (some tools list the group of all classes under the name of its only one), and the first where
    none has any.

    Raises:
        InputError: no name is common to both, or two categories of one name have annotations.
    """
    categories, used = truth["categories"], _annotated(truth)
    ids: dict[str, int] = {}
    for category in categories:
        name, identity = _plain(category["name"]), int(category["id"])
        if name in ids and used[identity] and used[ids[name]]:
            raise InputError(
                f"the data set has two categories of the name '{category['name']}' (ids {ids[name]} and {identity}) "
                "with annotations: merge or rename them"
            )
        if name not in ids or used[identity]:
            ids[name] = identity
    known = {_plain(name) for name in classes}
    matched = [ids.get(_found(_plain(name), ids, known)) for name in classes]
    if all(identity is None for identity in matched):
        theirs = ", ".join(str(category["name"]) for category in categories[:_SHOWN])
        raise InputError(
            f"the network and the data set have no class name in common: the network's begin with "
            f"{', '.join(classes[:_SHOWN])}; the data set's with {theirs}"
        )
    return matched


def ordered_ids(classes: Sequence[str], truth: Mapping[str, Any]) -> tuple[list[int | None], str]:
    """As `category_ids`, for whole images' or pixels' classes, which data sets name in more than one way.

    Tried are names, the first of several names ("tench, Tinca tinca"), WordNet's ids, and then, of as many classes on
    both sides, their order.

    Returns:
        The ids, and what there is to say about how they were found; empty where the names are the same.

    Raises:
        InputError: as `category_ids`, where nothing fits.
    """
    categories = truth["categories"]
    names = [category["name"] for category in categories]
    first = [name.partition(",")[0] for name in names]
    ways = (
        ("", classes, names),
        ("the first of their names", [name.partition(",")[0] for name in classes], first),
        ("WordNet's ids", classes, [category.get("synset", "") for category in categories]),
    )
    for how, own, theirs in ways:
        called = [{**category, "name": name} for category, name in zip(categories, theirs, strict=True)]
        try:
            return category_ids(own, {**truth, "categories": called}), how and f"classes are matched by {how}"
        except InputError as error:
            refused = error
    if len(categories) != len(classes):
        raise refused
    ids: list[int | None] = [int(category["id"]) for category in categories]
    return ids, f"no class name is common: the network's {len(classes)} classes are taken in the data set's order"


def unmatched(classes: Sequence[str], truth: Mapping[str, Any]) -> list[str]:
    """Lines: classes that go by two names, categories with annotations that the network lacks, and the opposite.

    Raises:
        InputError: as `category_ids`.
    """
    ids, used = category_ids(classes, truth), _annotated(truth)
    foreign = [c for c in truth["categories"] if used[int(c["id"])] and int(c["id"]) not in ids]
    lacking = [name for name, identity in zip(classes, ids, strict=True) if identity is None]
    names = {int(c["id"]): str(c["name"]) for c in truth["categories"]}
    other = [
        f"{name} is '{names[identity]}'"
        for name, identity in zip(classes, ids, strict=True)
        if identity is not None and _plain(name) != _plain(names[identity])
    ]
    lines = [f"classes that COCO and Pascal VOC call differently are the same: {', '.join(other)}"] if other else []
    if foreign:
        objects = sum(used[int(category["id"])] for category in foreign)
        lines.append(
            f"{len(foreign)} of the {len({i for i in used if used[i]})} classes in the data set are none of the "
            f"network's and count as 0, with {objects} objects: {_few([str(c['name']) for c in foreign])}"
        )
    if lacking:
        lines.append(
            f"{len(lacking)} of the network's {len(classes)} classes are none of the data set's, what is found of them "
            f"does not count: {_few(lacking)}"
        )
    return lines


def _annotated(truth: Mapping[str, Any]) -> Counter[int]:
    """Annotations by category id."""
    return Counter(int(annotation["category_id"]) for annotation in truth["annotations"])


def _found(name: str, ids: Mapping[str, int], known: Collection[str]) -> str:
    """The name under which the data set has a class of the network; another only if both sides leave no doubt."""
    other = _OTHER_NAME.get(name, name)
    return other if name not in ids and other not in known else name


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
