"""Words of messages: those that depend on figures, and those that somebody else wrote."""

from __future__ import annotations

#: Characters of somebody else's text.
_MOST = 300


def counted(count: int, noun: str) -> str:
    """How many there are of something: `1 image`, `2 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def readable(text: str) -> str:
    """What somebody else wrote, as it may be shown or sent on: one line, printable, not long."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
