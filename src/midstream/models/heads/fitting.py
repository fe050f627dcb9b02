"""Which kinds of head the shapes of a graph's outputs would fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.heads.reading import MisfitError

#: Sides of an output; a word or None for one that is open.
Shape = Sequence[int | str | None]
#: Strides of most networks, finest first.
_STRIDES = (8, 16, 32, 64, 128)
#: Anchors of a cell in YOLOv5's networks.
_ANCHORS = 3
#: Weights of mask prototypes in Ultralytics' networks.
_WEIGHTS = 32
#: MediaPipe's detectors by one anchor: a stride and rows of a cell at each of the levels (BlazeFace for near faces, for
#: faces further away, of the whole range; palms and persons).
_MEDIAPIPE = (((8, 2), (16, 6)), ((16, 2), (32, 6)), ((8, 2), (16, 2), (32, 6)), ((4, 1),))
#: Its numbers are pixels; an anchor's size, which they count in, may be any.
_ANCHOR = 128.0
#: Numbers of a row with corners, score and class, without and with the image's index.
_ROWS = (6, 7)


@dataclass(frozen=True)
class HeadFit:
    """A kind of head that outputs would fit: fields of the description's [head], and how many classes it has then.

    `classes` is 0 where the shapes do not tell. `table` lacks the thresholds.
    """

    kind: str
    classes: int
    table: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """In words: yolov8 (80 classes)."""
        if not self.classes:
            return self.kind
        flag = ", `background = true`" if self.table.get("background") else ""
        return f"{self.kind} ({self.classes} class{'' if self.classes == 1 else 'es'}{flag})"


@contextmanager
def described(outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Iterator[None]:
    """Have errors of heads say which shapes there are, and what they would fit with so many classes or with others."""
    try:
        yield
    except MisfitError as error:
        shapes = {name: values.shape for name, values in outputs.items()}
        raise InputError(f"{error} (outputs: {in_words(shapes)}; {advice(shapes, size, classes)})") from error


def in_words(shapes: Mapping[str, Shape], most: int = 12) -> str:
    """Names and shapes of outputs, the first of many."""
    listed = [f"{name} {[side or '?' for side in shape]}".replace("'", "") for name, shape in shapes.items()]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def advice(shapes: Mapping[str, Shape], size: tuple[int, int] | None, classes: int) -> str:
    """Which kinds of head would fit, those of this number of classes alone if there are any."""
    found = fitting(shapes, size)
    same = [fit for fit in found if fit.classes in (0, classes)]
    names = dict.fromkeys(str(fit) for fit in same or found)
    return (
        f"by their shapes they would fit: {', '.join(names)}" if names else "they fit no kind of head by their shapes"
    )


def fitting(shapes: Mapping[str, Shape], size: tuple[int, int] | None = None, keypoints: int = 0) -> list[HeadFit]:
    """The kinds of detector's head that outputs of these shapes would fit, the likeliest first.

    Args:
        shapes: of all outputs by name, in the graph's order.
        size: (height, width) of the network's input, where it is known: tells rows of cells from others.
        keypoints: how many an object has, with x, y and score each, in a table of Ultralytics' networks.
    """
    sides = {name: tuple(s if isinstance(s, int) and s >= 0 else None for s in shape) for name, shape in shapes.items()}
    return [*_by_stride(sides, size), *_one_table(sides, size, keypoints), *_of_points(sides, size), *_separate(sides)]


_Sides = Mapping[str, tuple[int | None, ...]]


def _cells(size: tuple[int, int], strides: Sequence[int]) -> int:
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def _table(shape: tuple[int | None, ...]) -> tuple[int | None, int | None] | None:
    """Rows and columns of an output [..., rows, columns] whose axes in front are one or a batch's; None for another."""
    if len(shape) < 2 or any(side not in (None, 1) for side in shape[:-2]):
        return None
    return shape[-2], shape[-1]


