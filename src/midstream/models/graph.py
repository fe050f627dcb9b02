"""Cutting an ONNX graph in two at named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference
from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.files import write_bytes
from midstream.models.external import load_external_data
from midstream.models.formats import other_format
from midstream.models.running import bodies, session
from midstream.models.storage import digest, is_large, without_weights, write_apart

#: Operators with weights, after which a tensor no longer is the image in another form.
MIXING = frozenset({
    "Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "DeformConv", "Gemm", "MatMul", "MatMulInteger",
    "QLinearMatMul", "QGemm", "Einsum", "Gather", "LSTM", "GRU", "RNN", "Attention", "FusedConv", "FusedMatMul",
    "FusedGemm", "MatMulNBits", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "NhwcConv", "STFT", "DFT",
})  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """A graph in two: `front` turns the inputs into the cut tensors, `back` turns these into the outputs.

    `shapes` names what crosses besides: shapes of tensors before the cut, int64, where the graph leaves them open.
    """

    front: onnx.ModelProto
    back: onnx.ModelProto
    shapes: tuple[str, ...] = ()


def load_graph(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with external data from its own folder.

    Raises:
        InputError: what is not one; for a file of another format, with the way from it to ONNX.
    """
    if (other := other_format(path)) is not None:
        raise other
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
    """Cut a graph so that the named tensors are all content that crosses.

    A shape is no content: one that the back asks of a tensor before the cut becomes a constant of the back where it is
    known, and otherwise crosses as a few integers. A cut tensor may be an output, too: the back hands it on.

    An input that only the back uses (a scale for its boxes, say) becomes an input of the back. Bodies of control flow
    (If, Loop) may use tensors from outside themselves; those count like inputs of their node.

    Raises:
        InputError: a name that the graph does not have (with the nearest), an input, the only output, a tensor that
            the outputs do not need, or a cut that leaves another way from input to output (with the missing tensors).
    """
    model = without_initialisers_as_inputs(model)
    graph = model.graph
    inputs, outputs = [i.name for i in graph.input], [o.name for o in graph.output]
    names = list(dict.fromkeys(tensors))
    if not names:
        raise InputError("name at least one tensor to cut at")
    _check_names(graph, names, inputs, outputs)
    sources = {output: uses(node) for node in graph.node for output in node.output if output}
    shapes = _shapes_from_the_front(graph, sources, names, inputs, outputs)
    crossing = [*names, *(shape.output[0] for shape in shapes)]
    front = _ancestors(sources, crossing, stop=[])
    back = _ancestors(sources, outputs, stop=crossing)
    _check_complete(graph, sources, crossing, front, back)
    values = _value_infos(model, crossing)
    known = [shape for node in shapes if (shape := _known_shape(node, values)) is not None]
    crossing = [name for name in crossing if name not in {shape.name for shape in known}]
    front = _ancestors(sources, crossing, stop=[])
    to_front = [name for name in inputs if name in front]
    to_back = [*crossing, *(name for name in inputs if name in back)]
    cut = _extract(model, front, to_front, crossing, values), _extract(model, back, to_back, outputs, values, known)
    return Cut(*cut, tuple(crossing[len(names) :]))


