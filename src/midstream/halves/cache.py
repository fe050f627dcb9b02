"""Pyramids kept on disk, so that a sweep runs the front of the network once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from midstream.arrays import pack_safetensors, unpack_pyramid
from midstream.errors import InputError
from midstream.files import make_folder, read_bytes, write_bytes
from midstream.models import FloatPyramid, Image, SplitModel
from midstream.version import __version__

#: What, besides model and image, decides the front's output to the last bit.
_VERSIONS = f"{__version__} {np.__version__} {onnxruntime.__version__} {cv2.__version__}"
_DIGEST_BYTES = hashlib.sha256().digest_size


class FrontCache:
    """A folder of pyramids, each under a hash of all that made it: model, weights, cut, image, versions.

    A pyramid made by another model, image or version has another name. A file is a digest of its name and of the
    safetensors data that follows, so that one which was damaged or renamed is not used either. Files appear whole, and
    those of one name hold the same: any number of processes may use one folder at once.
    """

    def __init__(self, folder: Path, model: SplitModel) -> None:
        """The folder is made when it does not exist. Raises InputError when it cannot be."""
        make_folder(folder)
        self._folder = folder
        self._model = model
        self._made_by = f"{model.fingerprint}\n{_VERSIONS}\n".encode()

    def pyramid(self, source: Path, pixels: Callable[[], Image], variant: str = "") -> FloatPyramid:
        """The pyramid of an image, or of a `variant` of it, kept or made from what `pixels` gives."""
        there = self.get(source, variant)
        if there is None:
            there = self._model.front(pixels())
            self.put(source, there, variant)
        return there

    def get(self, source: Path, variant: str = "") -> FloatPyramid | None:
        """The pyramid, if it is there whole."""
        path = self._path(source, variant)
        if not path.exists():
            return None
        try:
            content = read_bytes(str(path))
            if content[:_DIGEST_BYTES] != _digest(path, content[_DIGEST_BYTES:]):
                return None
            pyramid = unpack_pyramid(content[_DIGEST_BYTES:], str(path))
        except InputError:
            return None
        return {name: np.asarray(values, np.float32) for name, values in pyramid.items()}

    def put(self, source: Path, pyramid: FloatPyramid, variant: str = "") -> None:
        """Keep a pyramid."""
        path, data = self._path(source, variant), pack_safetensors(pyramid)
        write_bytes(str(path), _digest(path, data) + data)

    def _path(self, source: Path, variant: str) -> Path:
        made_by = self._made_by + variant.encode()
        key = hashlib.sha256(made_by + read_bytes(str(source))).hexdigest()
        return self._folder / f"{key}.pyramid"


def _digest(path: Path, data: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + data).digest()
