"""Street scenes made by the project: a seed gives a picture and its instances, the same to the bit on every machine.

A scene is a small world in centimetres, seen by a pinhole camera: a street of houses, and on it instances of the eight
classes that the Cityscapes benchmark evaluates. All of it is integer arithmetic: draws from a bit generator's raw
stream, perspective by whole division, polygons at whole pixels of a canvas of twice the size, integer texture and
noise.
"""

from midstream.data.scenes.files import is_scene, load_scenes, write_scenes
from midstream.data.scenes.scene import EDITION, SIZE, Scene, generate

__all__ = ["EDITION", "SIZE", "Scene", "generate", "is_scene", "load_scenes", "write_scenes"]