def _shapes_from_the_front(
    graph: Any,
    sources: Mapping[str, Sequence[str]],
    names: Sequence[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> list[Any]:
    """The nodes that tell the back, past the cut, the shape of something before it."""
    before = _ancestors(sources, names, stop=[])
    entering = before & set(inputs)
    asking = []
    for node in (n for n in graph.node if n.op_type in ("Shape", "Size") and n.domain in ("", "ai.onnx")):
        of = _ancestors(sources, node.input, stop=[])
        if of & entering and not {*of, node.output[0]} & set(names):
            asking.append(node)
    needed = _ancestors(sources, outputs, stop=[*names, *(node.output[0] for node in asking)])
    return [node for node in asking if node.output[0] in needed]


def _known_shape(node: Any, values: Mapping[str, Any]) -> Any | None:
    """What a Shape or Size node gives, as a weight; None where a side is open."""
    value = values.get(node.input[0])
    if value is None or not value.type.tensor_type.HasField("shape"):
        return None
    sides = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim]
    if node.op_type == "Size":
        asked: NDArray[np.int64] = np.array(np.prod(sides, dtype=np.int64))
    else:
        ends = {attribute.name: attribute.i for attribute in node.attribute}
        sides = sides[ends.get("start") : ends.get("end")]
        asked = np.array(sides, np.int64)
    return None if min(sides, default=0) < 0 else onnx.numpy_helper.from_array(asked, node.output[0])


def with_input_shape(model: onnx.ModelProto, name: str, shape: Sequence[int]) -> onnx.ModelProto:
    """The graph with one input of a fixed shape."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (value for value in fixed.graph.input if value.name == name):
        value.CopyFrom(onnx.helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape))
    return fixed


def without_initialisers_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
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
    model: onnx.ModelProto,
    needed: set[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
    values: Mapping[str, Any],
    constants: Sequence[Any] = (),
) -> onnx.ModelProto:
    """The part of a graph that computes `outputs`. Not onnx.utils.Extractor: it loses what bodies take from outside.

    `constants` are weights in the place of nodes.
    """
    part = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    graph, source = part.graph, model.graph
    graph.name = source.name
    entering = {*inputs, *(constant.name for constant in constants)}
    graph.node.extend(n for n in source.node if any(o in needed and o not in entering for o in n.output))
    for node in graph.node:  # of a node with several outputs one may enter as an input while another is computed
        for i, output in enumerate(node.output):
            if output in entering:
                node.output[i] = f"{output}/unused"
    graph.initializer.extend(weight for weight in source.initializer if weight.name in needed)
    graph.initializer.extend(constants)
    graph.sparse_initializer.extend(weight for weight in source.sparse_initializer if weight.values.name in needed)
    graph.input.extend(values[name] for name in inputs)
    graph.output.extend(values[name] for name in outputs)
    return part


def part_of(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """What computes some tensors of a graph from others, floats where the graph does not say what they are."""
    sources = {output: uses(node) for node in model.graph.node for output in node.output if output}
    needed = _ancestors(sources, outputs, stop=inputs)
    given = [name for name in inputs if name in needed]
    return _extract(model, needed, given, outputs, _value_infos(model, [*given, *outputs]))


def constant(model: onnx.ModelProto, name: str) -> NDArray[Any] | None:
    """A tensor that no input decides: a weight, or what is made of weights alone; None for any other."""
    sources = {output: uses(node) for node in model.graph.node for output in node.output if output}
    needed = _ancestors(sources, [name], stop=[])
    if needed & {value.name for value in model.graph.input}:
        return None
    value: NDArray[Any] = _run(_extract(model, needed, [], [name], _value_infos(model, [name])), {})[name]
    return value


def _value_infos(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, Any]:
    """Types and shapes of all tensors that have some; the named ones are floats of any shape where they have none."""
    try:
        graph = onnx.shape_inference.infer_shapes(without_weights(model) if is_large(model) else model).graph
    except Exception:  # an operator of another domain, say: ONNX Runtime has the last word
        graph = model.graph
    whole = {output for node in graph.node if node.op_type in ("Shape", "Size") for output in node.output}
    types = {name: onnx.TensorProto.INT64 if name in whole else onnx.TensorProto.FLOAT for name in names}
    unknown_type = {name: onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()}
    return unknown_type | {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}


def _check_names(graph: Any, names: Sequence[str], inputs: Sequence[str], outputs: Sequence[str]) -> None:
    produced = [output for node in graph.node for output in node.output if output]
    for name in names:
        if name in inputs or (name in outputs and set(outputs) <= set(names)):
            kind = "an input" if name in inputs else "the end"
            raise InputError(f"'{name}' is {kind} of the graph: cut at a tensor between input and output")
        if name not in set(produced):
            raise unknown("tensor", name, produced)


def uses(node: Any) -> list[str]:
    """What a node reads, its bodies' tensors from outside included."""
    used = [name for name in node.input if name]
    for body in bodies(node):
        own = {value.name for value in (*body.input, *body.initializer)}
        own |= {weight.values.name for weight in body.sparse_initializer}
        own |= {output for inner in body.node for output in inner.output}
        read = [name for inner in body.node for name in uses(inner)] + [value.name for value in body.output]
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
    graph: Any, sources: Mapping[str, Sequence[str]], names: Sequence[str], front: set[str], back: set[str]
) -> None:
    inputs, outputs = [value.name for value in graph.input], [value.name for value in graph.output]
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
    images = {name for name in carrying if name in inputs}
    if not _images(graph, sources, names):  # a cut before all weights sends such a form itself
        images |= set(_images(graph, sources, carrying))
    missing = [name for name in carrying if name not in images]
    past = [output for output in outputs if not set(names) & _ancestors(sources, [output], stop=names)]
    if past and not missing:
        raise InputError(f"output '{past[0]}' does not come through the cut: cut at a tensor that leads to it, too")
    joined = sorted(name for name in beyond if images & set(sources[name]))
    raise InputError(
        f"the cut does not separate the graph: input '{leaking[0]}' still reaches an output through "
        f"{', '.join(repr(name) for name in (missing or joined)[:5])}; {_advice(leaking, missing, images, joined)}"
    )


def _images(graph: Any, sources: Mapping[str, Sequence[str]], names: Iterable[str]) -> list[str]:
    """Those of the tensors that are an input, or one in other units or of another size: no features."""
    mixed = {output for node in graph.node if node.op_type in MIXING for output in node.output}
    return [name for name in names if not mixed & _ancestors(sources, [name], stop=[])]


def _advice(leaking: Sequence[str], missing: Sequence[str], images: set[str], joined: Sequence[str]) -> str:
    if not images:
        return "cut there too"
    form = sorted(images - set(leaking))
    what = f"{', '.join(repr(name) for name in form[:3])}, the input in another form," if form else "the input itself"
    if not missing:
        return f"cut there too, or further on: {what} goes past the cut, which no cut should send"
    places = ", ".join(repr(name) for name in joined[:3])
    return f"cut there too, and at or behind {places}, where {what} goes past the cut"


def save_graph(model: onnx.ModelProto, path: Path) -> list[Path]:
    """Write a graph as an ONNX file; of one that is more than it holds, the weights into another one beside it.

    Returns:
        The files. Raises InputError where that cannot be done.
    """
    try:
        if is_large(model):
            return [path, write_apart(model, path)]
        data = model.SerializeToString()
    except OSError:
        raise
    except Exception as error:  # of protobuf
        raise InputError(f"{path}: cannot be written: {error}") from error
    write_bytes(str(path), data)
    return [path]


def graph_hash(model: onnx.ModelProto) -> str:
    """SHA-256 of a graph with its weights, wherever the file keeps them."""
    try:
        return digest(model)
    except Exception as error:
        raise InputError(f"the graph cannot be written in one piece: {error}") from error


def recomposition_error(model: onnx.ModelProto, cut: Cut, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Largest absolute difference between the whole network's outputs and those of front then back."""
    whole = _run(without_initialisers_as_inputs(model), inputs)
    crossing = {**inputs, **_run(cut.front, inputs)}  # has to live as long as an output that is one of them
    parts = _run(cut.back, crossing)
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
