"""Street scenes made by the project: a seed gives an image and its instances, the same to the bit on every machine.

A scene is a small world in centimetres, seen by a pinhole camera: a street of houses, and on it instances of the eight
classes that the Cityscapes benchmark evaluates. All of it is integer arithmetic: draws from a bit generator's raw
stream, perspective by whole division, polygons at whole pixels of a canvas of twice the size, integer texture and
noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.lazy import loader

if TYPE_CHECKING:
    from midstream.data.scenes.files import is_scene, load_scenes, write_scenes
    from midstream.data.scenes.scene import Scene, generate

__all__ = ["EDITION", "SIZE", "Scene", "generate", "is_scene", "load_scenes", "write_scenes"]

#: (height, width) of a scene unless asked otherwise.
SIZE = (256, 512)
#: Counted up when a seed's scene changes, so that no copy of an older one is taken for it.
EDITION = 1

#: Whoever loads a data set of photographs need not load what draws.
__getattr__ = loader(
    __name__,
    {"Scene": "scene", "generate": "scene", "is_scene": "files", "load_scenes": "files", "write_scenes": "files"},
)


def __dir__() -> list[str]:
    return __all__
