"""The inputs of the fuzzers that the repository keeps: bitstreams are checked here, the others by `make fuzz`."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from midstream.codec.paper import groups

FUZZ = Path(__file__).parents[2] / "fuzz"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of the folder `fuzz` by name."""
    monkeypatch.syspath_prepend(str(FUZZ))
    monkeypatch.setattr(groups, "_LEAST_ELEMENTS", groups._LEAST_ELEMENTS)  # which a fuzzer changes
    return importlib.import_module


def test_kept_bitstreams_are_refused_or_decode_to_what_they_declare(fuzz: Any) -> None:
    kept, bitstreams = fuzz("kept"), fuzz("bitstreams")
    bitstreams.small_groups()
    inputs = kept.read("decode")
    assert len(inputs) > 100
    for name, data in inputs.items():
        try:
            bitstreams.check(data)
        except Exception as error:
            raise AssertionError(f"fuzz/kept/decode.tar.xz: {name}") from error


def test_a_check_that_is_not_met_is_seen(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, bitstreams = fuzz("kept"), fuzz("bitstreams")
    bitstreams.small_groups()
    monkeypatch.setattr(bitstreams, "same", lambda a, b: False)
    seen = 0
    for data in kept.read("decode").values():
        try:
            bitstreams.check(data)
        except AssertionError:
            seen += 1
    assert seen > 10


def test_every_target_has_inputs_and_they_are_few(fuzz: Any) -> None:
    kept: ModuleType = fuzz("kept")
    native = {path.stem for path in FUZZ.glob("*.cpp")} - {"mutator"}
    assert set(kept.targets()) == native | {"decode"}
    assert sum((kept.FOLDER / f"{target}.tar.xz").stat().st_size for target in kept.targets()) < 500_000
    assert all(kept.read(target) for target in kept.targets())


def test_the_same_inputs_are_kept_as_the_same_file(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fuzz("kept")
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    inputs = [b"", b"abc", bytes(range(256))]
    first = kept.write("x", inputs).read_bytes()
    assert kept.write("x", inputs[::-1]).read_bytes() == first
    assert sorted(kept.read("x").values()) == sorted(inputs)
    assert kept.unpack("x", tmp_path / "out") == 3
    assert sorted(path.read_bytes() for path in (tmp_path / "out").iterdir()) == sorted(inputs)
