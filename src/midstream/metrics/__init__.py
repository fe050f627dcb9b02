"""Metrics, one file a family; a class with a `name` is found without being listed anywhere."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from midstream.metrics.base import AnyCase, Metric
from midstream.named import named_subclasses


@cache
def known_metrics() -> dict[str, type[Metric[Any]]]:
    """All metrics by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return named_subclasses(Metric)


def applying(case: AnyCase) -> list[Metric[Any]]:
    """The metrics that can score a case."""
    metrics = (each() for each in known_metrics().values() if isinstance(case, each.of))
    return [metric for metric in metrics if metric.applies(case)]
