"""What networks are for: the meaning of their outputs, one file a task; a class with a `name` is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from midstream.errors import unknown
from midstream.models.tasks.base import Output, Task
from midstream.models.tasks.tensors import Tensors
from midstream.named import named_subclasses

__all__ = ["Output", "Task", "Tensors", "known_tasks", "task_named"]


@cache
def known_tasks() -> dict[str, type[Task[Any]]]:
    """All tasks by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return named_subclasses(Task)  # type: ignore[type-abstract]


def task_named(name: str) -> Task[Any]:
    """The task of this name. Raises InputError for a name that no task has."""
    if name not in known_tasks():
        raise unknown("task", name, known_tasks())
    return known_tasks()[name]()
