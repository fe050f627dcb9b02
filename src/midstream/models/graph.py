"""Cutting an ONNX graph in two at named tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
import onnxruntime as ort
from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.files import write_bytes
from midstream.models.external import load_external_data

CPU, CUDA = "cpu", "cuda"
_PROVIDERS = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider"}


@dataclass(frozen=True)
class Cut:
    """A graph in two: `front` turns the inputs into the cut tensors, `back` turns these into the outputs."""

    front: onnx.ModelProto
    back: onnx.ModelProto


def load_graph(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with external data from its own folder. Raises InputError for what is not one."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # protobuf raises a class of its own in every release
        raise InputError(f"{path}: not a readable ONNX model ({type(error).__name__})") from error
    if not model.graph.node:
        raise InputError(f"{path}: not an ONNX model, or one without nodes")
    load_external_data(model, path)
    return model


def cut_graph(model: onnx.ModelProto, tensors: Sequence[str]) -> Cut:
    """Cut a graph so that the named tensors are all that crosses.

    An input that only the back uses (a scale for its boxes, say) becomes an input of the back. Bodies of control flow
    (If, Loop) may use tensors from outside themselves; those count like inputs of their node.

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
    sources = {output: _uses(node) for node in graph.node for output in node.output if output}
    front = _ancestors(sources, names, stop=[])
    back = _ancestors(sources, outputs, stop=names)
    _check_complete(sources, names, inputs, outputs, front, back)
    values = _value_infos(model, names)
    to_front = [name for name in inputs if name in front]
    to_back = [*names, *(name for name in inputs if name in back)]
    return Cut(_extract(model, front, to_front, names, values), _extract(model, back, to_back, outputs, values))


def _without_initialisers_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Old exporters list weights among the inputs, which makes ONNX Runtime warn about each and optimise none."""
    weights = {initialiser.name for initialiser in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    del clean.graph.input[:]
    clean.graph.input.extend(kept)
    clean.ir_version = max(model.ir_version, 4)  # 4: the first in which a weight need not be an input
    return clean


def _extract(
    model: onnx.ModelProto, needed: set[str], inputs: Sequence[str], outputs: Sequence[str], values: Mapping[str, Any]
) -> onnx.ModelProto:
    """The part of a graph that computes `outputs`. Not onnx.utils.Extractor: it loses what bodies take from outside."""
    part = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    graph, source = part.graph, model.graph
    graph.name = source.name
    entering = set(inputs)
    graph.node.extend(n for n in source.node if any(o in needed and o not in entering for o in n.output))
    for node in graph.node:  # of a node with several outputs one may enter as an input while another is computed
        for i, output in enumerate(node.output):
            if output in entering:
                node.output[i] = f"{output}/unused"
    graph.initializer.extend(weight for weight in source.initializer if weight.name in needed)
    graph.sparse_initializer.extend(weight for weight in source.sparse_initializer if weight.values.name in needed)
    graph.input.extend(values[name] for name in inputs)
    graph.output.extend(values[name] for name in outputs)
    return part


def _value_infos(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, Any]:
    """Type and shape of inputs, outputs and the named tensors; float of any shape where they cannot be inferred."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # an operator of another domain, say: ONNX Runtime has the last word
        graph = model.graph
    unknown_type = {name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names}
    return unknown_type | {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}


def _check_names(graph: Any, names: Sequence[str], inputs: Sequence[str], outputs: Sequence[str]) -> None:
    produced = [output for node in graph.node for output in node.output if output]
    for name in names:
        if name in inputs or name in outputs:
            kind = "input" if name in inputs else "output"
            raise InputError(f"'{name}' is an {kind} of the graph: cut at a tensor between input and output")
        if name not in set(produced):
            raise unknown("tensor", name, produced)


def _uses(node: Any) -> list[str]:
    """What a node reads, its bodies' tensors from outside included."""
    used = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {value.name for value in (*body.input, *body.initializer)}
            own |= {weight.values.name for weight in body.sparse_initializer}
            own |= {output for inner in body.node for output in inner.output}
            read = [name for inner in body.node for name in _uses(inner)] + [value.name for value in body.output]
            used += [name for name in read if name not in own]
    return used


def _ancestors(sources: Mapping[str, Sequence[str]], names: Iterable[str], stop: Iterable[str]) -> set[str]:
    """The named tensors and all that they are computed from, not looking past `stop`."""
    ends, seen, todo = set(stop), set(), list(names)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in ends:
            todo.extend(sources.get(name, ()))
    return seen


