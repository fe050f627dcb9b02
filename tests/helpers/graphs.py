"""Small ONNX graphs of convolutions, for tests of what is found in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Nodes in the order in which they are asked for; every method returns the name of its output."""

    def __init__(self, side: int = 16, channels: int = 3) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, side, side])]
        self._rng = np.random.default_rng(0)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Any node with one output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """A weight."""
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def conv(self, source: str, output: str, into: int, out: int, stride: int = 1, kernel: int = 3) -> str:
        """A convolution with padding, so that a stride of one keeps the sides."""
        weight = self._rng.normal(size=(out, into, kernel, kernel)) / kernel
        self.constant(f"{output}_w", weight.astype(np.float32))
        pads = [kernel // 2] * 4
        return self.node("Conv", [source, f"{output}_w"], output, strides=[stride] * 2, pads=pads)

    def model(self, *outputs: str, shapes: dict[str, list[Any]] | None = None) -> onnx.ModelProto:
        """The graph with these outputs, of any shape unless they are given."""
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (shapes or {}).get(n)) for n in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, infos, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def pyramid() -> onnx.ModelProto:
    """Three levels `p3`, `p4`, `p5` (strides 2, 4, 8) with a top-down way, and a head of two convolutions for each."""
    b = Builder(side=32)
    b.node("Relu", [b.conv("x", "c3", 3, 8, 2)], "f3")
    b.node("Relu", [b.conv("f3", "c4", 8, 16, 2)], "f4")
    b.node("Relu", [b.conv("f4", "c5", 16, 16, 2)], "p5")
    b.constant("twice", np.array([1, 1, 2, 2], np.float32))
    b.node("Resize", ["p5", "", "twice"], "up4", mode="nearest")
    b.node("Add", ["up4", "f4"], "sum4")
    b.conv("sum4", "p4", 16, 16)
    b.node("Resize", [b.conv("p4", "lateral", 16, 8, 1, 1), "", "twice"], "up3", mode="nearest")
    b.node("Add", ["up3", "f3"], "sum3")
    b.conv("sum3", "p3", 8, 8, kernel=1)
    outputs = []
    for level, channels in (("p3", 8), ("p4", 16), ("p5", 16)):
        outputs += [b.conv(level, f"{level}_boxes", channels, 4), b.conv(level, f"{level}_scores", channels, 8)]
    return b.model(*outputs)
