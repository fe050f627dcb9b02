"""Words of messages that depend on figures."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """How many there are of something: `1 image`, `2 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
