"""What was found in a clip, drawn: over the clip, or over grey where nobody has its images any more."""

from __future__ import annotations

import numpy as np

from midstream.data.film_writer import FilmWriter
from midstream.data.frames import Source
from midstream.errors import InputError
from midstream.halves.clip import ClipFound
from midstream.models import Image, SplitModel

#: Frames a second of the film as it says itself; each frame has its own time.
_RATE = 25.0
_GREY = 96
#: Pixels of a grey image, at most: a clip may say anything of its size.
_MOST_PIXELS = 1 << 26
#: (height, width) where it says nothing.
_UNKNOWN = (480, 640)


class ClipFilm:
    """An .mp4 of a clip's frames with what was found in them; it appears under its name when it is whole."""

    def __init__(self, path: str, model: SplitModel, over: Source | None) -> None:
        """Check the name; `over` is the clip that was coded. Raises InputError, MissingExtraError."""
        self._film, self._model = FilmWriter(path, _RATE), model
        self._frames = None if over is None else (f for f in over.frames() if f.image is not None)
        self._next = 0

    def add(self, one: ClipFound) -> None:
        """Draw a frame. Raises InputError where the clip to draw over has no such frame."""
        image = self._grey(one) if self._frames is None else self._image(one.unit.number)
        drawn = image if one.found is None else self._model.task.annotate(image, one.found, self._model.classes)
        self._film.add(drawn, one.unit.time_s)

    def close(self, whole: bool) -> None:
        """See FilmWriter."""
        self._film.close(whole)

    def _grey(self, one: ClipFound) -> Image:
        height, width = one.unit.size or _UNKNOWN
        if height * width > _MOST_PIXELS:
            raise InputError(f"frame {one.unit.number} is of an image of {width} x {height}: too large to draw")
        return np.full((height, width, 3), _GREY, np.uint8)

    def _image(self, number: int) -> Image:
        assert self._frames is not None
        for frame in self._frames:
            self._next += 1
            if self._next > number and frame.image is not None:
                return frame.image
        raise InputError(f"the clip to draw over has {self._next} frames: there is none for frame {number}")
