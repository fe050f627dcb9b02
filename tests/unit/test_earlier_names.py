"""Names of the release before, which are understood for one more, with a notice."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tests.helpers.commands import call

from midstream import data
from midstream.cli.commands import COMMANDS


@pytest.mark.parametrize(
    ("command", "earlier", "now"),
    [(name, *pair) for name, entry in COMMANDS.items() for pair in entry.earlier.items()],
)
def test_an_earlier_option_is_the_present_one(
    command: str, earlier: str, now: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a value that no option takes, so that nothing is run."""
    words = [command, "decode"] if command == "batch" else [command]
    assert call(*words, f"{now}=", "--no-such-option") == 2
    present = capsys.readouterr().err
    assert call(*words, f"{earlier}=", "--no-such-option") == 2
    notice, _, rest = capsys.readouterr().err.partition("\n")
    assert notice == f"{earlier} is now {now}; the next release no longer knows the earlier name"
    assert rest == present
    assert "--no-such-option" in present


@pytest.mark.parametrize(
    ("module", "earlier", "now"),
    [("data", "PictureFile", "ImageFile"), ("data", "read_picture", "read_image"), ("models", "Picture", "Image")],
)
def test_an_earlier_public_name_is_the_present_one(module: str, earlier: str, now: str) -> None:
    package = importlib.import_module(f"midstream.{module}")
    with pytest.warns(DeprecationWarning, match=f"{earlier} is now {now}"):
        assert getattr(package, earlier) is getattr(package, now)
    assert earlier not in dir(package)


def test_the_images_of_a_data_set(tmp_path: Path) -> None:
    dataset = data.Dataset("x", None, (data.ImageFile(1, tmp_path / "a.png"),), None)
    with pytest.warns(DeprecationWarning, match="pictures is now images"):
        assert dataset.pictures is dataset.images
