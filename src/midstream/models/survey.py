"""What a graph holds: the shape and type of every tensor, the work of every node, what depends on the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.graph import uses, without_initialisers_as_inputs
from midstream.models.room import fitting, tensor_bytes
from midstream.models.running import Runner, session
from midstream.progress import SILENT, Progress

#: Tensors of the first run, and bytes of those of each other one: not all of them are in memory at once.
_FIRST, _BYTES = 32, 1 << 29
#: Nodes that tell of a tensor's shape, and nothing of its content.
SHAPES = ("Shape", "Size")
#: Where a node has its weights among its inputs.
_KERNELS = {
    "Conv": 1, "ConvInteger": 1, "FusedConv": 1, "NhwcConv": 1, "QLinearConv": 3, "DeformConv": 1,
}  # fmt: skip
#: Where a product of matrices has its factors.
_FACTORS = {
    "MatMul": (0, 1), "MatMulInteger": (0, 1), "FusedMatMul": (0, 1), "DynamicQuantizeMatMul": (0, 1),
    "MatMulIntegerToFloat": (0, 1), "QLinearMatMul": (0, 3), "Gemm": (0, 1), "FusedGemm": (0, 1), "QGemm": (0, 3),
}  # fmt: skip
_RECURRENT = ("LSTM", "GRU", "RNN")
_ONE_KERNEL = _KERNELS | {kind: places[1] for kind, places in _FACTORS.items()} | {"ConvTranspose": 1}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as it came out of a run: its shape and element type."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all of them."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True)
class Survey:
    """A graph as a run with given inputs shows it.

    Attributes:
        model: the graph, without weights among its inputs.
        image: the input that takes the image.
        tensors: by name, of all that nodes give and of the inputs.
        macs: multiplications with additions of each node, in the graph's order. Those of a body (If, Loop) are at
            least one for each weight, which is what is counted.
    """

    model: onnx.ModelProto
    image: str
    tensors: Mapping[str, TensorInfo]
    macs: Sequence[int]

    @property
    def nodes(self) -> Sequence[Any]:
        """In the graph's order, which is one of computation."""
        return self.model.graph.node

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [value.name for value in self.model.graph.output]


def survey(
    model: onnx.ModelProto, image: str, feeds: Mapping[str, NDArray[Any]], progress: Progress = SILENT
) -> Survey:
    """Run a graph, a few times if its tensors are large, and look at all of them; `progress` hears of each.

    Raises:
        InputError: the graph does not run with these inputs.
    """
    model = without_initialisers_as_inputs(model)
    tensors = {name: TensorInfo(value.shape, value.dtype) for name, value in feeds.items()}
    tensors |= {weight.name: _weight(weight) for weight in model.graph.initializer}
    made = list(dict.fromkeys(output for node in model.graph.node for output in node.output if output))
    progress.stage("looking at tensors", len(made))
    for names, values in _runs(model, feeds, made):
        tensors |= {
            name: TensorInfo(value.shape, value.dtype)
            for name, value in zip(names, values, strict=True)
            if isinstance(value, np.ndarray)
        }
        for _ in names:
            progress.step()
    return Survey(model, image, tensors, [_work(node, tensors) for node in model.graph.node])


def _weight(weight: Any) -> TensorInfo:
    return TensorInfo(tuple(weight.dims), onnx.helper.tensor_dtype_to_np_dtype(weight.data_type))


def _runs(
    model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], names: list[str]
) -> Iterator[tuple[list[str], list[Any]]]:
    """What these tensors hold, some at a time: ONNX Runtime keeps all outputs of a session until the run is over."""
    count, sizes = _FIRST, tensor_bytes(model, {name: value.shape for name, value in feeds.items()})
    while names:
        count = fitting(names[:count], sizes, _BYTES)
        some, names = names[:count], names[count:]
        values = _run(session(_giving(model, some), optimised=False), some, feeds)
        yield some, values
        taken = sum(value.nbytes for value in values if isinstance(value, np.ndarray))
        count = max(min(count * _FIRST, count * _BYTES // max(taken, 1)), 1)


def _run(runner: Runner, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
    try:
        return runner.run(names, feeds)
    except Exception as error:  # ONNX Runtime's exceptions have no common public base
        raise InputError(f"the network does not run: {str(error).splitlines()[0]}") from error


def _giving(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The graph with these as its outputs, of types that ONNX Runtime finds out."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    typed = {value.name: value for value in model.graph.output}
    del wide.graph.output[:]
    wide.graph.output.extend(typed.get(name, onnx.ValueInfoProto(name=name)) for name in names)
    return wide


def values_of(
    seen: Survey, feeds: Mapping[str, NDArray[Any]], names: Sequence[str]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """What some tensors of a graph hold, which ran before. Raises InputError where it no longer does."""
    left = list(names)
    while left:
        some = [left.pop(0)]
        room = _BYTES - seen.tensors[some[0]].nbytes
        while left and (room := room - seen.tensors[left[0]].nbytes) >= 0:
            some.append(left.pop(0))
        yield from zip(some, _run(session(_giving(seen.model, some)), some, feeds), strict=True)


def _work(node: Any, tensors: Mapping[str, TensorInfo]) -> int:
    """Multiplications with additions of a node; 0 for one that has none, or is not known."""
    shapes = [tensors[name].shape if name in tensors else () for name in node.input]
    outputs = [tensors[name].elements for name in node.output if name in tensors]
    if not outputs:
        return 0
    if node.op_type in _KERNELS:
        kernel = shapes[_KERNELS[node.op_type]]
        return outputs[0] * math.prod(kernel[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if node.op_type in _FACTORS:
        first, second = (shapes[place] for place in _FACTORS[node.op_type])
        return _product(first, second, outputs[0])
    if node.op_type in _RECURRENT:
        return math.prod(shapes[0][:2]) * (math.prod(shapes[1]) + math.prod(shapes[2]))
    bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return max((_body(body, tensors) for body in bodies), default=0)


def _body(graph: Any, tensors: Mapping[str, TensorInfo]) -> int:
    """Of a branch of If or a body of Loop: its weights, counted once."""
    sizes = {name: seen.elements for name, seen in tensors.items()}
    sizes |= {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Constant":
            sizes[node.output[0]] = sum(math.prod(a.t.dims) for a in node.attribute if a.HasField("t"))
        place = _ONE_KERNEL.get(node.op_type)
        places = (1, 2) if node.op_type in _RECURRENT else () if place is None else (place,)
        total += sum(sizes.get(node.input[i], 0) for i in places)
        total += max((_body(a.g, tensors) for a in node.attribute if a.HasField("g")), default=0)
    return total


def _product(first: Sequence[int], second: Sequence[int], output: int) -> int:
    """Of two matrices; the sum runs over what they have in common, whichever of them is transposed."""
    if not first or not second:
        return 0
    rows_columns = math.prod(first) * math.prod(second)
    batch = math.prod(first[:-2]) if len(second) > 2 and len(first) > 2 else 1
    # (b m k) (b k n) = b m n k k: with b m n of the output it is b k squared.
    return output * round(math.sqrt(rows_columns / max(output * batch, 1)))


def live_inputs(survey_: Survey) -> list[list[str]]:
    """For each node, those of its inputs that carry content of the image; of one that only tells a shape, none."""
    live, found = {survey_.image}, []
    for node in survey_.nodes:
        used = [] if node.op_type in SHAPES else [name for name in dict.fromkeys(uses(node)) if name in live]
        if used:
            live.update(output for output in node.output if output)
        found.append(used)
    return found
