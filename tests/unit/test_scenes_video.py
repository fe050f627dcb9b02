"""Clips of scenes in files: what the project's own readers make of them, and what takes them by their spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from midstream import data as datasets
from midstream.calibration.clips import clip_sources
from midstream.cli.main import app
from midstream.data import scenes
from midstream.data.frames import open_source
from midstream.data.scenes import motion
from midstream.data.scenes.motion import Film, write_films
from midstream.errors import InputError
from midstream.masks import decode_mask

COUNT, SEED, FRAMES = 2, 14, 3
SIZE = (128, 256)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_films(folder, COUNT, SEED, FRAMES, SIZE)
    return folder


def made() -> list[list[motion.FilmFrame]]:
    return [list(Film(SEED + index, SIZE).frames(FRAMES)) for index in range(COUNT)]


def by_image(dataset: datasets.Dataset) -> list[list[dict[str, Any]]]:
    assert dataset.ground_truth is not None
    out: list[list[dict[str, Any]]] = [[] for _ in dataset.images]
    for each in dataset.ground_truth["annotations"]:
        out[each["image_id"] - 1].append(each)
    return out


def test_frames_masks_and_tracks_are_read_as_they_were_made(root: Path) -> None:
    dataset = datasets.load(f"coco-video:{root},{root / motion.ANNOTATIONS}")
    assert dataset.labels == "coco"
    assert [len(part) for part in dataset.parts] == [FRAMES] * COUNT
    assert dataset.ground_truth is not None
    names = {entry["id"]: entry["name"] for entry in dataset.ground_truth["categories"]}
    there = by_image(dataset)
    for clip, (part, frames) in enumerate(zip(dataset.parts, made(), strict=True)):
        for number, (image, frame) in enumerate(zip(part, frames, strict=True)):
            assert image.clip == datasets.Clip(f"scenes-{SEED + clip:06d}", motion.RATE)
            assert image.time_s == number / motion.RATE
            np.testing.assert_array_equal(datasets.read_image(image.path), frame.image)
            seen = {each.object.track: each for each in frame.objects if each.pixels}
            entries = {entry["track"]: entry for entry in there[image.id - 1]}
            assert entries.keys() == seen.keys()
            for track, entry in entries.items():
                value = seen[track].object.value
                np.testing.assert_array_equal(decode_mask(entry["segmentation"]), frame.instance_ids == value)
                assert tuple(entry["bbox"]) == seen[track].visible
                assert entry["area"] == seen[track].pixels
                assert names[entry["category_id"]] == seen[track].object.name
                assert entry["iscrowd"] == seen[track].far


def test_the_same_folder_is_motchallenges(root: Path) -> None:
    dataset = datasets.load(f"mot:{root}")
    assert [part[0].clip for part in dataset.parts] == [
        datasets.Clip(f"scenes-{SEED + index:06d}", motion.RATE) for index in range(COUNT)
    ]
    entries = by_image(dataset)
    people = 0
    for image, frame in zip(dataset.images, [frame for clip in made() for frame in clip], strict=True):
        boxes = {entry["track"]: tuple(entry["bbox"]) for entry in entries[image.id - 1] if not entry["iscrowd"]}
        walkers = [each for each in frame.objects if each.object.name == "person"]
        walkers = [each for each in walkers if each.pixels and not each.far]
        assert boxes == {each.object.track: each.box for each in walkers}
        ignored = {entry["track"] for entry in entries[image.id - 1] if entry["iscrowd"]}
        assert ignored == {each.object.track for each in frame.objects if each.object.name == "rider"} | {
            each.object.track
            for each in frame.objects
            if each.object.name == "person" and (each.far or not each.pixels)
        }
        people += len(boxes)
    assert people
    rows = (root / f"scenes-{SEED:06d}" / "gt" / "gt.txt").read_text().splitlines()
    shares = [float(row.split(",")[8]) for row in rows]
    assert min(shares) < 0.7
    assert max(shares) == 1


def test_and_a_folder_of_frames_and_a_set_of_images(root: Path) -> None:
    assert len(datasets.load(f"clips:{root / f'scenes-{SEED:06d}' / 'img1'}").images) == FRAMES
    images = datasets.load(f"coco:{root},{root / motion.ANNOTATIONS}")
    assert len(images.parts) == len(images.images) == COUNT * FRAMES


def test_a_spec_makes_its_clips_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset = datasets.load(f"scenes-video:1,{SEED}", 2)
    assert datasets.has_clips(dataset.spec)
    assert (dataset.spec, dataset.labels, len(dataset.images)) == (f"scenes-video:1,{SEED}", "coco", 2)
    np.testing.assert_array_equal(datasets.read_image(dataset.images[1].path), Film(SEED).frame(1).image)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert datasets.load(f"scenes-video:1,{SEED}", 2).images == dataset.images
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


@pytest.mark.parametrize(
    "spec", ["scenes-video:", "scenes-video:0", "scenes-video:5,", "scenes-video:1,2,3", "scenes-video:١,0"]
)
def test_a_spec_that_is_none(spec: str) -> None:
    with pytest.raises(InputError, match="scenes-video:COUNT,SEED"):
        datasets.load(spec)
    with pytest.raises(InputError, match="scenes-video:COUNT,SEED"):
        open_source(spec)
    with pytest.raises(InputError, match="scenes-video:COUNT,SEED"):
        clip_sources([spec])


def test_as_a_source_they_are_made_while_they_are_read() -> None:
    source = open_source(f"scenes-video:2,{SEED}")
    assert source.rate == motion.RATE
    frame = next(iter(source.frames()))
    assert frame.image is not None
    np.testing.assert_array_equal(frame.image, Film(SEED).frame(0).image)
    clips = clip_sources([f"scenes-video:2,{SEED}"])
    assert [clip.name for clip in clips] == [f"scenes of seed {SEED}", f"scenes of seed {SEED + 1}"]
    np.testing.assert_array_equal(next(clips[1].frames()), Film(SEED + 1).frame(0).image)


def test_the_command_writes_them(tmp_path: Path) -> None:
    asked = ["scenes", "--video", "--count", "1", "--seed", str(SEED), "--frames", "2", "--size", "128x64"]
    result = CliRunner().invoke(app, [*asked, "-o", str(tmp_path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "folder": str(tmp_path), "count": 1, "seed": SEED, "frames": 2, "size": [128, 64],
    }  # fmt: skip
    assert f"--data coco-video:{tmp_path},{tmp_path / motion.ANNOTATIONS} or mot:{tmp_path}" in result.stderr
    for more, why in ((["--split", "val"], "--split is of scenes"), (["--size", "8x8"], "32 to 4096 pixels")):
        result = CliRunner().invoke(app, [*asked, *more, "-o", str(tmp_path / "other")])
        assert why in str(result.exception)
    result = CliRunner().invoke(app, ["scenes", "--frames", "2", "-o", str(tmp_path)])
    assert "--frames is of clips: add --video" in str(result.exception)


def test_nothing_is_mixed_with_what_is_in_a_folder(root: Path, tmp_path: Path) -> None:
    before = sorted(root.rglob("*"))
    with pytest.raises(InputError, match=rf"{root} is not empty, 'annotations\.json' is in it: name a new folder"):
        write_films(root, 1, SEED, 1, SIZE)
    with pytest.raises(InputError, match="is not empty"):
        scenes.write_scenes(root, 1, SEED, "val", SIZE)
    assert sorted(root.rglob("*")) == before
    (tmp_path / ".of-a-desktop").touch()
    write_films(tmp_path, 1, SEED, 1, (64, 128))


def test_whoever_takes_them_for_folders_of_frames_is_told_what_they_are(root: Path) -> None:
    for ask in (lambda: datasets.load(f"clips:{root}"), lambda: clip_sources([str(root)])):
        with pytest.raises(InputError, match=rf"{root} has MOTChallenge's layout .*: mot:{root} reads it"):
            ask()
    clips = clip_sources([f"mot:{root}"])
    assert [clip.name for clip in clips] == [f"scenes-{SEED + index:06d}" for index in range(COUNT)]
    for clip, frames in zip(clips, made(), strict=True):
        np.testing.assert_array_equal(list(clip.frames()), [frame.image for frame in frames])
    both = clip_sources([f"coco-video:{root},{root / motion.ANNOTATIONS}"])
    assert [clip.files for clip in both] == [clip.files for clip in clips]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="number of clips is 0"):
        write_films(tmp_path, 0, 0)
    with pytest.raises(InputError, match="1 to 500 frames, not 501"):
        write_films(tmp_path, 1, 0, 501)
    with pytest.raises(InputError, match="1 to 500 frames, not 501"):
        datasets.load("scenes-video:1,0", 501)
