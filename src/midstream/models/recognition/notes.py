"""What was found out about a network, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Notes:
    """Sentences for the user.

    Attributes:
        recognised: what the file itself says.
        guessed: what is usual for such a network, each with how to check it.
        warnings: what does not look right.
    """

    recognised: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: Notes) -> None:
        """Take over what another one has."""
        for mine, theirs in zip(self._lists(), other._lists(), strict=True):
            mine.extend(theirs)

    def remove(self, other: Notes) -> None:
        """Take back what `add` took over."""
        for mine, theirs in zip(self._lists(), other._lists(), strict=True):
            for line in theirs:
                mine.remove(line)

    def _lists(self) -> Iterable[list[str]]:
        return self.recognised, self.guessed, self.warnings
