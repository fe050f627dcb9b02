"""Words of messages: those that depend on figures, and those that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable

#: Characters of somebody else's text.
_MOST = 300


def counted(count: int, noun: str) -> str:
    """How many there are of something: `1 image`, `2 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def readable(text: str) -> str:
    """What somebody else wrote, as it may be shown or sent on: one line, printable, not long."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."


class InARow:
    """What is wrong with frames of a source: of several in a row with the same fault, one line when the row ends.

    Use as a context, whose end is the end of any row.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Nothing yet; `tell` is given lines such as `frames 3 to 11: ...`."""
        self._tell = tell
        self._first = self._last = 0
        self._fault = ""

    def __enter__(self) -> InARow:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def add(self, number: int, fault: str) -> None:
        """Of the frame with this number."""
        if fault != self._fault or number != self._last + 1:
            self.end()
            self._first, self._fault = number, fault
        self._last = number

    def end(self) -> None:
        """Tell what has not been told."""
        if self._fault:
            which = f"frame {self._first}" if self._first == self._last else f"frames {self._first} to {self._last}"
            self._tell(f"{which}: {self._fault}")
        self._fault = ""
