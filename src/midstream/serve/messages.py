"""Between the service's messages and the project's own types, and whether two sides fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.container import VERSION
from midstream.errors import InputError
from midstream.masks import check_mask, run_bytes
from midstream.models import Detections, Output, SplitModel, Task
from midstream.models.detector_heads import MOST_DETECTIONS
from midstream.models.tasks import task_named
from midstream.models.tasks.detection import Detection
from midstream.models.tasks.tensors import KnownTensor, Tensors, fault_of
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.work import Done
from midstream.version import __version__
from midstream.wording import readable

#: Metadata of every call: the cut graph whose features the client sends.
CUT_KEY = "midstream-cut"
#: Metadata with which gRPC servers say when to try again, in milliseconds.
PUSHBACK_KEY = "grpc-retry-pushback-ms"
#: Characters of a session's name.
MOST_SESSION = 64
_MICROSECONDS = 1e6
#: Of a hash that people read.
_SHORT = 16
#: What rounding may add to a score.
_SCORE_SLACK = 1e-3
#: Element types of tensors in answers.
_DTYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
)  # fmt: skip
#: Of a tensor; ONNX Runtime's own operators stop at eight or so.
_MOST_AXES = 16
#: Of a tensor, with an axis of none counted as one: NumPy refuses arrays by it. More than any message holds.
_MOST_ENTRIES = 1 << 31
#: Pixels from the image's corner, farther than any image that is decoded is wide.
_FAR = 1e6


def side(model: SplitModel, profile: str) -> pb.Side:
    """What one side has; `profile` is the key of the profile that it needs of the other, or empty."""
    return pb.Side(
        release=__version__,
        format_version=VERSION,
        network=model.name,
        cut=model.fingerprint,
        profile=profile,
    )


def mismatch(client: pb.Side, server: pb.Side) -> str:
    """Why the two halves do not fit, saying which side has what; empty if they do."""
    if client.format_version and client.format_version != server.format_version:
        return (
            f"the client writes bitstreams of version {client.format_version} (midstream {client.release}), the "
            f"server reads version {server.format_version} (midstream {server.release}): use the same release"
        )
    if client.cut and client.cut != server.cut:
        return (
            f"the client sends features of {client.network}, cut graph {client.cut[:_SHORT]}; the server runs "
            f"{server.network}, cut graph {server.cut[:_SHORT]}: use the same --model and weights on both sides"
        )
    if client.profile and client.profile != server.profile:
        return (
            f"the client codes with the profile {client.profile}, the server has {server.profile or 'no profile'}: "
            "give both the same --profile"
        )
    return ""


def to_message(found: Detections) -> pb.Detections:
    """Detections for the network; float32 stays float32."""
    masks = [pb.Mask(height=m["size"][0], width=m["size"][1], counts=run_bytes(m)) for m in found.masks or []]
    return pb.Detections(
        boxes=found.boxes.ravel().tolist(),
        scores=found.scores.tolist(),
        labels=found.labels.tolist(),
        masks=masks,
        keypoints=[] if found.keypoints is None else found.keypoints.ravel().tolist(),
    )


def from_message(message: pb.Detections, has_masks: bool) -> Detections:
    """Detections from the network. Raises InputError where the message contradicts itself."""
    count = len(message.scores)
    numbers = (len(message.boxes), len(message.labels), len(message.masks))
    if numbers != (4 * count, count, count if has_masks else 0):
        raise InputError("the server's answer has boxes, scores, labels and masks of different numbers")
    if count > MOST_DETECTIONS:
        raise InputError(f"the server's answer has {count:,} detections, more than {MOST_DETECTIONS:,}")
    masks = [{"size": [mask.height, mask.width], "counts": mask.counts} for mask in message.masks]
    return Detections(
        np.array(message.boxes, np.float32).reshape(count, 4),
        np.array(message.scores, np.float32),
        np.array(message.labels, np.int64),
        masks if has_masks else None,
        _keypoints(message, count),
    )


def _keypoints(message: pb.Detections, count: int) -> NDArray[np.float32] | None:
    if not message.keypoints:
        return None
    if not count or len(message.keypoints) % (3 * count):
        raise InputError("the server's answer has keypoints that are not as many for each box")
    return np.array(message.keypoints, np.float32).reshape(count, -1, 3)


def set_output(reply: pb.InferReply, task: Task[Any], output: Output) -> None:
    """Put an output into an answer."""
    if isinstance(output, Detections):
        reply.detections.CopyFrom(to_message(output))
        return
    arrays = {name: np.ascontiguousarray(values) for name, values in task.pack(output).items()}
    tensors = [
        pb.Tensor(name=name, dtype=values.dtype.name, shape=values.shape, values=_little(values).tobytes())
        for name, values in arrays.items()
    ]
    reply.tensors.CopyFrom(pb.Tensors(tensors=tensors))


def output_of(reply: pb.InferReply, offer: pb.DescribeReply, size: tuple[int, int]) -> Output:
    """The output in an answer about an image of (height, width), held against the server's greeting.

    Raises:
        InputError: an answer that contradicts itself or the greeting.
    """
    task = offered_task(offer)
    if isinstance(task, Detection):
        if not reply.HasField("detections"):
            raise InputError("the server's answer has neither detections nor an error")
        found = from_message(reply.detections, offer.has_masks)
        check_answer(found, len(offer.classes), size)
        return found
    if not reply.HasField("tensors"):
        raise InputError("the server's answer has neither outputs nor an error")
    arrays = {each.name: _array(each) for each in reply.tensors.tensors}
    if len(arrays) != len(reply.tensors.tensors):
        raise InputError("the server's answer has two tensors of one name")
    output: Output = task.unpack(arrays)
    fault = task.fault(output, len(offer.classes))
    if not fault and isinstance(output, Tensors):
        fault = fault_of([_known(each) for each in offer.outputs], output)
    if fault:
        raise InputError(f"the server's answer is no output of its network: {fault}")
    return output


def outputs(known: Sequence[KnownTensor]) -> list[pb.Output]:
    """For the greeting."""
    return [
        pb.Output(name=each.name, dtype=each.dtype, shape=each.shape or (), any_shape=each.shape is None)
        for each in known
    ]


def _known(message: pb.Output) -> KnownTensor:
    return KnownTensor(readable(message.name), message.dtype, None if message.any_shape else tuple(message.shape))


def offered_task(offer: pb.DescribeReply) -> Task[Any]:
    """What a server's answers are. Raises InputError."""
    return task_named(_task(offer))


