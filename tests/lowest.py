"""Hold the environment to the lower bounds in pyproject.toml: `python tests/lowest.py EXTRA,... GROUP`.

A bound below what the other bounds allow is one that nobody can have, and that no test has seen.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PYPROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))


def brought(texts: list[str]) -> Iterator[Requirement]:
    """The requirements, those of the extras among them as well."""
    for requirement in map(Requirement, texts):
        if requirement.name == PYPROJECT["project"]["name"]:
            for extra in requirement.extras:
                yield from brought(PYPROJECT["project"]["optional-dependencies"][extra])
        else:
            yield requirement


def bounds(extras: str, group: str) -> dict[str, str]:
    """Package -> the lowest version that the project, these extras and this group allow."""
    texts = [
        *PYPROJECT["project"]["dependencies"],
        f"{PYPROJECT['project']['name']}[{extras}]",
        *PYPROJECT["dependency-groups"][group],
    ]
    return {
        requirement.name: bound.version
        for requirement in brought(texts)
        for bound in requirement.specifier
        if bound.operator in (">=", "~=")
    }


def main(extras: str, group: str) -> None:
    """Leave with a line for each package that is not at its bound."""
    wrong = [
        f"{name}: the bound is {bound}, the lowest that goes with the others is {version(name)}"
        for name, bound in bounds(extras, group).items()
        if version(name) not in SpecifierSet(f"=={bound}.*")
    ]
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
