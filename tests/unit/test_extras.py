"""The core needs no extra, all else says which one it needs, and the extras bring what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from tests import smoke
from typer.main import get_command

from midstream.cli import main
from midstream.cli.commands import COMMANDS
from midstream.errors import MissingExtraError
from midstream.lazy import needing

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
#: What Python says of a package that is not installed, said of all that the core does not bring.
_BARE = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Finder())
"""


def distributions(requirements: Iterable[str]) -> set[str]:
    """Names of the installed distributions that these requirements bring, with all that those need."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            found.add(name)
            waiting += map(Requirement, metadata.requires(name) or [])
    return found


def brought(extra: str) -> Iterator[str]:
    """Requirements of an extra, those of the extras within it as well."""
    for text in EXTRAS[extra]:
        requirement = Requirement(text)
        if requirement.name == "midstream":
            for each in requirement.extras:
                yield from brought(each)
        else:
            yield text


@pytest.fixture(scope="module")
def absent() -> set[str]:
    """The modules that are installed here, but are not the core's, by their first name."""
    core = distributions(PYPROJECT["project"]["dependencies"]) | {"midstream"}
    found = {
        module
        for module, names in metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in names} & core
    }
    assert {"cv2", "onnx", "onnxruntime", "pytest"} <= found
    assert not {"numpy", "pydantic_core", "typer", "midstream"} & found
    return found


@pytest.fixture(scope="module")
def bare(absent: set[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables with which Python finds no package but the core's."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(_BARE.format(absent=absent))
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_the_core_does_its_work_and_all_else_names_its_extra(bare: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, ROOT / "tests" / "smoke.py"], env=bare, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("midstream ")


def test_every_command_and_package_that_needs_an_extra_is_tried_without() -> None:
    assert set(smoke.LACKING) == {name for name, entry in COMMANDS.items() if entry.extra is not None}
    import midstream as ms

    assert set(smoke.ROOMS) == {name for name in dir(ms) if hasattr(getattr(ms, name), "__path__")}


def test_importing_midstream_loads_nothing_of_an_extra_and_no_command_line(absent: set[str]) -> None:
    """Not even where all of it is installed."""
    code = (
        "import sys; before = set(sys.modules); import midstream; dir(midstream)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"midstream", "numpy"} <= loaded
    assert not loaded & (absent | {"typer", "rich"})


def test_help_lists_the_commands_without_loading_one(bare: dict[str, str]) -> None:
    code = (
        "import sys; sys.argv = ['midstream', '--help']\n"
        "from midstream.cli.main import run\n"
        "try: run()\n"
        "except SystemExit as left: assert not left.code\n"
        f"print(*(set(sys.modules) & {{f'midstream.cli.{{home}}' for home in {homes()!r}}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n\n"), done.stdout


def homes() -> set[str]:
    return {entry.home.partition(":")[0] for entry in COMMANDS.values()}


def test_the_table_of_commands_has_what_their_own_help_says() -> None:
    group: Any = get_command(main.app)
    assert list(group.commands) == list(COMMANDS)
    for name, command in group.commands.items():
        assert command.name == name
        assert command.help.split("\n\n")[0] == COMMANDS[name].line
        for each in (command, *getattr(command, "commands", {}).values()):
            assert all("\n" not in paragraph for paragraph in each.help.split("\n\n"))


@pytest.mark.parametrize("module", ["midstream.cli.scenes", "resource"])
def test_what_midstream_or_python_itself_lacks_is_in_no_extra(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="none"), needing("this", "networks"):
        raise ModuleNotFoundError("none", name=module)
    with pytest.raises(MissingExtraError, match="this needs the extra 'networks'"), needing("this", "networks"):
        raise ModuleNotFoundError("none", name="cv2")


def test_every_extra_but_its_parts_brings_networks() -> None:
    networks = set(brought("networks"))
    for extra in set(EXTRAS) - {"onnx", "grpc", "video"}:
        assert networks <= set(brought(extra)), extra
    assert {name for entry in COMMANDS.values() if (name := entry.extra)} <= set(EXTRAS)


def test_all_brings_every_extra_but_that_of_training() -> None:
    everything = set(brought("all"))
    for extra in set(EXTRAS) - {"train"}:
        assert set(brought(extra)) <= everything, extra


def test_a_device_needs_no_server() -> None:
    names = distributions(brought("client"))
    assert {"grpcio", "onnxruntime"} <= names
    assert not {"opentelemetry-sdk", "grpcio-reflection", "prometheus-client", "structlog"} & names


def test_tools_of_developers_are_in_no_extra() -> None:
    tools = {Requirement(text).name for group in PYPROJECT["dependency-groups"].values() for text in group
             if isinstance(text, str)}  # fmt: skip
    assert "pytest" in tools
    assert not {Requirement(text).name for extra in EXTRAS for text in brought(extra)} & (tools - {"pyarrow", "pyyaml"})


def test_the_readme_has_a_row_for_every_extra() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    parts = {"onnx", "grpc", "video"}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(EXTRAS) - parts
    named = set(re.findall(r"`\.\[([\w,]+)\]`", text))
    assert named == {"onnx", "onnx,grpc,video"}
    assert {part for text in named for part in text.split(",")} == parts


def test_the_parts_are_the_extras_without_opencv() -> None:
    def without(extra: str) -> set[str]:
        return {text for text in brought(extra) if not text.startswith("opencv")}

    assert without("networks") == set(brought("onnx"))
    assert without("client") == {text for part in ("onnx", "grpc", "video") for text in brought(part)}


def test_the_group_build_is_what_the_build_asks_for() -> None:
    asked = set(PYPROJECT["build-system"]["requires"])
    assert asked <= set(PYPROJECT["dependency-groups"]["build"])


def test_the_makefile_installs_extras_and_groups_that_exist() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    extras = {name for found in re.findall(r"^EXTRAS-\w+ := (\S+)", text, re.MULTILINE) for name in found.split(",")}
    assert {"demo", "compare", "serve", "ray"} <= extras <= set(EXTRAS)
    groups = set(re.findall(r"--group ([\w-]+)", text))
    assert {"build", "dev", "test"} <= groups <= set(PYPROJECT["dependency-groups"])
