"""Detections and words drawn into images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from midstream.masks import decode_mask
from midstream.models.detections import Detections
from midstream.models.tasks.base import Image

#: Detections below this score are not drawn.
LEAST_SCORE = 0.3
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Steps around the circle of hues from one class to the next: neighbours in a list look unlike.
_HUE_STEP = 67
_MASK_SHARE = 0.4


def annotate(image: Image, found: Detections, classes: Sequence[str], least: float = LEAST_SCORE) -> Image:
    """The image with boxes, classes and scores (and masks) of what has a score of at least `least`."""
    drawn = image.copy()
    scale = max(min(image.shape[:2]) / 800, 0.4)
    thick = max(round(2 * scale), 1)
    far = 2 * max(image.shape[:2])  # no network promises boxes within the image, and OpenCV has 32-bit integers
    for i in reversed(range(len(found))):  # the best on top
        if found.scores[i] < least:
            continue
        label = int(found.labels[i])
        ink = color(label)
        if found.masks is not None:
            inside = decode_mask(found.masks[i])
            drawn[inside] = (drawn[inside] * (1 - _MASK_SHARE) + np.array(ink) * _MASK_SHARE).astype(np.uint8)
        left, top, right, bottom = (int(v) for v in np.clip(found.boxes[i], -far, far))
        cv2.rectangle(drawn, (left, top), (right, bottom), ink, thick)
        text = f"{classes[label] if label < len(classes) else label} {found.scores[i]:.2f}"
        (width, height), base = cv2.getTextSize(text, _FONT, scale, thick)
        foot = max(top, height + base)
        cv2.rectangle(drawn, (left, foot - height - base), (left + width, foot), ink, cv2.FILLED)
        cv2.putText(drawn, text, (left, foot - base // 2), _FONT, scale, (0, 0, 0), thick, cv2.LINE_AA)
    return drawn


def drawn_text(image: Image, lines: Sequence[str]) -> Image:
    """The image with lines of text in its corner."""
    out = np.ascontiguousarray(image)
    scale = max(min(image.shape[:2]) / 640, 0.35)
    for number, line in enumerate(lines, start=1):
        place = (round(8 * scale), round(26 * scale * number))
        for ink, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            thick = max(round(width * scale), 1)
            cv2.putText(out, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, ink, thick, cv2.LINE_AA)
    return out


def color(label: int) -> tuple[int, int, int]:
    """Of a class, RGB: neighbours in a list look unlike."""
    hue = np.array([[[label * _HUE_STEP % 180, 200, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue
