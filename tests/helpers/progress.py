"""Progress that nobody sees."""

from __future__ import annotations


class Quiet:
    """Progress that is remembered."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.said: list[str] = []

    def stage(self, what: str, total: int | None = None) -> None:
        self.stages.append((what, total))

    def step(self, detail: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)