def _one_table(sides: _Sides, size: tuple[int, int] | None, keypoints: int) -> list[HeadFit]:
    """Heads with one output for everything, and perhaps a second for the prototypes of masks."""
    tables = {name: table for name, shape in sides.items() if (table := _table(shape)) and len(shape) <= 3}
    maps = {name: shape for name, shape in sides.items() if len(shape) == 4 and shape[1] == _WEIGHTS}
    if len(tables) != 1 or len(maps) != len(sides) - 1 or len(maps) > 1:
        return []
    prototypes = {"prototypes": next(iter(maps))} if maps else {}
    more = 3 * keypoints or (_WEIGHTS if maps else 0)
    name, (rows, columns) = next(iter(tables.items()))
    output: dict[str, Any] = {"output": name, **prototypes, **({"keypoints": keypoints} if keypoints else {})}
    if columns in [each + more for each in _ROWS]:
        # A table of YOLOX or YOLOv5 with one class or two is as wide, but has a row for each cell.
        others = [] if more or rows is None or size is None else _rows_of_cells(output, rows, columns, size)
        return [*others, HeadFit("end2end", 0, output)]
    found = []
    cells = columns is not None and size is not None and columns == _cells(size, _STRIDES[:3])
    if rows is not None and rows > 4 + more and (cells or columns is None or columns > rows):
        found.append(HeadFit("yolov8", rows - 4 - more, output))
    if columns is not None and columns > 4 and not more and (rows is None or rows > columns):
        found += _rows_of_cells(output, rows, columns, size)
        found.append(HeadFit("boxes", columns - 4, {"boxes": name, "format": "cxcywh"}))
    return found


def _rows_of_cells(
    output: Mapping[str, Any], rows: int | None, columns: int, size: tuple[int, int] | None
) -> list[HeadFit]:
    """YOLOX and YOLOv5: tables with a row a cell, or three."""
    if columns < 6:
        return []
    fits = []
    for kind, each in (("yolov5", _ANCHORS), ("yolox", 1)):
        for last in range(3, len(_STRIDES)):
            strides = _STRIDES[:last]
            if rows is None or size is None or each * _cells(size, strides) == rows:
                fits.append(HeadFit(kind, columns - 5, {**output, "strides": list(strides)}))
                break
    return fits


