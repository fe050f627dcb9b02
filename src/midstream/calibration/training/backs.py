"""The back of a described ONNX network in torch, so that what is lost behind it has a gradient.

ONNX Runtime folds constants first, because onnx2torch takes weights and biases as initialisers only.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx2torch import convert

from midstream.errors import InputError
from midstream.models.onnx_model import OnnxModel
from midstream.models.torch_common import one_line

#: Levels [B, C, H, W] by name.
Maps = Mapping[str, torch.Tensor]
_NO_BOUNDS = np.float32(-np.inf), np.float32(np.inf)


class TorchGraph:
    """A graph in torch: the outputs that are no constants, by name, of what its inputs take."""

    def __init__(self, graph: onnx.ModelProto, name: str) -> None:
        """Convert a graph; `name` is what errors call the network. Raises InputError: an operator that is not known."""
        self._name = name
        try:
            with warnings.catch_warnings(action="ignore"):  # `Teacher.check` looks whether both do the same
                graph = folded(graph)
                fixed = {value.name for value in graph.graph.initializer}
                changing = [value for value in graph.graph.output if value.name not in fixed]
                del graph.graph.output[:]
                graph.graph.output.extend(changing)
                self.inputs = [value.name for value in graph.graph.input]
                self._outputs = [value.name for value in changing]
                self._module = convert(graph).eval().requires_grad_(False)
        except Exception as error:  # of ONNX Runtime and onnx2torch, which have no common base
            raise InputError(f"{name}: the back cannot be converted to torch: {one_line(error)}") from error

    def __call__(self, values: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Outputs by name; `values` are those of `inputs`. Raises InputError where it does not run."""
        try:
            with warnings.catch_warnings(action="ignore"):
                found: Any = self._module(*values)
            outputs: Sequence[torch.Tensor] = [found] if isinstance(found, torch.Tensor) else found
            return dict(zip(self._outputs, outputs, strict=True))
        except Exception as error:  # torch's errors have no common base
            raise InputError(f"{self._name}: the back does not run in torch: {one_line(error)}") from error


class TorchBack:
    """What the graph behind the cut gives, by the names of outputs that are no constants, for one image at a time."""

    def __init__(self, model: OnnxModel, graph: onnx.ModelProto) -> None:
        """Convert `graph`, which takes what the back of `model` does.

        Raises:
            InputError: a network whose cut has `axes` or other numbers than
                float32, one whose back takes more than its levels, or an operator that onnx2torch does not know.
        """
        described = model.description.pyramid
        if any(level.axes is not None for level in described):
            raise InputError(f"{model.name}: levels with `axes` are not trained, only [1, channels, height, width]")
        if any(value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT for value in graph.graph.input):
            raise InputError(f"{model.name}: what crosses the cut is not float32: take the network in float32")
        if more := {value.name for value in graph.graph.input} - {level.tensor for level in described}:
            raise InputError(f"{model.name}: the back also takes {', '.join(sorted(more))}, which is not trained with")
        self._levels = {level.tensor: level.name for level in described}
        self._derived = model.derived
        self._graph = TorchGraph(graph, model.name)

    def __call__(self, maps: Maps) -> dict[str, torch.Tensor]:
        """Outputs by name from levels [C, H, W] by name. Raises InputError where it does not run."""
        whole = dict(maps)
        for name, derived in self._derived.items():
            whole[name] = maps[derived.source][:, :: derived.stride, :: derived.stride]
        return self._graph([whole[self._levels[name]][None] for name in self._graph.inputs])


def folded(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with constants in the place of what is made of constants alone."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="midstream-") as folder:
        path = Path(folder) / "back.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = onnx.load(path)
    for node in (node for node in found.graph.node if node.op_type == "Clip"):
        for place, bound in enumerate(_NO_BOUNDS, 1):  # onnx2torch knows no bound that is left out
            if len(node.input) > place and not node.input[place]:
                node.input[place] = f"{node.output[0]}/bound {place}"
                found.graph.initializer.append(onnx.numpy_helper.from_array(np.array(bound), node.input[place]))
    return found
