"""What a job is, and the one function that does it: a table of inputs in, a table of results out. No Ray here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from midstream.arrays import pack_safetensors
from midstream.batch import schema
from midstream.batch.groups import GROUP_STEPS, timed
from midstream.codec.api import decode, inspect
from midstream.codec.base import Codec
from midstream.codec.calibrated.profile import Profile
from midstream.data.images import image_from
from midstream.errors import InputError, MidstreamError
from midstream.halves.coding import decode_features, encode_features
from midstream.halves.levels import completed
from midstream.halves.round_trip import round_trip
from midstream.models import FloatPyramid, Image, SplitModel
from midstream.models.reference import Reference
from midstream.models.tasks import task_named

Row = dict[str, Any]
#: A GPU where there is one.
AUTO = "auto"
#: Most bytes of a table of results: decoded pyramids are a hundred times larger than the bitstreams that they come
#: from, and a worker should hold few of them.
RESULT_BYTES = 8 << 20


@dataclass(frozen=True)
class Job:
    """What is to be done to every input.

    Attributes:
        kind: `encode`: front and encoder; `decode`: decoder and back; `eval`: all four, and the back of the
            uncompressed pyramid.
        network: which one.
        codec: with its options; None for decoding.
        profile: for decoding what the codec `calibrated` made.
        pyramids: also keep what was decoded.
        device: that the network runs on, see `models.load`; AUTO until it is known what the machines have.
        size: (height, width) of the images whose bitstreams do not say it.
        groups: whether an input is a group of frames of a clip, a key and those after it.
        key_interval: frames of a group at most, where the job makes them.
    """

    kind: schema.JobKind
    network: Reference
    codec: Codec | None
    profile: Profile | None = None
    pyramids: bool = False
    device: str = AUTO
    size: tuple[int, int] | None = None
    groups: bool = False
    key_interval: int | None = None

    @property
    def outcome(self) -> pa.Schema:
        """Of what `work` yields."""
        return schema.outcome(self.kind, task_named(self.network.task), self.pyramids, self.groups)


#: Around the work on the input with a key.
Guard = Callable[[str], AbstractContextManager[None]]


class Worker:
    """A network on one core, and the job; Ray keeps one in each worker process."""

    def __init__(self, job: Job, guard: Guard) -> None:
        """Load the network. Raises as `Reference.load`."""
        cv2.setNumThreads(1)
        self._job, self._guard = job, guard
        self._network = job.network.load(threads=1, device=job.device)

    def __call__(self, inputs: pa.Table) -> Iterator[pa.Table]:
        """As `work`."""
        yield from work(self._network, self._job, inputs, self._guard)


def work(network: SplitModel, job: Job, inputs: pa.Table, guard: Guard = lambda _: nullcontext()) -> Iterator[pa.Table]:
    """Do a job to a batch.

    Args:
        network: of the job.
        job: what to do.
        inputs: a table of `schema.INPUT`.
        guard: entered for every input; may refuse one by a MidstreamError.

    Yields:
        Tables of `schema.outcome`, together one row for each input in the same order: a result, or an `error`. Each
        has no more bytes than RESULT_BYTES or one row.
    """
    rows: list[Row] = []
    held = 0
    for row in _rows(inputs):
        rows.append(_outcome(network, job, row, guard))
        held += len(rows[-1].get("pyramid") or b"") + len(rows[-1].get("bitstream") or b"")
        if held >= RESULT_BYTES:
            yield pa.Table.from_pylist(rows, job.outcome)
            rows, held = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, job.outcome)


def _rows(inputs: pa.Table) -> Iterator[Row]:
    """Row by row, so that no more than one input is copied at a time."""
    for batch in inputs.to_batches():
        for i in range(batch.num_rows):
            yield batch.slice(i, 1).to_pylist()[0]


def _outcome(network: SplitModel, job: Job, row: Row, guard: Guard) -> Row:
    known = {name: row[name] for name in ("key", "id", "sha256")}
    if row["error"] is not None:
        return {**known, "error": row["error"]}
    try:
        with guard(row["key"]):
            return {**known, **(GROUP_STEPS if job.groups else _STEPS)[job.kind](network, job, row)}
    except MidstreamError as error:
        return {**known, "error": str(error)}
    except Exception as error:  # one input of millions must not stop the others, whatever is wrong with it
        return {**known, "error": f"{type(error).__name__}: {error}"}


def _encode(network: SplitModel, job: Job, row: Row) -> Row:
    assert job.codec is not None
    image = _image(row)
    size = (image.shape[0], image.shape[1])
    pyramid, front_ms = timed(network.front, image)
    data, encode_ms = timed(encode_features, network, pyramid, size, job.codec, threads=1)
    return {**_about(size, pyramid, data), "bitstream": data, "front_ms": front_ms, "encode_ms": encode_ms}


def _decode(network: SplitModel, job: Job, row: Row) -> Row:
    data = row["data"]
    size = (row["height"], row["width"]) if row["height"] and row["width"] else job.size
    if size is None:
        raise InputError("the size of the image is not known: give it with --image-size WIDTHxHEIGHT")
    received, decode_ms = timed(decode, data, profile=job.profile, threads=1)
    found, back_ms = timed(network.back, _whole(network, received), size)
    kept = {"pyramid": pack_safetensors(received)} if job.pyramids else {}
    rows, _ = schema.columns_for(network.task)
    about = _about(size, received, data)
    return {**about, **kept, rows: schema.output_rows(network, found), "decode_ms": decode_ms, "back_ms": back_ms}


def _evaluate(network: SplitModel, job: Job, row: Row) -> Row:
    assert job.codec is not None
    image, codec = _image(row), job.codec
    size = (image.shape[0], image.shape[1])
    pyramid, front_ms = timed(network.front, image)
    done = round_trip(
        network,
        pyramid,
        size,
        lambda: encode_features(network, pyramid, size, codec, threads=1),
        lambda data: decode_features(data, codec, threads=1),
    )
    height, width = network.input_size(size)
    coded, uncompressed = schema.columns_for(network.task)
    return {
        **_about(size, pyramid, done.data),
        "input_bytes": height * width * image.shape[2],
        "bitstream": done.data,
        "payload_bytes": inspect(done.data).payload_bytes,
        coded: schema.output_rows(network, done.output),
        uncompressed: schema.output_rows(network, network.back(pyramid, size)),
        "front_ms": front_ms,
        "encode_ms": 1e3 * done.encode_s,
        "decode_ms": 1e3 * done.decode_s,
        "back_ms": 1e3 * done.back_s,
    }


_STEPS: Mapping[schema.JobKind, Callable[[SplitModel, Job, Row], Row]] = {
    "encode": _encode,
    "decode": _decode,
    "eval": _evaluate,
}


def _image(row: Row) -> Image:
    if row["raw"]:
        return np.frombuffer(row["data"], np.uint8).reshape(row["height"], row["width"], 3)
    return image_from(row["data"], row["id"])


def _whole(network: SplitModel, received: FloatPyramid) -> FloatPyramid:
    """With the levels that are derived, behind those that they come from."""
    return completed(network, received, [*received, *(name for name in network.derived if name not in received)])


def _about(size: tuple[int, int], pyramid: FloatPyramid, data: bytes) -> Row:
    return {
        "height": size[0],
        "width": size[1],
        "shapes": schema.shapes_of(pyramid),
        "elements": sum(values.size for values in pyramid.values()),
        "bytes": len(data),
    }
