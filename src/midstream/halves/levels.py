"""Which levels of a pyramid cross from the device to the server."""

from __future__ import annotations

from midstream.models import FloatPyramid, SplitModel


def sent(model: SplitModel, pyramid: FloatPyramid) -> FloatPyramid:
    """The levels that are coded: those that cannot be derived from others."""
    return {name: values for name, values in pyramid.items() if name not in model.derived}


def completed(model: SplitModel, received: FloatPyramid, levels: list[str]) -> FloatPyramid:
    """All of `levels`, in this order, derived where they were not sent."""
    return {name: received[name] if name in received else model.derived[name].compute(received) for name in levels}
