"""A clip that the report plays: what the network finds before coding and after, frame by frame."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from midstream.compare.results import PointResult, Results
from midstream.data import Dataset, ImageFile, read_image
from midstream.data.film_writer import FilmWriter
from midstream.data.images import ARRAY_SUFFIX
from midstream.models import Image, SplitModel
from midstream.models.tasks import task_named
from midstream.report.samples import Candidate, busiest_part, drawn

#: Frames that are played at most, so that a page stays a few megabytes.
_MOST_FRAMES = 125
#: What the first point is called; letters of the captions, and the height of a row of them in pixels.
_BEFORE, _FONT, _SCALE, _ROW = "before coding", cv2.FONT_HERSHEY_SIMPLEX, 0.45, 24


@dataclass(frozen=True)
class Moving:
    """A clip with what is said of it.

    Attributes:
        name: of the clip.
        seconds: that it takes.
        film: a URL that holds the video.
        results, points: the comparison that it is of, and what is to be listed of it; None and nothing where the page
            is about that comparison anyway.
        over_time: bytes of each frame, as a figure; empty where the page has it anyway.
    """

    name: str
    seconds: float
    film: str
    results: Results | None = None
    points: Sequence[tuple[str, PointResult]] = ()
    over_time: str = ""


def play(dataset: Dataset, model: SplitModel, points: Sequence[Candidate]) -> Moving | None:
    """The clip in which most is found, at the first point, the uncompressed network's, and at the second.

    None where there is nothing to draw into: arrays.

    Raises:
        InputError, MissingExtraError: the film cannot be written.
    """
    if dataset.images[0].path.suffix.lower() == ARRAY_SUFFIX or len(points) < 2:
        return None
    first, part = busiest_part(dataset, points[0].record.outputs)
    part = part[:_MOST_FRAMES]
    clip = part[0].clip
    assert clip is not None
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "clip.mp4"
        film, whole = FilmWriter(str(target), clip.rate), False
        try:
            for place, image in enumerate(part, start=first):
                film.add(_frame(image, place, model, points[:2]))
            whole = True
        finally:
            film.close(whole)
        data = target.read_bytes()
    url = "data:video/mp4;base64," + base64.b64encode(data).decode()
    return Moving(clip.name, len(part) / clip.rate, url)


def _frame(image: ImageFile, place: int, model: SplitModel, points: Sequence[Candidate]) -> Image:
    """A frame at each point, one below the other: as wide as a telephone shows it."""
    pixels = read_image(image.path)
    reference = points[0].record.outputs[place]
    panels = []
    for number, point in enumerate(points):
        task, found = task_named(point.record.task), point.record.outputs[place]
        panel = drawn(pixels, task, found, reference, model.classes)
        label = point.label if number else _BEFORE
        panels += [_caption(f"{label}: {point.record.sizes[place]:,} bytes", panel.shape[1]), panel]
    return np.concatenate(panels)


def _caption(text: str, width: int) -> Image:
    """A row of text, as small as it has to be."""
    row = np.full((_ROW, width, 3), 255, np.uint8)
    wide = cv2.getTextSize(text, _FONT, _SCALE, 1)[0][0]
    scale = min(_SCALE, _SCALE * (width - 8) / max(wide, 1))
    cv2.putText(row, text, (4, _ROW - 8), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return row
