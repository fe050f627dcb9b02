"""Masks in COCO's two forms, polygons and run lengths: checked before pycocotools works on them, and decoded.

Its C code trusts what it is given: run lengths that cover more than the image make it loop for ever, fewer than that
never match, and coordinates far outside take memory by their distance.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError

#: Numbers of a polygon of three corners; pycocotools takes four for a box and fewer for nothing.
_LEAST_NUMBERS = 6
#: pycocotools' text of run lengths (`common/maskApi.c`, rleToString): a character carries five bits above its offset,
#: the next says that more follow; the fifth bit of a number's last character is its sign.
_OFFSET, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
#: Characters of a number: what seven carry is wider than pycocotools' 32 bits.
_MOST_CHARACTERS = 7
#: Most characters of a mask for each pixel, and one more. There is at most one run for each; a number takes a second
#: character from 16 on and a third from 512, while all of them together are at most twice the pixels.
_PIXEL_CHARACTERS = 2


def check_mask(segmentation: object, height: int, width: int) -> None:
    """Refuse what is neither polygons nor run lengths of an image of this size. Raises InputError with the reason."""
    if isinstance(segmentation, Mapping):
        _check_runs(segmentation, height, width)
    elif isinstance(segmentation, list) and segmentation:
        for polygon in segmentation:
            _check_polygon(polygon, max(height, width))
    else:
        raise InputError("it is neither a list of polygons nor run lengths")


def decode_mask(mask: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The pixels of a mask, bool [height, width], from COCO's compressed run lengths."""
    import pycocotools.mask  # who only checks masks, as a client does, need not have it

    with warnings.catch_warnings():
        # pycocotools 2.0 still speaks numpy 1's array protocol, of which numpy 2 warns at every call.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(pycocotools.mask.decode(mask), dtype=np.bool_)


def run_bytes(mask: Mapping[str, Any]) -> bytes:
    """The compressed run lengths of a mask, which pycocotools takes as text and as bytes."""
    counts = mask["counts"]
    return counts.encode() if isinstance(counts, str) else bytes(counts)


def _check_polygon(polygon: object, side: int) -> None:
    if not isinstance(polygon, list):
        raise InputError("a polygon is a list of numbers in a list of polygons, [[x, y, x, y, x, y, ...], ...]")
    numbers = _array(polygon)
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1:
        raise InputError("a polygon has something else than numbers")
    if len(numbers) < _LEAST_NUMBERS:
        raise InputError(f"a polygon has {len(numbers)} numbers; it needs x and y of at least three corners")
    if len(numbers) % 2:
        raise InputError(f"a polygon has an odd number of numbers, {len(numbers)}; it needs x and y of each corner")
    # Written so that what is not a number is refused, too.
    if not (numbers.min() >= -side and numbers.max() <= 2 * side):
        raise InputError("a polygon lies further outside of the image than that is large, or nowhere (not a number)")


def _check_runs(mask: Mapping[str, Any], height: int, width: int) -> None:
    size = mask.get("size")
    if size != [height, width] or not all(isinstance(side, int) for side in size):
        raise InputError(f"its run lengths are of the size {size}, the image's is {[height, width]}")
    runs = mask.get("counts")
    if runs is None or runs in ([], "", b""):
        raise InputError("it has no run lengths ('counts')")
    if isinstance(runs, str | bytes) and len(runs) > _PIXEL_CHARACTERS * (height * width + 1):
        raise InputError(f"its run lengths are {len(runs):,} characters, too many for {height * width:,} pixels")
    counts = _decoded(runs) if isinstance(runs, str | bytes) else _array(runs)
    if counts.dtype.kind not in "iu" or counts.ndim != 1 or counts.min() < 0:
        raise InputError("its run lengths are not whole numbers from 0")
    covered = sum(counts.tolist())
    if covered != height * width:
        raise InputError(f"its run lengths cover {covered:,} pixels, the image has {height * width:,}")


def _array(values: object) -> NDArray[Any]:
    """The values as numpy has them; of a kind that is no number where they are of several shapes."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.empty(0, object)


def _decoded(text: str | bytes) -> NDArray[np.int64]:
    """Run lengths from pycocotools' text, int64 [runs]. Raises InputError."""
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - _OFFSET
    if codes.min() < 0 or codes.max() >= 2 * _MORE or codes[-1] & _MORE:
        raise InputError("its run lengths are not in COCO's compressed form")
    ends = np.flatnonzero(codes & _MORE == 0) + 1
    starts = np.concatenate(([0], ends[:-1]))
    lengths = ends - starts
    if lengths.max() > _MOST_CHARACTERS:
        raise InputError("its run lengths are not in COCO's compressed form")
    shifts = _BITS * (np.arange(len(codes)) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & (_MORE - 1)) << shifts, starts)
    values -= np.where(codes[ends - 1] & _SIGN, 1 << (_BITS * lengths), 0)
    # From the fourth on, a number is the difference from the one before the last.
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return np.asarray(values, np.int64)
