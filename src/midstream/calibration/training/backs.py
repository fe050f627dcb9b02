"""The back of a described ONNX network in torch, so that what is lost behind it has a gradient.

ONNX Runtime folds constants first, because onnx2torch takes weights and biases as initialisers only.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from onnx2torch import convert

from midstream.errors import InputError
from midstream.models.onnx_model import OnnxModel
from midstream.models.torch_common import one_line

#: Levels [B, C, H, W] by name.
Maps = Mapping[str, torch.Tensor]


class TorchBack:
    """What the graph behind the cut gives, by the names of outputs that are no constants, for one image at a time."""

    def __init__(self, model: OnnxModel) -> None:
        """Convert the back of `model`.

        Raises:
            InputError: a network whose cut has `axes` or other numbers than
                float32, one whose back takes more than its levels, or an operator that onnx2torch does not know.
        """
        described, self._name = model.description.pyramid, model.name
        if any(level.axes is not None for level in described):
            raise InputError(f"{model.name}: levels with `axes` are not trained, only [1, channels, height, width]")
        graph = model.back_graph()
        if any(value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT for value in graph.graph.input):
            raise InputError(f"{model.name}: what crosses the cut is not float32: take the network in float32")
        if more := {value.name for value in graph.graph.input} - {level.tensor for level in described}:
            raise InputError(f"{model.name}: the back also takes {', '.join(sorted(more))}, which is not trained with")
        self._levels = {level.tensor: level.name for level in described}
        self._derived = model.derived
        try:
            with warnings.catch_warnings(action="ignore"):  # `Teacher.check` looks whether both do the same
                folded = _folded(graph)
                fixed = {value.name for value in folded.graph.initializer}
                changing = [value for value in folded.graph.output if value.name not in fixed]
                del folded.graph.output[:]
                folded.graph.output.extend(changing)
                self._inputs = [value.name for value in folded.graph.input]
                self._outputs = [value.name for value in changing]
                self._module = convert(folded).eval().requires_grad_(False)
        except Exception as error:  # of ONNX Runtime and onnx2torch, which have no common base
            raise InputError(f"{model.name}: the back cannot be converted to torch: {one_line(error)}") from error

    def __call__(self, maps: Maps) -> dict[str, torch.Tensor]:
        """Outputs by name from levels [C, H, W] by name. Raises InputError where it does not run."""
        whole = dict(maps)
        for name, derived in self._derived.items():
            whole[name] = maps[derived.source][:, :: derived.stride, :: derived.stride]
        try:
            with warnings.catch_warnings(action="ignore"):
                found: Any = self._module(*(whole[self._levels[name]][None] for name in self._inputs))
            values: Sequence[torch.Tensor] = [found] if isinstance(found, torch.Tensor) else found
            return dict(zip(self._outputs, values, strict=True))
        except Exception as error:  # torch's errors have no common base
            raise InputError(f"{self._name}: the back does not run in torch: {one_line(error)}") from error


def _folded(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with constants in the place of what is made of constants alone."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="midstream-") as folder:
        path = Path(folder) / "back.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)
