"""Cutting an ONNX graph in two at named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
import onnx.utils
import onnxruntime as ort
from numpy.typing import NDArray

from midstream.errors import InputError, unknown


@dataclass(frozen=True)
class Cut:
    """A graph in two: `front` turns the inputs into the cut tensors, `back` turns these into the outputs."""

    front: onnx.ModelProto
    back: onnx.ModelProto


def load_graph(path: Path) -> onnx.ModelProto:
    """Read an ONNX file (with external data, if it has any). Raises InputError for what is not one."""
    try:
        model = onnx.load(str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # protobuf raises a class of its own in every release
        raise InputError(f"{path}: not a readable ONNX model ({type(error).__name__})") from error
    if not model.graph.node:
        raise InputError(f"{path}: not an ONNX model, or one without nodes")
    return model


def cut_graph(model: onnx.ModelProto, tensors: Sequence[str]) -> Cut:
    """Cut a graph so that the named tensors are all that crosses.

    Raises:
        InputError: a name that the graph does not have (with the nearest), an input or output, a tensor that the
            outputs do not need, or a cut that leaves another way from input to output (with the missing tensors).
    """
    model = _without_initialisers_as_inputs(model)
    graph = model.graph
    inputs, outputs = [i.name for i in graph.input], [o.name for o in graph.output]
    names = list(dict.fromkeys(tensors))
    if not names:
        raise InputError("name at least one tensor to cut at")
    _check_names(graph, names, inputs, outputs)
    producers = {output: node for node in graph.node for output in node.output if output}
    _check_complete(producers, names, inputs, outputs)
    extractor = onnx.utils.Extractor(_with_value_infos(model, names))
    needed = _ancestors(producers, names, stop=[])
    front = extractor.extract_model([name for name in inputs if name in needed], names)
    return Cut(front, extractor.extract_model(names, outputs))


def _without_initialisers_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Old exporters list weights among the inputs, which makes ONNX Runtime warn about each and optimise none."""
    weights = {initialiser.name for initialiser in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    del clean.graph.input[:]
    clean.graph.input.extend(kept)
    # The extractor reads functions and the graph alone: nothing else has to be carried over.
    clean.ir_version = max(model.ir_version, 4)  # 4: the first in which a weight need not be an input
    return clean


def _with_value_infos(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]}
    for name in names:
        if name not in known:
            inferred.graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return inferred


def _check_names(graph: Any, names: Sequence[str], inputs: Sequence[str], outputs: Sequence[str]) -> None:
    produced = [output for node in graph.node for output in node.output if output]
    for name in names:
        if name in inputs or name in outputs:
            kind = "input" if name in inputs else "output"
            raise InputError(f"'{name}' is an {kind} of the graph: cut at a tensor between input and output")
        if name not in set(produced):
            raise unknown("tensor", name, produced)


def _ancestors(producers: Mapping[str, Any], names: Iterable[str], stop: Iterable[str]) -> set[str]:
    """The named tensors and all that they are computed from, not looking past `stop`."""
    ends, seen, todo = set(stop), set(), list(names)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in ends and name in producers:
            todo.extend(used for used in producers[name].input if used)
    return seen


def _check_complete(
    producers: Mapping[str, Any], names: Sequence[str], inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    back = _ancestors(producers, outputs, stop=names)
    for name in names:
        if name not in back:
            raise InputError(f"no output needs tensor '{name}': leave it out of the cut")
    leaking = [name for name in inputs if name in back]
    if not leaking:
        return
    front = _ancestors(producers, names, stop=[])
    beyond = (name for name in back if name in producers and name not in front)
    crossing = {used for name in beyond for used in producers[name].input if used in front and used not in names}
    from_input = [
        name for name in sorted(crossing) if set(inputs) & _ancestors(producers, [name], stop=names) or name in inputs
    ]
    raise InputError(
        f"the cut does not separate the graph: input '{leaking[0]}' still reaches an output"
        + (f" through {', '.join(repr(name) for name in from_input[:5])}; cut there too" if from_input else "")
    )


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    """An ONNX Runtime session on the CPU. Raises InputError for a model that it cannot run."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common public base
        raise InputError(f"ONNX Runtime cannot run this model: {str(error).splitlines()[0]}") from error


def random_inputs(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], seed: int = 0
) -> dict[str, NDArray[Any]]:
    """A random value for every input: standard normal for floats, 0 or 1 otherwise.

    Args:
        model: the graph.
        shapes: input name -> shape, for inputs that leave more than the batch open.
        seed: of the generator.

    Raises:
        InputError: an open dimension without a given shape.
    """
    rng = np.random.default_rng(seed)
    weights = {initialiser.name for initialiser in model.graph.initializer}
    values = {}
    for value in (v for v in model.graph.input if v.name not in weights):
        tensor = value.type.tensor_type
        dims = [dim.dim_value or (1 if i == 0 else 0) for i, dim in enumerate(tensor.shape.dim)]
        shape = list(shapes.get(value.name, dims))
        if 0 in shape:
            raise InputError(f"input '{value.name}' has open dimensions: say which with --shape {value.name}=1,3,H,W")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        floating = np.issubdtype(dtype, np.floating)
        values[value.name] = (rng.normal(size=shape) if floating else rng.integers(0, 2, shape)).astype(dtype)
    return values


def recomposition_error(model: onnx.ModelProto, cut: Cut, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Largest absolute difference between the whole network's outputs and those of front then back."""
    whole = _run(_without_initialisers_as_inputs(model), inputs)
    middle = _run(cut.front, {name: inputs[name] for name in inputs if name in {i.name for i in cut.front.graph.input}})
    parts = _run(cut.back, middle)
    worst = 0.0
    for name, value in whole.items():
        difference = np.abs(np.asarray(value, np.float64) - np.asarray(parts[name], np.float64))
        worst = max(worst, float(difference.max(initial=0.0)))
    return worst


def _run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    runner = session(model)
    names = [output.name for output in runner.get_outputs()]
    try:
        return dict(zip(names, runner.run(names, dict(inputs)), strict=True))
    except Exception as error:
        raise InputError(f"the network does not run on a random input: {str(error).splitlines()[0]}") from error
