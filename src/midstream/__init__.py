"""midstream: a feature codec for machine vision.

>>> import midstream as ms
>>> data = ms.encode({"p3": p3, "p4": p4}, symbols=4, z=1.5)   # float32 [C, H, W] each -> bytes
>>> back = ms.decode(data)                                     # same names, shapes and element types
>>> small = ms.encode({"p3": p3, "p4": p4}, codec="calibrated", profile="M.profile", quality=60)
>>> back = ms.decode(small, profile="M.profile")

Packages, loaded when they are used: `models` (networks in two halves), `data` (images with their truth), `evaluation`
(rate and accuracy), `calibration` (profiles), `compare` (codecs side by side), `serve` (split inference).
"""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

from midstream.codec.api import decode, encode, inspect
from midstream.codec.base import Codec
from midstream.codec.calibrated.options import Calibrated
from midstream.codec.calibrated.profile import Profile
from midstream.codec.clip_layout import ClipHeader
from midstream.codec.clip_reader import ClipReader
from midstream.codec.clip_writer import ClipWriter
from midstream.codec.image_batch import decode_batch, encode_batch
from midstream.codec.paper.options import Paper
from midstream.codec.stream import StreamDecoder, StreamEncoder
from midstream.errors import (
    BitstreamError,
    CorruptError,
    InputError,
    LimitError,
    MidstreamError,
    MissingReferenceError,
    TruncatedError,
    UnsupportedError,
)
from midstream.layout import Tensor
from midstream.limits import MOST_PIXELS, PIXELS_VARIABLE, Limits
from midstream.version import __version__ as __version__

if TYPE_CHECKING:
    from midstream import calibration as calibration
    from midstream import compare as compare
    from midstream import data as data
    from midstream import evaluation as evaluation
    from midstream import models as models
    from midstream import serve as serve

__all__ = [
    "BitstreamError",
    "Calibrated",
    "ClipHeader",
    "ClipReader",
    "ClipWriter",
    "Codec",
    "CorruptError",
    "InputError",
    "LimitError",
    "Limits",
    "MidstreamError",
    "MissingReferenceError",
    "Paper",
    "Profile",
    "StreamDecoder",
    "StreamEncoder",
    "Tensor",
    "TruncatedError",
    "UnsupportedError",
    "decode",
    "decode_batch",
    "encode",
    "encode_batch",
    "inspect",
]
#: OpenCV looks at it once, while it is loaded, which is later: every module that loads OpenCV is in this package.
os.environ.setdefault(PIXELS_VARIABLE, str(MOST_PIXELS))

#: A codec user should not wait for ONNX Runtime, OpenCV and gRPC to load.
_PACKAGES = ("calibration", "compare", "data", "evaluation", "models", "serve")
#: By the name of an earlier release.
_EARLIER = {"calibrate": "calibration", "evaluate": "evaluation"}


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return importlib.import_module(f"midstream.{name}")
    if name in _EARLIER:
        now = f"midstream.{_EARLIER[name]}"
        message = f"midstream.{name} is now {now}; the next release no longer knows the earlier name"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return importlib.import_module(now)
    raise AttributeError(f"module 'midstream' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES, "__version__"]
