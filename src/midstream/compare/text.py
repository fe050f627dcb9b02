"""Figures with their intervals, as text for tables."""

from __future__ import annotations

from midstream.compare.results import Bounds, Comparison, Run
from midstream.wording import counted


def figure(value: float | None, bounds: Bounds | None, refusal: str | None, form: str, unit: str = "") -> str:
    """`value [low, high]`, or the beginning of the reason why there is none."""
    if value is None:
        return "" if refusal is None else refusal.partition(":")[0]
    shown = f"{value:{form}}{unit}"
    return shown if bounds is None else f"{shown} [{bounds.low:{form}}, {bounds.high:{form}}]"


def averaged_over(comparison: Comparison) -> str:
    """The accuracies that a BD-rate is averaged over, as a small part of the range says little; empty without one."""
    if comparison.overlap is None or comparison.overlap_share is None:
        return ""
    low, high = comparison.overlap
    return f"over {low:.1f} to {high:.1f}, {comparison.overlap_share:.0%} of the range"


def unit(run: Run) -> str:
    """What a mean is of: `image` or `frame`."""
    return "image" if run.clips is None else "frame"


def measured_on(run: Run) -> str:
    """How many images, or frames of clips."""
    if run.clips is None:
        return counted(run.images, "image")
    return f"{counted(run.images, 'frame')} of {counted(run.clips, 'clip')}"
