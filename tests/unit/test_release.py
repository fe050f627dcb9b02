"""What is released, and what is tried of it, agree: versions of Python, the workflows, the gate."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tests import wheels

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
each_workflow = pytest.mark.parametrize("name", ["ci.yml", "release.yml"])


def test_every_version_that_is_promised_is_built_and_tried() -> None:
    classifiers = PYPROJECT["project"]["classifiers"]
    promised = [found[1] for each in classifiers if (found := re.fullmatch(r".* :: (3\.\d+)", each))]
    assert promised == list(wheels._VERSIONS)
    assert PYPROJECT["project"]["requires-python"] == f">={promised[0]}"
    built = [f"cp{version.replace('.', '')}-*" for version in promised]
    assert PYPROJECT["tool"]["cibuildwheel"]["build"] == built
    assert PYPROJECT["tool"]["scikit-build"]["wheel"]["py-api"] == f"cp{wheels._FIRST_SHARED.replace('.', '')}"


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("midstream-0.1.0-cp311-cp311-linux_x86_64.whl", ["3.11"]),
        ("midstream-0.1.0-cp312-abi3-linux_x86_64.whl", ["3.12", "3.13", "3.14"]),
        ("midstream-0.1.0-cp313-cp313-linux_x86_64.whl", ["3.13"]),
    ],
)
def test_a_wheel_is_tried_where_it_fits(name: str, versions: list[str]) -> None:
    assert [version for version in wheels._VERSIONS if wheels.fits(Path(name), version)] == versions


def test_this_python_is_found() -> None:
    import sys

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert wheels.interpreter(version) == sys.executable
    assert wheels.interpreter("2.0") is None


@pytest.mark.skipif(not WORKFLOWS.exists(), reason="a source distribution is without the workflows")
@each_workflow
def test_workflows_run_files_that_exist(name: str) -> None:
    text = (WORKFLOWS / name).read_text("utf-8")
    named = re.findall(r"(?:python|bash) ([\w./-]+/[\w.-]+)", text)
    assert named
    for each in named:
        assert (ROOT / each).exists(), each
