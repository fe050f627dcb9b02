"""Scenes in motion: a seed gives a clip, its objects and their masks, the same to the bit on every machine.

The street, the things and the camera are those of single scenes, and integers all the way. What is new is time: a
world in which drivers and walkers keep to laws of their own (`laws`), seen by a camera that stands, turns, drives or is
held in a hand (`eye`), with texture that stays with what it is on and sensor noise that is another in every frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.lazy import loader

if TYPE_CHECKING:
    from midstream.data.scenes.motion.files import images_of, load_films, numbers_of, write_films
    from midstream.data.scenes.motion.film import Film, FilmFrame, FilmObject

__all__ = [
    "ANNOTATIONS", "EDITION", "FRAMES", "MOST_FRAMES", "RATE", "Film", "FilmFrame", "FilmObject", "images_of",
    "load_films", "numbers_of", "write_films",
]  # fmt: skip

#: Counted up when a seed's clip changes.
EDITION = 1
#: Beside the clips' folders, what is in them in COCO's format.
ANNOTATIONS = "annotations.json"
#: Of a clip unless asked otherwise, and at most.
FRAMES, MOST_FRAMES = 100, 500
#: Frames a second.
RATE = 25

__getattr__ = loader(
    __name__,
    dict.fromkeys(("Film", "FilmFrame", "FilmObject"), "film")
    | dict.fromkeys(("images_of", "load_films", "numbers_of", "write_films"), "files"),
)


def __dir__() -> list[str]:
    return __all__
