"""Tables: the columns of what a job reads and of what it writes, and detections as nested columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from midstream.errors import MissingExtraError
from midstream.masks import run_bytes
from midstream.models import FloatPyramid, Output, SplitModel, Task
from midstream.models.detections import Detections, category_of
from midstream.models.tasks.detection import Detection

try:
    import pyarrow as pa
except ImportError as error:
    raise MissingExtraError("a batch job", "ray") from error

JobKind = Literal["encode", "decode", "eval"]

#: Columns of what networks find: of detectors, and of all others.
DETECTIONS, OUTPUTS = "detections", "outputs"
#: The same of pyramids that were not coded.
UNCOMPRESSED, UNCOMPRESSED_OUTPUTS = "uncompressed", "uncompressed_outputs"

#: One input. `key` is a hash of name and content, unique; `sha256` that of the content alone. `data` is an image's
#: file, or a bitstream; where `raw` is set, 8-bit RGB of `height` x `width`. `height` and `width` are the image's,
#: null where only the file knows them. Of a group of frames, `data` says where they are (`midstream.batch.groups`), or
#: is the file of a clip (.midv) with frames of these `numbers`. `error` says why there is no content.
INPUT = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("data", pa.large_binary()),
        pa.field("raw", pa.bool_(), nullable=False),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("numbers", pa.list_(pa.int64())),
        pa.field("error", pa.string()),
    ]
)

_SHAPE = pa.struct(
    [("level", pa.string()), ("channels", pa.int32()), ("height", pa.int32()), ("width", pa.int32())]
)  # fmt: skip
_MASK = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("counts", pa.binary())])
_DETECTION = pa.struct(
    [
        ("name", pa.string()), ("label", pa.int64()), ("category_id", pa.int64()), ("score", pa.float32()),
        ("left", pa.float32()), ("top", pa.float32()), ("right", pa.float32()), ("bottom", pa.float32()),
        ("mask", _MASK), ("keypoints", pa.list_(pa.float32())),
    ]
)  # fmt: skip
#: An array of an output that is no detections; `values` little-endian, the last axis fastest.
_TENSOR = pa.struct(
    [("name", pa.string()), ("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("values", pa.large_binary())]
)

#: What a table of results may hold, in this order; docs/scaling.md explains the columns.
_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.string(),
    "id": pa.string(),
    "sha256": pa.string(),
    "height": pa.int32(),
    "width": pa.int32(),
    "shapes": pa.list_(_SHAPE),
    "elements": pa.int64(),
    "input_bytes": pa.int64(),
    "bitstream": pa.binary(),
    "bytes": pa.int64(),
    "payload_bytes": pa.int64(),
    "pyramid": pa.large_binary(),
    DETECTIONS: pa.list_(_DETECTION),
    OUTPUTS: pa.list_(_TENSOR),
    UNCOMPRESSED: pa.list_(_DETECTION),
    UNCOMPRESSED_OUTPUTS: pa.list_(_TENSOR),
    "front_ms": pa.float64(),
    "encode_ms": pa.float64(),
    "decode_ms": pa.float64(),
    "back_ms": pa.float64(),
}
_COMMON = ("key", "id", "sha256", "height", "width", "shapes", "elements", "bytes")
_OWN: dict[JobKind, tuple[str, ...]] = {
    "encode": ("bitstream", "front_ms", "encode_ms"),
    "decode": (DETECTIONS, "decode_ms", "back_ms"),
    "eval": (
        "input_bytes", "bitstream", "payload_bytes", DETECTIONS, UNCOMPRESSED,
        "front_ms", "encode_ms", "decode_ms", "back_ms",
    ),
}  # fmt: skip
#: Of a group of frames, and of each of them in its column `frames`; a frame without bytes has an `error`.
_GROUP_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.string(),
    "id": pa.string(),
    "sha256": pa.string(),
    "first_frame": pa.int64(),
    "frame_count": pa.int32(),
    "failed_frames": pa.int32(),
    "bytes": pa.int64(),
    "bitstream": pa.binary(),
}
_FRAME_COLUMNS: dict[str, pa.DataType] = {
    "frame": pa.int64(),
    "time_s": pa.float64(),
    "key": pa.bool_(),
    **{name: of for name, of in _COLUMNS.items() if name not in {*_GROUP_COLUMNS, "shapes", "pyramid"}},
    "bytes": pa.int64(),
    "error": pa.string(),
}
_OF_EACH_FRAME = ("frame", "time_s", "key", "height", "width", "elements", "bytes", "error")
#: The table of inputs that failed.
FAILURES = pa.schema([(name, pa.string()) for name in ("key", "id", "sha256", "error")])


#: Where a network is no detector.
_INSTEAD = {DETECTIONS: OUTPUTS, UNCOMPRESSED: UNCOMPRESSED_OUTPUTS}


def columns_for(task: Task[Any]) -> tuple[str, str]:
    """The columns of what a network finds, coded and uncompressed."""
    return (DETECTIONS, UNCOMPRESSED) if isinstance(task, Detection) else (OUTPUTS, UNCOMPRESSED_OUTPUTS)


def results(kind: JobKind, task: Task[Any], pyramids: bool = False, groups: bool = False) -> pa.Schema:
    """The columns of a job's table of results.

    Args:
        kind, task: of the job and of its network.
        pyramids: with what was decoded, as safetensors.
        groups: a row is a group of frames.
    """
    own = _OWN[kind] if isinstance(task, Detection) else [_INSTEAD.get(name, name) for name in _OWN[kind]]
    if groups:
        in_frame = {*_OF_EACH_FRAME, *own}
        frame = pa.struct([(name, of) for name, of in _FRAME_COLUMNS.items() if name in in_frame])
        columns = [(name, of) for name, of in _GROUP_COLUMNS.items() if name != "bitstream" or name in own]
        return pa.schema([*columns, ("frames", pa.list_(frame))])
    kept = {*_COMMON, *own, *(["pyramid"] if pyramids else [])}
    return pa.schema([(name, kind_of) for name, kind_of in _COLUMNS.items() if name in kept])


def outcome(kind: JobKind, task: Task[Any], pyramids: bool = False, groups: bool = False) -> pa.Schema:
    """What a worker returns: results, with an `error` in the rows of inputs that failed."""
    return results(kind, task, pyramids, groups).append(FAILURES.field("error"))


def shapes_of(pyramid: FloatPyramid) -> list[dict[str, Any]]:
    """The value of `shapes`."""
    return [
        {"level": name, "channels": shape[0], "height": shape[1], "width": shape[2]}
        for name, shape in ((name, values.shape) for name, values in pyramid.items())
    ]


def output_rows(network: SplitModel, output: Output) -> list[dict[str, Any]]:
    """The value of the network's column of `columns_for`."""
    if isinstance(output, Detections):
        return detection_rows(output, network.classes, network.category_ids)
    arrays = network.task.pack(output)
    return [
        {
            "name": name,
            "dtype": values.dtype.name,
            "shape": list(values.shape),
            "values": values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(),
        }
        for name, values in arrays.items()
    ]


