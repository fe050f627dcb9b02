"""Attributes that are made when they are first asked for."""

from __future__ import annotations

import threading

import pytest

from midstream.cached import cached_property


class Slow:
    """Makes its attribute when it may."""

    def __init__(self) -> None:
        self.begun, self.may, self.made = threading.Event(), threading.Event(), 0

    @cached_property
    def value(self) -> int:
        """How often it was made."""
        self.begun.set()
        assert self.may.wait(30)
        self.made += 1
        return self.made


def test_it_is_made_once() -> None:
    one = Slow()
    one.may.set()
    assert [one.value, one.value, one.made] == [1, 1, 1]
    with pytest.raises(AttributeError):
        _ = one.values  # type: ignore[attr-defined]


def test_an_object_does_not_wait_for_the_attribute_of_another() -> None:
    """Nor does a process that is forked meanwhile."""
    one, other = Slow(), Slow()
    thread = threading.Thread(target=lambda: one.value)
    thread.start()
    assert one.begun.wait(30)
    other.may.set()
    asking = threading.Thread(target=lambda: other.value, daemon=True)
    asking.start()
    asking.join(10)
    assert other.made == 1
    one.may.set()
    thread.join()
    assert one.value == 1
