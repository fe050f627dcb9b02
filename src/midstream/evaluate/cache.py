"""Pyramids kept on disk, so that a sweep runs the front of the network once."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np

from midstream.data import PictureFile
from midstream.errors import InputError
from midstream.files import read_pyramid, write_pyramid
from midstream.models import FloatPyramid, SplitModel

#: What, besides model and picture, decides the front's output to the last bit.
_PACKAGES = ("midstream", "numpy", "onnxruntime", "opencv-python-headless")


class FrontCache:
    """A folder of pyramids, each under a hash of all that made it: model, weights, cut, picture, versions.

    A pyramid made by another model, picture or version has another name and is never looked at.
    """

    def __init__(self, folder: Path, model: SplitModel) -> None:
        """The folder is made when it does not exist. Raises InputError when it cannot be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
        self._folder = folder
        versions = " ".join(f"{package} {metadata.version(package)}" for package in _PACKAGES)
        self._made_by = f"{model.fingerprint}\n{versions}\n".encode()

    def path(self, picture: PictureFile) -> Path:
        """Where the pyramid of this picture is or will be."""
        key = hashlib.sha256(self._made_by + picture.path.read_bytes()).hexdigest()
        return self._folder / f"{key}.safetensors"

    def get(self, picture: PictureFile) -> FloatPyramid | None:
        """The pyramid, if it is there whole."""
        path = self.path(picture)
        if not path.exists():
            return None
        try:
            return {name: np.asarray(values, np.float32) for name, values in read_pyramid(str(path)).items()}
        except InputError:  # damaged: make it anew
            return None

    def put(self, picture: PictureFile, pyramid: FloatPyramid) -> None:
        """Keep a pyramid."""
        write_pyramid(str(self.path(picture)), pyramid)
