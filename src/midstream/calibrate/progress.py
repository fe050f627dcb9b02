"""What a calibration tells of itself while it runs."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a calibration tells of itself."""

    def stage(self, what: str, total: int) -> None:
        """The next `total` steps are about `what`."""
        ...

    def step(self, detail: str = "") -> None:
        """One of them is done."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line."""
        ...
