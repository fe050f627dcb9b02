"""Networks in two halves: descriptions, ONNX graphs, post-processing, torch adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midstream.models.base import (
    BatchingModel,
    DerivedLevel,
    Detections,
    FloatPyramid,
    Picture,
    ProposingModel,
    SplitModel,
)
from midstream.models.registry import known_models, load

if TYPE_CHECKING:
    from midstream.models.torch_split import TorchSplit

__all__ = [
    "BatchingModel",
    "DerivedLevel",
    "Detections",
    "FloatPyramid",
    "Picture",
    "ProposingModel",
    "SplitModel",
    "TorchSplit",
    "known_models",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "TorchSplit":  # needs torch, which nothing else here does
        from midstream.models.torch_split import TorchSplit

        return TorchSplit
    raise AttributeError(f"module 'midstream.models' has no attribute '{name}'")
