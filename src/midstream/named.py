"""Registries without lists: classes that have a `name` of their own, found by their base."""

from __future__ import annotations

from typing import Any, TypeVar

_T = TypeVar("_T")


def named_subclasses(base: type[_T]) -> dict[str, type[_T]]:
    """All subclasses, at any depth, that define `name` themselves; by that name, in its order."""
    found: dict[str, Any] = {}
    waiting: list[type[_T]] = [base]
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        if "name" in each.__dict__:
            found[each.__dict__["name"]] = each
    return dict(sorted(found.items()))
