"""midstream: a feature codec for machine vision.

>>> import midstream as ms
>>> data = ms.encode({"p3": p3, "p4": p4}, symbols=4, z=1.5)   # float32 [C, H, W] each -> bytes
>>> back = ms.decode(data)                                     # same names, shapes and element types
>>> small = ms.encode({"p3": p3, "p4": p4}, codec="calibrated", profile="M.profile", quality=60)
>>> back = ms.decode(small, profile="M.profile")

From a network to a codec that is fitted to it, and what it is worth:

>>> model = ms.load_model("M.onnx")                            # or a name; for a torch module ms.split
>>> profile = ms.calibrate(model, "photos")
>>> print(ms.evaluate(model, "photos", "calibrated", profile=profile, quality=60))

Packages, loaded when they are used: `models` (networks in two halves), `data` (images with their truth), `evaluation`
(rate and accuracy), `calibration` (profiles), `compare` (codecs side by side), `serve` (split inference).
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

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
from midstream.lazy import OnceAPackage
from midstream.limits import MOST_PIXELS, PIXELS_VARIABLE, Limits
from midstream.version import __version__ as __version__

if TYPE_CHECKING:
    from midstream import calibration as calibration
    from midstream import compare as compare
    from midstream import data as data
    from midstream import evaluation as evaluation
    from midstream import models as models
    from midstream import serve as serve
    from midstream.calibration import calibrate as calibrate
    from midstream.evaluation import evaluate as evaluate
    from midstream.models import load_model as load_model
    from midstream.models import split as split

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
#: Functions that need more than the codec does, by the package that has them.
_FUNCTIONS = {"calibrate": "calibration", "evaluate": "evaluation", "load_model": "models", "split": "models"}
#: Names of what were packages in an earlier release, and where they are now.
_EARLIER = {
    "calibrate": {
        "Calibration": "midstream.calibration.Calibration",
        "CalibrationSettings": "midstream.calibration.CalibrationSettings",
        "Progress": "midstream.calibration.Progress",
        "Settings": "midstream.calibration.CalibrationSettings",
        "Tools": "midstream.calibration.Tools",
        "Views": "midstream.calibration.Views",
        "calibrate": "midstream.calibration.fit",
    },
    "evaluate": {
        "Accuracy": "midstream.evaluation.Accuracy",
        "EvalResult": "midstream.evaluation.EvalResult",
        "calibrated_options": "midstream.evaluation.calibrated_options",
        "evaluate": "midstream.evaluation.accuracy_of",
        "paper_options": "midstream.evaluation.paper_options",
        "reference_dataset": "midstream.evaluation.reference_dataset",
        "run": "midstream.evaluation.run",
    },
}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"midstream.{name}")
    if name in _FUNCTIONS:
        function = getattr(importlib.import_module(f"midstream.{_FUNCTIONS[name]}"), name)
        return OnceAPackage(function, _EARLIER[name]) if name in _EARLIER else function
    raise AttributeError(f"module 'midstream' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, *_FUNCTIONS, *_PACKAGES, "__version__"]
