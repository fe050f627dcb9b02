"""Progress: what long work says of itself while it runs. Whoever listens decides what is shown, and where."""

from __future__ import annotations

import logging
from typing import Protocol


class Progress(Protocol):
    """What long work calls."""

    def stage(self, what: str, total: int | None = None) -> None:
        """The next `total` steps are about `what`; None where nobody knows how many."""
        ...

    def step(self, detail: str = "") -> None:
        """One of them is done."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line: a point is done, a choice was made."""
        ...

    def warn(self, text: str) -> None:
        """Something that is worth a line also to those who want no progress: what has failed or was left out."""
        ...


class _Silent:
    """Nobody listens."""

    def stage(self, what: str, total: int | None = None) -> None: ...
    def step(self, detail: str = "") -> None: ...
    def say(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...


#: Of work that nobody watches.
SILENT: Progress = _Silent()


class _Logged:
    """Stages and lines are information, warnings are warnings; steps are not told."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def stage(self, what: str, total: int | None = None) -> None:
        self._log.info("%s", what if total is None else f"{what}: {total}")

    def step(self, detail: str = "") -> None: ...
    def say(self, text: str) -> None:
        self._log.info("%s", text)

    def warn(self, text: str) -> None:
        self._log.warning("%s", text)


def logged(log: logging.Logger) -> Progress:
    """Of work that is called from Python, where nobody else listens: into a log of the standard library's."""
    return _Logged(log)