def _task(offer: pb.DescribeReply) -> str:
    """Its name; servers of earlier releases have only detectors."""
    return readable(offer.task)[:MOST_SESSION] or Detection.name


def change(before: pb.DescribeReply, now: pb.DescribeReply) -> str:
    """What the answers of a server mean now, and did not at an earlier greeting; empty for no difference."""
    if _task(before) != _task(now):
        return f"its task is '{_task(now)}', and was '{_task(before)}'"
    if len(before.classes) != len(now.classes):
        return f"the number of its classes is {len(now.classes):,}, and was {len(before.classes):,}"
    for number, (old, new) in enumerate(zip(before.classes, now.classes, strict=True)):
        if old != new:
            return f"its class {number} is '{new[:MOST_SESSION]}', and was '{old[:MOST_SESSION]}'"
    if before.has_masks != now.has_masks:
        return f"it finds {'masks, and found none' if now.has_masks else 'no masks, and found some'}"
    if list(before.outputs) != list(now.outputs):
        return "its answers have other tensors, or of other types or shapes"
    return ""


def _little(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


def _array(message: pb.Tensor) -> NDArray[Any]:
    if message.dtype not in _DTYPES:
        raise InputError(f"the server's answer has a tensor of type '{readable(message.dtype)}'")
    dtype = np.dtype(message.dtype).newbyteorder("<")
    if len(message.shape) > _MOST_AXES or math.prod(max(side, 1) for side in message.shape) > _MOST_ENTRIES:
        raise InputError(f"the server's answer has a tensor of a shape that none has, of {len(message.shape)} axes")
    if math.prod(message.shape) * dtype.itemsize != len(message.values):
        raise InputError("the server's answer has a tensor that is not as long as its shape says")
    return np.frombuffer(message.values, dtype).astype(np.dtype(message.dtype)).reshape(tuple(message.shape))


def check_answer(found: Detections, classes: int, size: tuple[int, int]) -> None:
    """Refuse what no network with so many classes finds in an image of (height, width).

    Raises:
        InputError: classes that do not exist, boxes or scores that are not finite or impossible, masks that are not
            the image's.
    """
    if not found.finite:
        raise InputError("the server's answer has boxes or scores that are not finite numbers")
    if ((found.scores < -_SCORE_SLACK) | (found.scores > 1 + _SCORE_SLACK)).any():
        raise InputError("the server's answer has scores outside of 0 to 1")
    if (found.boxes[:, 2:] < found.boxes[:, :2]).any() or (np.abs(found.boxes) > _FAR).any():
        raise InputError("the server's answer has boxes that end before they begin, or far outside of any image")
    if (found.labels >= classes).any():
        raise InputError(f"the server's answer has class {found.labels.max()}; the server's network has {classes}")
    for mask in found.masks or []:
        try:
            check_mask(mask, *size)
        except InputError as error:
            raise InputError(f"the server's answer has an unusable mask: {error}") from error


def check_offer(offer: pb.DescribeReply) -> None:
    """Refuse a greeting with which no frame could ever be sent. Raises InputError."""
    if not (offer.max_in_flight and offer.max_message_bytes):
        raise InputError("the server's greeting lets no frame through: it is not one of midstream")


def timings(queue_s: float, done: Done) -> pb.Timings:
    """Of a frame, for the network."""
    return pb.Timings(
        queue_us=int(queue_s * _MICROSECONDS),
        decode_us=int(done.decode_s * _MICROSECONDS),
        back_us=int(done.back_s * _MICROSECONDS),
    )
