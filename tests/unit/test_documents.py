"""The documents say what the Makefile, the gate and the code do: commands, files, options, seconds, constants."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

import midstream
from midstream.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "fuzz/*.md", "training/*.md") for path in ROOT.glob(pattern)
)
MAKEFILE = (ROOT / "Makefile").read_text()
GATE = ROOT / ".ci" / "run"
FOLDERS = "src|native|tests|docs|fuzz|benchmarks|training|examples"
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
with_gate = pytest.mark.skipif(not GATE.exists(), reason="a source distribution is without the gate")


def code_of(text: str) -> Iterator[str]:
    """What stands in the text as code: the lines of its blocks, continued ones joined, and what is in backticks."""
    block = r"^```[^`\n]*\n(.*?)^```|((?:^    .*\n)+)"
    for found in re.finditer(block, text, re.MULTILINE | re.DOTALL):
        yield from re.sub(r"\\\n\s*", "", found[1] or found[2]).splitlines()
    for found in re.finditer(r"`([^`]+)`", re.sub(block, "", text, flags=re.MULTILINE | re.DOTALL)):
        yield " ".join(found[1].split())


def targets() -> set[str]:
    return {name for line in re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE) for name in line.split()}


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return int(found[1])


@each_document
def test_commands_of_make_exist(document: Path) -> None:
    named = {found[1] for code in code_of(document.read_text()) if (found := re.match(r"\s*make ([a-z][\w-]*)", code))}
    assert named <= targets()


def test_the_makefile_begins_with_what_the_readme_begins_with() -> None:
    named = re.findall(r"^    make ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert named == re.findall(r"`make ([\w-]+)`", MAKEFILE.partition("\n\n")[0])


def test_what_the_lowest_versions_are_not_tried_on_exists() -> None:
    left = re.search(r"^LOWEST_WITHOUT := (.*?)^LOWEST_ONCE := (.*?)^#", MAKEFILE, re.MULTILINE | re.DOTALL)
    assert left is not None
    files = re.findall(r"[\w]+\.py", left[1])
    assert len(files) > 10
    for name in files:
        assert (ROOT / "tests/unit" / f"test_{name}").exists(), name
    once = re.findall(r"addprefix (tests/unit/\w+\.py)::test_,(.*?)\)", left[2], re.DOTALL)
    assert [file for file, _ in once] == ["tests/unit/test_compare.py", "tests/unit/test_calibrate.py"]
    for file, names in once:
        tests = re.findall(r"\w+", names)
        assert len(tests) >= 3
        for name in tests:
            assert f"def test_{name}(" in (ROOT / file).read_text(), name


@with_gate
def test_the_gate_runs_commands_that_exist() -> None:
    lines = re.findall(r"^ *make (.*)", GATE.read_text().replace("\\\n", ""), re.MULTILINE)
    named = {word for line in lines for word in line.split() if re.fullmatch(r"[a-z][\w-]*", word)}
    assert {"test", "lint", "docs", "fuzz", "test-sanitized"} <= named <= targets() | {"compiler"}


@with_gate
def test_the_gate_fuzzes_as_long_as_the_document_says() -> None:
    text = " ".join((ROOT / "docs/fuzzing.md").read_text().split())
    seconds = number(r"make fuzz SECONDS=(\d+)", GATE.read_text())
    assert seconds == number(r"The gate \(`\.ci/run`\) runs each for (\d+) seconds", text)
    assert seconds == number(r"seconds \(`make fuzz SECONDS=(\d+)`\)", text)


def test_the_fuzzers_are_those_of_the_documents() -> None:
    runner = (ROOT / "fuzz/run.py").read_text()
    readme = (ROOT / "fuzz/README.md").read_text()
    found = re.search(r"^NATIVE = \((.*)\)", runner, re.MULTILINE)
    assert found is not None
    native = re.findall(r'"(\w+)"', found[1])
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
    assert f"{words[len(native)]} libFuzzer targets" in (ROOT / "docs/fuzzing.md").read_text()
    assert set(re.findall(r"^\| `(\S+)` \|", readme, re.MULTILINE)) == {*(f"{n}.cpp" for n in native), "fuzz_decode.py"}
    usual = number(r"SECONDS \?= (\d+)", MAKEFILE)
    assert usual == number(r"make fuzz .*for (\d+) seconds", readme)
    assert usual == number(r'"--seconds", type=int, default=(\d+)', runner)


@each_document
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    for link in links - {""}:
        assert (document.parent / link).exists(), link
    for code in code_of(text):
        for name in re.findall(rf"(?:^|[\s`(])((?:{FOLDERS})/[\w/.-]+\w)", code):
            assert (ROOT / name).exists() or name in ("fuzz/corpus", "fuzz/crashes"), name


@each_document
def test_sections_that_are_linked_exist(document: Path) -> None:
    for name, section in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", document.read_text()):
        if "://" in name:
            continue
        target = (document.parent / name if name else document).read_text()
        titles = re.findall(r"^#+ (.*)$", target, re.MULTILINE)
        assert section in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, section


def command_of(words: list[str]) -> Any:
    """The command that the words after `midstream` begin with, None for a group without one."""
    found: Any = get_command(main.app)
    for word in words:
        if not hasattr(found, "commands"):
            break
        assert word in found.commands or not re.fullmatch(r"[a-z]+", word), f"no command {word}"
        if word not in found.commands:
            return None
        found = found.commands[word]
    return None if hasattr(found, "commands") else found


@each_document
def test_commands_and_their_options_exist(document: Path) -> None:
    for code in code_of(document.read_text()):
        check_command(code)


def test_commands_behind_the_results_exist() -> None:
    rows = json.loads((ROOT / "benchmarks/results.json").read_text())["rows"]
    assert rows
    for row in rows:
        assert row["command"].startswith("midstream eval --model ")
        check_command(row["command"])


def check_command(code: str) -> None:
    """That what follows `midstream` in a line of code is a command with its options, where there is such a line."""
    found = re.match(r"\s*(?:\$ )?midstream ([^#|]*)", code)
    if found is None:
        return
    words = shlex.split(found[1].replace("'", "").replace('"', ""))
    command = command_of(words)
    if command is not None:
        known = {option for each in command.params for option in each.opts} | {"--help"}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known, (code, given - known)


def test_the_house_has_every_room() -> None:
    rooms = set(re.findall(r"`(\w+)/`", re.sub(r"^(?!\|).*", "", (ROOT / "docs/house.md").read_text(), flags=re.M)))
    packages = {path.parent.name for path in (ROOT / "src/midstream").glob("*/__init__.py")}
    assert rooms == packages | {"native", "src"}


def test_the_citation_is_of_this_version_and_license() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"\nversion: {midstream.__version__}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation


def constants() -> list[tuple[str, str, str]]:
    """File, name and number of each that docs/method.md gives a source of."""
    out = []
    rows = re.findall(
        r"^\| `(\S+\.\w+)` ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", (ROOT / "docs/method.md").read_text(), re.M
    )
    for file, names, values in rows:
        given = values.split(", ")
        found = re.findall(r"`(\w+)`", names)
        assert len(given) == len(found), (file, names)
        out += [(file, name, value.strip()) for name, value in zip(found, given, strict=True)]
    return out


def written_in(file: Path) -> dict[str, Any]:
    """The constants of a module that are made of numbers alone."""
    lines = re.findall(r"^[A-Z_]+(?:, [A-Z_]+)* = [\d.(][^#\n]*$", file.read_text(), re.MULTILINE)
    found: dict[str, Any] = {}
    exec("\n".join(lines), {}, found)
    return found


@pytest.mark.parametrize(("file", "name", "value"), constants())
def test_constants_are_those_that_have_a_source(file: str, name: str, value: str) -> None:
    if file.startswith("native/"):
        text = (ROOT / file).read_text()
        if value.endswith(" numbers"):
            assert re.search(rf"\b{name} = [\[{{]", text) or re.search(rf"{value.split()[0]}> {name} = ", text)
        else:
            assert float(value) == float(re.search(rf"\b{name} = ([\d.]+)", text)[1])  # type: ignore[index]
        return
    base, _, power = value.partition("^")
    if file.startswith("calibration/training/"):  # which cannot be imported without torch
        found = written_in(ROOT / "src/midstream" / file)[name]
    else:
        found = getattr(importlib.import_module("midstream." + file.removesuffix(".py").replace("/", ".")), name)
    wanted = float(base) ** float(power) if power else float(value)
    assert found == (np.float32(wanted) if isinstance(found, np.float32) else wanted)


def test_every_number_of_the_fits_has_a_source() -> None:
    told = {(file, name) for file, name, _ in constants()}
    files = ["probe", "predict", "neighbours", "coder", "clips", "predicting", "entropy", "descent"]
    for file in [
        *files,
        "training/trainer",
        "training/transform",
        "training/distance",
        "training/regions",
        "training/worth",
    ]:
        text = (ROOT / "src/midstream/calibration" / f"{file}.py").read_text()
        for names in re.findall(r"^([A-Z_, ]+) = [\d.]", text, re.MULTILINE):
            assert {(f"calibration/{file}.py", name) for name in names.split(", ")} <= told, names
