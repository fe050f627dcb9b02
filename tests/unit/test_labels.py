"""What curves and points are called where people read it: without the folders of the user."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.helpers import profiles

from midstream.compare.run import Request, curves_of
from midstream.pipelines.registry import parse_curve


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders of a user, each with a profile of the same name."""
    found = [tmp_path / "somebody" / name for name in ("one", "two")]
    for number, folder in enumerate(found):
        folder.mkdir(parents=True)
        (folder / "net.profile").write_bytes(profiles.profile(number).data)
    return found


def test_a_curve_and_its_points_name_the_profile_without_its_folder(folders: list[Path]) -> None:
    text = f"calibrated:profile={folders[0]}//net.profile,quality=60,40"
    curve = parse_curve(text)
    assert curve.label == "calibrated:profile=net.profile,quality=60,40"
    assert [point.codec.label() for point in curve.points] == [
        "calibrated:profile=net.profile,quality=60",
        "calibrated:profile=net.profile,quality=40",
    ]
    # What finds the file again has all of it.
    assert curve.spec == text
    assert all(str(folders[0]) in point.codec.spec() for point in curve.points)
    spec = curve.points[0].codec.spec()
    assert parse_curve(spec).points[0].codec.spec() == spec


def test_specs_without_files_are_labels_as_they_are() -> None:
    for text in ("uncompressed", "vvc:preset=faster,qp=22,32", "paper:thresholds=-1/0/1,coder=raw,dense"):
        assert parse_curve(text).label == text


def test_profiles_of_one_name_are_told_apart_by_their_folders(folders: list[Path]) -> None:
    one, two = (f"calibrated:profile={folder / 'net.profile'},quality=60" for folder in folders)
    labels = [curve.label for _, curve in curves_of(Request(model="m", data="d", tests=[one, two, "paper"]))]
    assert labels == ["uncompressed", one, two, "paper"]
    labels = [curve.label for _, curve in curves_of(Request(model="m", data="d", tests=[one, "paper"]))]
    assert labels == ["uncompressed", "calibrated:profile=net.profile,quality=60", "paper"]


def test_a_point_that_is_asked_for_twice_is_one(folders: list[Path]) -> None:
    assert len(parse_curve(f"calibrated:profile={folders[0] / 'net.profile'},quality=60,60").points) == 1
