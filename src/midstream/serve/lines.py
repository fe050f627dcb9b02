"""Answers as JSON lines: each is written whole, or the file ends with the one before."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any

from midstream.errors import InputError, ServiceError
from midstream.files import STANDARD, check_writable
from midstream.masks import run_bytes
from midstream.models.detections import Detections, category_of, coco_entries
from midstream.serve.session import Answer
from midstream.serve.sources import Frame

_MILLISECONDS = 1e3
_DIGITS = 3


class Lines:
    """A file of JSON lines."""

    def __init__(self, path: str) -> None:
        """Touch nothing yet; `-` is standard output. Raises InputError for what cannot be written."""
        check_writable(path)
        self.path, self.count, self._size = path, 0, 0
        self._file: int | None = None

    def begin(self) -> None:
        """Open the file, empty. Raises InputError."""
        if self.path == STANDARD:
            sys.stdout.flush()
            self._file = os.dup(sys.stdout.fileno())
            return
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file. Raises InputError where the system has only now found that it is full."""
        if self._file is None:
            return
        try:
            os.close(self._file)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def write(self, line: dict[str, Any]) -> None:
        """Write a line at once. Raises InputError; the file then has the lines before, and no part of this one."""
        data = memoryview((json.dumps(line, allow_nan=False) + "\n").encode())
        written = 0
        assert self._file is not None
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except BrokenPipeError:  # the reader has gone: no mistake of this program's user
            raise
        except OSError as error:
            if self.path != STANDARD and stat.S_ISREG(os.fstat(self._file).st_mode):
                os.ftruncate(self._file, self._size)
            reason = f"{self.path}: cannot be written: {error.strerror}; the first {self.count} answers are whole"
            raise InputError(reason) from error
        self._size += written
        self.count += 1


def answered(
    frame: Frame, answer: Answer, latency_s: float, classes: Sequence[str], category_ids: Sequence[int] | None
) -> dict[str, Any]:
    """The line of a frame that the server has answered, be it with an error.

    `classes` and `category_ids` are the network's, see `models.SplitModel`.
    """
    times = {"queue": answer.queue_s, "decode": answer.decode_s, "back": answer.back_s}
    return {
        **_head(frame),
        **({"error": _error(answer.error)} if answer.error is not None else {}),
        **({"detections": _objects(answer.detections, classes, category_ids)} if answer.detections is not None else {}),
        "bytes": answer.size,
        "latency_ms": _ms(latency_s),
        "server_ms": {name: _ms(value) for name, value in times.items()},
    }


def unreadable(frame: Frame) -> dict[str, Any]:
    """The line of a frame that was never sent."""
    return {**_head(frame), "error": {"code": "UNREADABLE", "message": frame.problem}}


def _head(frame: Frame) -> dict[str, Any]:
    head: dict[str, Any] = {"frame": frame.number, "source": frame.name}
    if frame.time_s is not None:
        head["time_s"] = frame.time_s
    if frame.image is not None:
        head["height"], head["width"] = frame.image.shape[:2]
    return head


def _error(error: ServiceError) -> dict[str, str]:
    return {"code": error.code, "message": str(error)}


def _objects(found: Detections, classes: Sequence[str], category_ids: Sequence[int] | None) -> list[dict[str, Any]]:
    """COCO's results but for `image_id`, with the class's name, and its index as `label`; the score is float32.

    `category_id` is the data set's, so there is none where the network does not know it.
    """
    objects = []
    for entry in coco_entries(0, found):
        label = entry["category_id"]
        name, category_id = category_of(label, classes, category_ids)
        one: dict[str, Any] = {"category": name, "label": label}
        if category_id is not None:
            one["category_id"] = category_id
        one |= {"score": entry["score"], "bbox": entry["bbox"]}
        if (mask := entry.get("segmentation")) is not None:
            one["segmentation"] = {"size": list(mask["size"]), "counts": run_bytes(mask).decode("ascii")}
        objects.append(one)
    return objects


def _ms(value_s: float) -> float:
    return round(value_s * _MILLISECONDS, _DIGITS)
