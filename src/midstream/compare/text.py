"""Figures with their intervals, as text for tables."""

from __future__ import annotations

from midstream.compare.results import Bounds


def figure(value: float | None, bounds: Bounds | None, refusal: str | None, form: str, unit: str = "") -> str:
    """`value [low, high]`, or the beginning of the reason why there is none."""
    if value is None:
        return "" if refusal is None else refusal.partition(":")[0]
    shown = f"{value:{form}}{unit}"
    return shown if bounds is None else f"{shown} [{bounds.low:{form}}, {bounds.high:{form}}]"
