"""Answers as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midstream.data.frames import Frame
from midstream.errors import ServiceError
from midstream.models import Task
from midstream.serve.flights import Answer

_MILLISECONDS = 1e3
_DIGITS = 3


def answered(
    frame: Frame,
    answer: Answer,
    latency_s: float,
    task: Task[Any],
    classes: Sequence[str],
    category_ids: Sequence[int] | None,
) -> dict[str, Any]:
    """The line of a frame that the server has answered, be it with an error.

    `task`, `classes` and `category_ids` are the network's, see `models.SplitModel`.
    """
    times = {"queue": answer.queue_s, "decode": answer.decode_s, "back": answer.back_s}
    return {
        **_head(frame),
        **({"error": _error(answer.error)} if answer.error is not None else {}),
        **({} if answer.output is None else task.listed(answer.output, classes, category_ids)),
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


def _ms(value_s: float) -> float:
    return round(value_s * _MILLISECONDS, _DIGITS)
