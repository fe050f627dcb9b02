"""Graphs of more than 2 GiB, which no protobuf message holds: their weights lie in a file beside the graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import onnx
import onnx.numpy_helper

from midstream.files import write_bytes

#: What a message can hold, with room for the protobuf libraries that count differently.
MOST_BYTES = (1 << 31) - (1 << 20)
#: Weights of fewer bytes stay in the graph.
_LEAST = 1 << 10
#: ONNX Runtime maps weights into memory, from multiples of this.
_ALIGNMENT = 1 << 16
#: Beside NAME.onnx.
_ENDING = ".data"


def is_large(model: onnx.ModelProto) -> bool:
    """Whether a graph is more than one message holds."""
    weights = sum(len(weight.raw_data) for weight in model.graph.initializer)
    if weights < MOST_BYTES // 2:
        return model.ByteSize() > MOST_BYTES
    return weights + without_weights(model).ByteSize() > MOST_BYTES


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with large weights only named, as ones that lie elsewhere: for whoever asks for shapes and nodes."""
    return _apart(model, lambda _: None)


def _apart(model: onnx.ModelProto, place: Any) -> onnx.ModelProto:
    """The graph without large weights; `place(bytes)` says where they lie, (offset, file name)."""
    bare = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    bare.metadata_props.extend(model.metadata_props)
    bare.graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(bare.graph, field).extend(getattr(model.graph, field))
    for weight in model.graph.initializer:
        if len(weight.raw_data) < _LEAST:
            bare.graph.initializer.append(weight)
            continue
        stub = bare.graph.initializer.add(name=weight.name, data_type=weight.data_type, dims=weight.dims)
        stub.data_location = onnx.TensorProto.EXTERNAL
        where = place(weight.raw_data)
        entries = {} if where is None else dict(zip(("offset", "location"), where, strict=True))
        entries |= {"length": len(weight.raw_data)}
        for key, value in entries.items():
            stub.external_data.add(key=key, value=str(value))
    return bare


def write_apart(model: onnx.ModelProto, path: Path) -> Path:
    """Write a graph as `path` and its weights as a file beside it, whose path is returned."""
    beside = path.with_name(path.name + _ENDING)

    def placed(file: BinaryIO, data: bytes) -> tuple[int, str]:
        file.write(bytes(-file.tell() % _ALIGNMENT))
        start = file.tell()
        file.write(data)
        return start, beside.name

    with beside.open("wb") as file:
        bare = _apart(model, lambda data: placed(file, data))
    write_bytes(str(path), bare.SerializeToString())
    return beside


@contextmanager
def written(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """The graph as ONNX Runtime takes it: its bytes, or the path of a file that is there for so long."""
    if not is_large(model):
        yield model.SerializeToString()
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        write_apart(model, path)
        yield str(path)


def digest(model: onnx.ModelProto) -> str:
    """SHA-256 of a graph with its weights."""
    if not is_large(model):
        return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    found = hashlib.sha256(without_weights(model).SerializeToString(deterministic=True))
    for weight in model.graph.initializer:
        found.update(hashlib.sha256(weight.raw_data).digest())
    return found.hexdigest()