def _check_complete(
    sources: Mapping[str, Sequence[str]],
    names: Sequence[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
    front: set[str],
    back: set[str],
) -> None:
    for name in names:
        if name not in back:
            raise InputError(f"no output needs tensor '{name}': leave it out of the cut")
    if not set(inputs) & front:
        raise InputError(f"{', '.join(repr(name) for name in names)} does not depend on any input: cut elsewhere")
    leaking = [name for name in inputs if name in back and name in front]
    if not leaking:
        return
    beyond = [name for name in back if name in sources and name not in front]
    crossing = {used for name in beyond for used in sources[name] if used in front and used not in names}
    carrying = sorted(name for name in crossing if set(leaking) & _ancestors(sources, [name], stop=names))
    missing = [name for name in carrying if name not in inputs]
    past = [output for output in outputs if not set(names) & _ancestors(sources, [output], stop=names)]
    if past and not missing:
        raise InputError(f"output '{past[0]}' does not come through the cut: cut at a tensor that leads to it, too")
    way = missing or sorted(name for name in beyond if set(carrying) & set(sources[name]))
    raise InputError(
        f"the cut does not separate the graph: input '{leaking[0]}' still reaches an output through "
        f"{', '.join(repr(name) for name in way[:5])}; cut there too{'' if missing else ', or further on'}"
    )


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph as one ONNX file. Raises InputError, also for one of more than the 2 GiB that such a file holds."""
    try:
        data = model.SerializeToString()
    except Exception as error:
        raise InputError(f"{path}: cannot be written: {error}") from error
    write_bytes(str(path), data)


def graph_hash(model: onnx.ModelProto) -> str:
    """SHA-256 of a graph with its weights, wherever the file keeps them. Raises InputError beyond 2 GiB."""
    try:
        return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    except Exception as error:
        raise InputError(f"the graph cannot be written in one piece: {error}") from error


def has_device(device: str) -> bool:
    """Whether the ONNX Runtime that is installed was built for a device. Raises InputError for an unknown one."""
    if device not in _PROVIDERS:
        raise unknown("device", device, _PROVIDERS)
    return _PROVIDERS[device] in ort.get_available_providers()


def session(model: onnx.ModelProto, threads: int | None = None, device: str = CPU) -> ort.InferenceSession:
    """An ONNX Runtime session, by default on all cores of the CPU.

    Raises:
        InputError: a model that does not run; a device that is unknown, not there, or not known to this ONNX Runtime.
    """
    if not has_device(device):
        raise InputError(f"this ONNX Runtime is not for {device}: pip install onnxruntime-gpu in its place")
    options = ort.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors become exceptions, and need no second voice
    try:
        made = ort.InferenceSession(model.SerializeToString(), options, providers=[_PROVIDERS[device]])
    except Exception as error:  # ONNX Runtime's exceptions have no common public base
        raise InputError(f"ONNX Runtime cannot run this model: {str(error).splitlines()[0]}") from error
    if _PROVIDERS[device] not in made.get_providers():  # it falls back to the CPU with no more than a line of its log
        raise InputError(f"ONNX Runtime cannot use {device} on this machine: are its driver and libraries there?")
    return made


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
        dims = [max(dim.dim_value, 0) or (1 if i == 0 else 0) for i, dim in enumerate(tensor.shape.dim)]
        shape = list(shapes.get(value.name, dims))
        if 0 in shape:
            raise InputError(f"input '{value.name}' has open dimensions: say which with --shape {value.name}=1,3,H,W")
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            floating = np.issubdtype(dtype, np.floating)
            values[value.name] = (rng.normal(size=shape) if floating else rng.integers(0, 2, shape)).astype(dtype)
        except (KeyError, ValueError, MemoryError) as error:
            raise InputError(f"input '{value.name}' of shape {shape} cannot be made: {error}") from error
    return values


def recomposition_error(model: onnx.ModelProto, cut: Cut, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Largest absolute difference between the whole network's outputs and those of front then back."""
    whole = _run(_without_initialisers_as_inputs(model), inputs)
    parts = _run(cut.back, {**inputs, **_run(cut.front, inputs)})
    differences = [_difference(value, parts[name]) for name, value in whole.items()]
    if not any(compared for _, compared in differences):
        raise InputError("the network gives nothing finite on a random input: its halves cannot be compared")
    return max(worst for worst, _ in differences)


def _difference(whole: Any, parts: Any) -> tuple[float, int]:
    """Largest absolute difference of two outputs, and how many finite numbers were compared; sequences one by one."""
    if isinstance(whole, list):
        pairs = [_difference(a, b) for a, b in zip(whole, parts, strict=True)]
        return max((worst for worst, _ in pairs), default=0.0), sum(compared for _, compared in pairs)
    if np.asarray(whole).dtype.kind not in "fiub":
        return (0.0 if np.array_equal(whole, parts) else np.inf), 0
    a, b = np.asarray(whole, np.float64), np.asarray(parts, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    return float(difference.max(initial=0.0)), int(np.isfinite(a).sum())


def _run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    runner = session(model)
    names = [output.name for output in runner.get_outputs()]
    wanted = {value.name for value in runner.get_inputs()}
    try:
        values = runner.run(names, {name: value for name, value in inputs.items() if name in wanted})
        return dict(zip(names, values, strict=True))
    except Exception as error:
        raise InputError(f"the network does not run on a random input: {str(error).splitlines()[0]}") from error
