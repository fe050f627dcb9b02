"""Metrics, one file a family; a class with a `name` is found without being listed anywhere."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from midstream.metrics.base import Metric
from midstream.named import named_subclasses


@cache
def known_metrics() -> dict[str, type[Metric]]:
    """All metrics by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return named_subclasses(Metric)
