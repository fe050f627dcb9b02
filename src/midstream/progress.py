"""Progress: what long work says of itself while it runs. Whoever listens decides what is shown, and where."""

from __future__ import annotations

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
