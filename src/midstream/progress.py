"""What long work tells of itself while it runs."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What long work tells of itself; who listens decides what becomes of it."""

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