def read_outputs(network: SplitModel, column: pa.ChunkedArray) -> list[Output]:
    """What `output_rows` made rows of, one an image."""
    if isinstance(network.task, Detection):
        return list(read_detections(column, network.has_masks))
    return [network.task.unpack({row["name"]: _array(row) for row in rows}) for rows in column.to_pylist()]


def _array(row: Mapping[str, Any]) -> NDArray[Any]:
    values = np.frombuffer(row["values"], np.dtype(row["dtype"]).newbyteorder("<"))
    return values.astype(np.dtype(row["dtype"])).reshape(row["shape"])


def detection_rows(
    found: Detections, classes: Sequence[str], category_ids: Sequence[int] | None
) -> list[dict[str, Any]]:
    """The value of `detections`, best score first; `classes` and `category_ids` as the network has them."""
    sides = ("left", "top", "right", "bottom")
    masks = [None] * len(found) if found.masks is None else [_mask_row(mask) for mask in found.masks]
    points_of = [None] * len(found) if found.keypoints is None else [p.ravel().tolist() for p in found.keypoints]
    names = [category_of(label, classes, category_ids) for label in found.labels.tolist()]
    return [
        {
            "name": name,
            "label": label,
            "category_id": category_id,
            "score": score,
            **dict(zip(sides, box, strict=True)),
            "mask": mask,
            "keypoints": points,
        }
        for (name, category_id), label, score, box, mask, points in zip(
            names, found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), masks, points_of, strict=True
        )
    ]


def _mask_row(mask: Mapping[str, Any]) -> dict[str, Any]:
    return {"height": mask["size"][0], "width": mask["size"][1], "counts": run_bytes(mask)}


def read_detections(column: pa.ChunkedArray, has_masks: bool) -> list[Detections]:
    """What `detection_rows` made rows of, one an image, from a column of `detections`."""
    values = column.combine_chunks()
    flat = values.flatten()
    ends = np.concatenate(([0], np.cumsum(values.value_lengths().to_numpy(zero_copy_only=False)))).tolist()
    boxes = np.stack([_floats(flat, side) for side in ("left", "top", "right", "bottom")], axis=1)
    scores, labels = _floats(flat, "score"), flat.field("label").to_numpy(zero_copy_only=False).astype(np.int64)
    masks = [_mask(row) for row in flat.field("mask").to_pylist()] if has_masks else None
    points = flat.field("keypoints").to_pylist() if "keypoints" in {field.name for field in flat.type} else []
    return [
        Detections(
            boxes[i:j], scores[i:j], labels[i:j], masks[i:j] if masks is not None else None, _points(points[i:j])
        )
        for i, j in pairwise(ends)
    ]


def _points(rows: Sequence[Sequence[float] | None]) -> NDArray[np.float32] | None:
    if not rows or rows[0] is None:
        return None
    return np.array(rows, np.float32).reshape(len(rows), -1, 3)


def _floats(flat: pa.StructArray, name: str) -> Any:
    return flat.field(name).to_numpy(zero_copy_only=False).astype(np.float32)


def _mask(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": [row["height"], row["width"]], "counts": row["counts"]}
