"""Pipelines side by side on the same images: points that survive an interruption, curves, and what they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.lazy import loader
from midstream.progress import Progress

if TYPE_CHECKING:
    from midstream.compare.results import Results
    from midstream.compare.run import Request, compare

__all__ = ["Progress", "Request", "Results", "compare"]

__getattr__ = loader(__name__, {"Request": "run", "Results": "results", "compare": "run"}, extra="compare")


def __dir__() -> list[str]:
    return __all__
