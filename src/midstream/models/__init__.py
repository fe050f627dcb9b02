"""Networks in two halves: descriptions, ONNX graphs, post-processing, torch adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.lazy import loader
from midstream.models.base import (
    BatchingModel,
    DerivedLevel,
    FloatPyramid,
    Image,
    ProposingModel,
    SplitModel,
    TransparentModel,
)
from midstream.models.detections import Detections
from midstream.models.tasks import Output, Task, Tensors

if TYPE_CHECKING:
    from midstream.models.input_description import Input
    from midstream.models.registry import known_models, load, load_model
    from midstream.models.splitting import split
    from midstream.models.torch_split import TorchSplit

__all__ = [
    "BatchingModel",
    "DerivedLevel",
    "Detections",
    "FloatPyramid",
    "Image",
    "Input",
    "Output",
    "ProposingModel",
    "SplitModel",
    "Task",
    "Tensors",
    "TorchSplit",
    "TransparentModel",
    "known_models",
    "load",
    "load_model",
    "split",
]


#: What a network is, above, needs no extra: whoever codes features may speak of it.
__getattr__ = loader(
    __name__,
    {
        "Input": "input_description",
        "TorchSplit": "torch_split",
        "known_models": "registry",
        "load": "registry",
        "load_model": "registry",
        "split": "splitting",
    },
    extra="networks",
    earlier={"Picture": "Image"},
)


def __dir__() -> list[str]:
    return __all__
