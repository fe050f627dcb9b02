"""Hold the environment to the lower bounds in pyproject.toml: `python tests/lowest.py EXTRA ...`.

A bound below what the other bounds allow is one that nobody can have, and that no test has seen.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet


def bounds(extras: list[str]) -> dict[str, str]:
    """Package -> the lowest version that the project and these extras allow."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return {
        requirement.name: bound.version
        for requirement in map(Requirement, texts)
        for bound in requirement.specifier
        if bound.operator in (">=", "~=")
    }


def main(extras: list[str]) -> None:
    """Leave with a line for each package that is not at its bound."""
    wrong = [
        f"{name}: the bound is {bound}, the lowest that goes with the others is {version(name)}"
        for name, bound in bounds(extras).items()
        if version(name) not in SpecifierSet(f"=={bound}.*")
    ]
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
