"""Names of a package that are loaded when they are asked for: what one needs must not cost, or fail for, the others."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import update_wrapper
from types import MappingProxyType
from typing import Any

from midstream.errors import MissingExtraError

#: The extra that all the others bring with them.
_IN_ALL = "networks"


def loader(
    package: str, homes: Mapping[str, str], extra: str | None = None, earlier: Mapping[str, str] = MappingProxyType({})
) -> Callable[[str], Any]:
    """`__getattr__` of a package: by public name, the module within the package that has it.

    Args:
        package: its `__name__`.
        homes: public name -> module.
        extra: what brings the packages that these modules import.
        earlier: a name of an earlier release -> the present one; it warns, and the next release no longer knows it.
    """

    def load(name: str) -> Any:
        if name in earlier:
            message = f"{package}.{name} is now {earlier[name]}; the next release no longer knows the earlier name"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return getattr(importlib.import_module(package), earlier[name])
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        with needing(package, extra):
            module = importlib.import_module(f"{package}.{homes[name]}")
        return getattr(module, name)

    return load


class OnceAPackage:
    """A function by the name that a package had in an earlier release; it still gives that package's names, and warns.

    It goes with the next release.
    """

    def __init__(self, function: Callable[..., Any], earlier: Mapping[str, str]) -> None:
        """`earlier`: a name of the earlier package -> the present one, with its package."""
        update_wrapper(self, function)
        self._function, self._earlier = function, earlier

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the function does."""
        return self._function(*args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._earlier:
            raise AttributeError(f"the function '{self.__name__}' has no attribute '{name}'")
        now = self._earlier[name]
        message = f"midstream.{self.__name__}.{name} is now {now}; the next release no longer knows the earlier name"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        package, _, own = now.rpartition(".")
        return getattr(importlib.import_module(package), own)


@contextmanager
def needing(what: str, extra: str | None) -> Iterator[None]:
    """Turn the lack of a package, when something is imported or run within, into the one line that names the extra.

    Args:
        what: the subject of that line.
        extra: None where nothing but the core is needed.

    Raises:
        MissingExtraError: in place of ModuleNotFoundError, unless what is missing is midstream's own or Python's; and
            in place of one that names `networks`, so that nobody installs two extras where the second has the first.
    """
    try:
        yield
    except (ModuleNotFoundError, MissingExtraError) as error:
        if extra is None or not _brought_by_any(error):
            raise
        raise MissingExtraError(what, extra) from error


def _brought_by_any(error: ImportError) -> bool:
    """Whether the extra that is asked for brings what was missed, as far as can be told."""
    if isinstance(error, MissingExtraError):  # of a room further in
        return error.extra == _IN_ALL
    first = (error.name or "midstream").partition(".")[0]
    return first != "midstream" and first not in sys.stdlib_module_names
