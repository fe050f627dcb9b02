"""Bytes of a clip's frames over time, as an image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from midstream.codec.clip_info import UnitParts
from midstream.models import Image

_WIDTH, _HEIGHT = 1200, 420
_LEFT, _RIGHT, _TOP, _FOOT = 90, 20, 50, 50
#: RGB, of Okabe and Ito's palette (Color Universal Design, 2008): keys, other frames, their mean.
_KEY, _OTHER, _MEAN = (213, 94, 0), (0, 114, 178), (0, 158, 115)
_INK, _GRID = (40, 40, 40), (225, 225, 225)
_LINES = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def clip_figure(title: str, frames: Sequence[UnitParts]) -> Image:
    """A bar a frame, keys in orange, and the mean over a second around each frame; uint8 [H, W, 3]."""
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    sizes = np.array([frame.bytes for frame in frames] or [0], np.float64)
    times = np.array([frame.time_s for frame in frames] or [0.0])
    most, span = max(sizes.max(), 1.0), max(times[-1] - times[0], 1e-9)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _FOOT
    across = (_LEFT + (times - times[0]) / span * (wide - 1)).astype(int)
    heights = np.rint(sizes / most * high).astype(int)
    for line in range(_LINES + 1):
        y = _HEIGHT - _FOOT - round(line * high / _LINES)
        cv2.line(canvas, (_LEFT, y), (_WIDTH - _RIGHT, y), _GRID, 1)
        _write(canvas, f"{most * line / _LINES:,.0f}", (8, y + 5))
        _write(canvas, f"{times[0] + span * line / _LINES:.1f} s", (_LEFT + line * (wide - 50) // _LINES, _HEIGHT - 25))
    bar = max(wide // max(len(frames), 1) - 1, 1)
    for x, tall, frame in sorted(zip(across, heights, frames, strict=False), key=lambda each: each[2].key):
        colour = _KEY if frame.key else _OTHER
        right = min(int(x) + bar - 1, _WIDTH - _RIGHT)
        cv2.rectangle(canvas, (int(x), _HEIGHT - _FOOT - int(tall)), (right, _HEIGHT - _FOOT), colour, cv2.FILLED)
    means = _HEIGHT - _FOOT - np.rint(_around(times, sizes) / most * high).astype(np.int32)
    cv2.polylines(canvas, [np.stack([across, means], axis=1).astype(np.int32)], False, _MEAN, 2, cv2.LINE_AA)
    _write(canvas, f"{title}: bytes a frame; keys orange, others blue, mean of a second green", (_LEFT, 28))
    return canvas


def _around(times: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The mean over the frames within half a second of each."""
    sums = np.concatenate([[0.0], np.cumsum(sizes)])
    low, high = np.searchsorted(times, times - 0.5), np.searchsorted(times, times + 0.5, "right")
    return np.asarray((sums[high] - sums[low]) / np.maximum(high - low, 1))


def _write(canvas: Image, text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, _FONT, 0.45, _INK, 1, cv2.LINE_AA)