def _by_stride(sides: _Sides, size: tuple[int, int] | None) -> list[HeadFit]:
    """Heads with outputs for each stride, kind by kind."""
    names, shapes = list(sides), list(sides.values())
    found = []
    if 2 <= len(names) <= len(_STRIDES) and all(len(shape) in (4, 5) for shape in shapes):
        widths = {shape[-1] if len(shape) == 5 else (shape[1] or 0) // _ANCHORS for shape in shapes}
        width = widths.pop() if len(widths) == 1 else None
        if width is not None and width > 5 and all(len(s) == 5 or s[1] == width * _ANCHORS for s in shapes):
            levels = {"strides": list(_STRIDES[: len(names)]), "maps": names}
            found.append(HeadFit("yolov5", width - 5, {**levels, "decoded": False}))
    tables = [_table(shape) for shape in shapes]
    if any(table is None for table in tables) or len(names) < 4:
        return found
    widths_of = [table[1] for table in tables if table is not None]
    for kind, columns in (("yunet", (1, 1, 4, 10)), ("scrfd", (1, 4, 10)), ("scrfd", (1, 4))):
        levels_there = len(names) // len(columns)
        if widths_of == [width for width in columns for _ in range(levels_there)] and levels_there > 1:
            found.append(HeadFit(kind, 1, {"strides": list(_STRIDES[:levels_there])}))
            return found
    half = len(names) // 2
    first, second = set(widths_of[:half]), set(widths_of[half:])
    if len(names) == 2 * half and len(first) == len(second) == 1 and half > 2:
        classes, bins = first.pop(), second.pop()
        if classes and bins and bins % 4 == 0 and bins > 4:
            strides = _of_counts([table[0] for table in tables[:half] if table is not None], size)
            found.append(HeadFit("gfl", classes, {"strides": strides or list(_STRIDES[:half]), "bins": bins // 4}))
    return found


def _of_counts(counts: Sequence[int | None], size: tuple[int, int] | None) -> list[int]:
    """The strides of levels with so many cells each; empty where they are not known."""
    if size is None:
        return []
    known = {_cells(size, [stride]): stride for stride in _STRIDES}
    return [known[count] for count in counts if count in known] if all(count in known for count in counts) else []


def _separate(sides: _Sides) -> list[HeadFit]:
    """Heads with outputs of their own for boxes, scores and labels."""
    boxes = [name for name, shape in sides.items() if len(shape) >= 2 and shape[-1] == 4]
    boxes = boxes if len(boxes) == 1 else [name for name in boxes if "box" in name.lower()]
    if len(boxes) != 1 or len(sides) < 2:
        return []
    others = {name: shape for name, shape in sides.items() if name != boxes[0]}
    if found := _faces_of_anchors(sides, boxes[0]):
        return found
    flat = {name: shape for name, shape in others.items() if len(shape) <= len(sides[boxes[0]]) - 1}
    labels = [name for name in flat if any(word in name.lower() for word in ("label", "class", "cls"))]
    scores = [name for name in flat if any(word in name.lower() for word in ("score", "conf")) and name not in labels]
    counts = [name for name in flat if "num" in name.lower()]
    masks = [name for name, shape in others.items() if len(shape) == 4 and "mask" in name.lower()]
    if len(labels) == len(scores) == 1:
        named = {"boxes": boxes[0], "scores": scores[0], "labels": labels[0]}
        if masks and not counts:
            return [HeadFit("rcnn", 0, {**named, "masks": masks[0]})]
        return [HeadFit("boxes", 0, {**named, **({"count": counts[0]} if len(counts) == 1 else {})})]
    if len(others) != 1 or flat:
        return []
    name, shape = next(iter(others.items()))
    columns = shape[-1] or 0
    if not columns:
        return []
    if "logit" in name.lower():
        return [HeadFit("detr", columns - 1, {"logits": name, "boxes": boxes[0]})]
    dense = HeadFit("boxes", columns, {"boxes": boxes[0], "scores": name})
    background = HeadFit("boxes", columns - 1, {**dense.table, "background": True})
    return [background, dense] if columns == 2 else [dense, *([background] if columns > 1 else [])]


def _of_points(sides: _Sides, size: tuple[int, int] | None) -> list[HeadFit]:
    """MediaPipe's: rows with a box and points behind it, and a score each; in one output for both, or one a level."""
    tables = {name: table for name, shape in sides.items() if (table := _table(shape)) is not None}
    boxes = {name: (rows or 0, columns or 0) for name, (rows, columns) in tables.items() if columns != 1}
    scores = {name: rows or 0 for name, (rows, columns) in tables.items() if columns == 1}
    widths = {columns for _, columns in boxes.values()}
    if size is None or not boxes or len(tables) != len(sides) or len(scores) != len(boxes) or len(widths) > 1:
        return []
    width = widths.pop()
    for levels in _MEDIAPIPE:
        counts = [_cells(size, [stride]) * each for stride, each in levels]
        wanted = counts if len(boxes) > 1 else [sum(counts)]
        places = [[name for count in wanted for name in rows if rows[name] == count]
                  for rows in ({name: rows for name, (rows, _) in boxes.items()}, scores)]  # fmt: skip
        if width > 4 and width % 2 == 0 and all(len(names) == len(wanted) == len(boxes) for names in places):
            found, chances = (names if len(names) > 1 else names[0] for names in places)
            fields: dict[str, Any] = {
                "boxes": found, "scores": chances, "keypoints": found, "linear": True,
                "strides": [stride for stride, _ in levels], "sizes": [[_ANCHOR] * each for _, each in levels],
                "variances": [1 / _ANCHOR] * 2,
            }  # fmt: skip
            return [HeadFit("retinaface", 1, fields)]
    return []


def _faces_of_anchors(sides: _Sides, boxes: str) -> list[HeadFit]:
    """RetinaFace: boxes, scores of a background and of faces, landmarks, for the same anchors."""
    by_width = {shape[-1]: name for name, shape in sides.items() if len(shape) > 1}
    if len(sides) != 3 or set(by_width) != {2, 4, 10} or len({shape[:-1] for shape in sides.values()}) != 1:
        return []
    return [HeadFit("retinaface", 1, {"boxes": boxes, "scores": by_width[2], "keypoints": by_width[10]})]
