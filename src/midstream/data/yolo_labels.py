"""Ultralytics' files of labels: a line an object, in shares of the image's width and height.

CLASS CENTRE_X CENTRE_Y WIDTH HEIGHT                          a box
CLASS CENTRE_X CENTRE_Y WIDTH HEIGHT X Y [VISIBLE] ...        a box and its keypoints
CLASS X Y X Y X Y ...                                         a polygon
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from midstream.data.listed import lines_of
from midstream.errors import InputError

_BOX, _LEAST_POLYGON = 5, 7
#: By which a share may be below 0 or above 1: programs round.
_SLACK = 0.01
#: Numbers of a keypoint that says whether it is seen; COCO's word for a seen one.
_WITH_VISIBILITY, _VISIBLE = 3, 2.0


def objects_of(
    file: Path, size: tuple[int, int], classes: int, keypoints: tuple[int, int] | None
) -> Iterator[dict[str, Any]]:
    """COCO's entries of the objects in a file, each once; without ids.

    Args:
        file: of the labels.
        size: height and width of the image, upright.
        classes: how many there are.
        keypoints: how many an object has, and numbers of each (2 or 3); None without.

    Raises:
        InputError: a line that is none of these; the message names it.
    """
    seen = set()
    for number, line in lines_of(file):
        fields = tuple(line.split())
        if fields in seen:
            continue
        seen.add(fields)
        yield _object(fields, f"{file}, line {number}", size, classes, keypoints)


def _object(
    fields: tuple[str, ...], where: str, size: tuple[int, int], classes: int, keypoints: tuple[int, int] | None
) -> dict[str, Any]:
    try:
        label, *shares = map(float, fields)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    if not (label.is_integer() and 0 <= label < classes):
        raise InputError(f"{where}: there is no class {fields[0]}; the data set has {classes}, counted from 0")
    expected = _BOX + math.prod(keypoints) if keypoints else None
    if expected is not None and len(fields) != expected:
        raise InputError(
            f"{where} has {len(fields)} numbers; a class, a box and keypoints as in kpt_shape are {expected}"
        )
    if expected is None and len(fields) != _BOX and not (len(fields) >= _LEAST_POLYGON and len(fields) % 2):
        hint = "; is the last one a network's confidence?" if len(fields) == _BOX + 1 else ""
        raise InputError(
            f"{where} has {len(fields)} numbers; a class and a box are 5, a class and a polygon an odd number "
            f"from 7 on{hint}"
        )
    height, width = size
    entry: dict[str, Any] = {"category_id": int(label), "iscrowd": 0}
    if expected is None and len(fields) != _BOX:
        _check(shares, where)
        xs, ys = [x * width for x in shares[::2]], [y * height for y in shares[1::2]]
        entry["segmentation"] = [[value for corner in zip(xs, ys, strict=True) for value in corner]]
        entry["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        entry["area"] = _area(xs, ys)
        return entry
    _check(shares[:4], where)
    x, y, w, h = shares[:4]
    if w < 0 or h < 0:
        raise InputError(f"{where}: a box of {w:g} x {h:g} has negative sides")
    entry["bbox"] = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
    entry["area"] = w * width * h * height
    if keypoints is not None:
        points = _keypoints(shares[4:], keypoints[1], where, size)
        entry |= {"keypoints": points, "num_keypoints": sum(visible > 0 for visible in points[2::3])}
    return entry


def _check(shares: list[float], where: str) -> None:
    wrong = next((share for share in shares if not -_SLACK <= share <= 1 + _SLACK), None)
    if wrong is not None:
        raise InputError(f"{where}: {wrong:g} is no share of the image's side, 0 to 1: are these pixels?")


def _area(xs: list[float], ys: list[float]) -> float:
    """Of a polygon (the shoelace formula)."""
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


def _keypoints(shares: list[float], each: int, where: str, size: tuple[int, int]) -> list[float]:
    """x, y and visibility of each, as COCO has them; without visibility, a keypoint at 0, 0 is not labelled."""
    points: list[float] = []
    for x, y, *seen in (shares[i : i + each] for i in range(0, len(shares), each)):
        visible = seen[0] if each == _WITH_VISIBILITY else _VISIBLE * (x != 0 or y != 0)
        if visible not in (0, 1, _VISIBLE):
            raise InputError(f"{where}: a keypoint is seen (2), hidden (1) or not labelled (0), not {visible:g}")
        if visible:
            _check([x, y], where)
        points += [x * size[1], y * size[0], visible] if visible else [0.0, 0.0, 0.0]
    return points
