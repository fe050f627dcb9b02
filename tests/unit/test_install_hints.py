"""Hints to install something name a command that works: midstream is on no index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from midstream.errors import MissingExtraError, install_command

_ROOT = Path(__file__).parents[2]
#: Where somebody reads what to install.
_READ = [_ROOT / "Makefile", *_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md"), *_ROOT.glob("training/*"),
         *_ROOT.glob("benchmarks/*.py")]  # fmt: skip
_SOURCES = sorted(_ROOT.glob("src/**/*.py"))
Installed = Callable[[object], None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Sets what pip wrote down of where midstream came from."""

    def write(about: object) -> None:
        text = None if about is None else json.dumps(about)
        monkeypatch.setattr(metadata, "distribution", lambda _: SimpleNamespace(read_text=lambda _: text))

    return write


def test_an_extra_comes_from_the_checkout_that_midstream_came_from(installed: Installed, tmp_path: Path) -> None:
    checkout = tmp_path / "my checkouts"
    checkout.mkdir()
    url = checkout.as_uri()
    assert "%20" in url
    installed({"url": url, "dir_info": {}})
    assert install_command("serve") == f"pip install '{checkout}[serve]'"
    installed({"url": url, "dir_info": {"editable": True}})
    assert install_command("serve") == f"pip install --editable '{checkout}[serve]'"
    assert str(MissingExtraError("split inference", "serve")) == (
        f"split inference needs the extra 'serve': pip install --editable '{checkout}[serve]'"
    )


def test_without_a_checkout_the_command_says_that_it_needs_one(installed: Installed, tmp_path: Path) -> None:
    gone = {"url": (tmp_path / "gone").as_uri(), "dir_info": {"editable": True}}
    for about in (None, gone, {"url": "https://host.example/midstream.whl", "archive_info": {}}):
        installed(about)
        assert install_command("ray") == "pip install '.[ray]' in a checkout of midstream"


def test_without_metadata_the_command_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", none)
    assert install_command("ray") == "pip install '.[ray]' in a checkout of midstream"


def test_no_hint_asks_an_index_for_midstream() -> None:
    for path in [*_READ, *_SOURCES]:
        if path.is_file():
            assert not re.search(r"pip install [-\w ]*['\"]?midstream\b", path.read_text()), path


def test_hints_of_extras_come_from_one_place() -> None:
    extras = "|".join(metadata.metadata("midstream").get_all("Provides-Extra") or [])
    for path in _SOURCES:
        if path.name != "errors.py":
            assert not re.search(rf"\[({extras})\]['\"]", path.read_text()), path
