"""Scenes: the same on every machine, in Cityscapes' layout, and what a spec and the command make of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from midstream import data as datasets
from midstream.cli.main import app
from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE, read_instance_ids
from midstream.data.scenes import EDITION, Scene, generate, write_scenes
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import TURN, cosine
from midstream.errors import InputError

#: SHA-256 of images and labels of edition 1. When a scene changes on purpose, EDITION goes up and the network with
#: its figures is made anew; when it does not, the machine, numpy or OpenCV does something else than integers.
GOLDEN = {
    (0, (256, 512)): "a54b4479705a5c11",
    (7, (256, 512)): "28e292a02cd7faab",
    (1_000_003, (256, 512)): "0f540d3001604cfa",
    (1_000_003, (128, 256)): "d106a7a21ac7a0df",
    (12, (97, 331)): "2c36ca9962c6007a",
}


def digest(scene: Scene) -> str:
    return hashlib.sha256(scene.image.tobytes() + scene.instance_ids.astype("<u2").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("seed", "size"), GOLDEN)
def test_a_seed_gives_the_same_bits_everywhere(seed: int, size: tuple[int, int]) -> None:
    assert EDITION == 1
    assert digest(generate(seed, size)) == GOLDEN[seed, size]


def test_all_classes_are_there_at_many_scales_and_hide_each_other() -> None:
    areas: dict[int, list[int]] = {value: [] for value in CLASSES.values()}
    touching = 0
    for seed in range(40):
        ids = generate(seed).instance_ids
        values, counts = np.unique(ids[ids >= FIRST_INSTANCE], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            areas[value // FIRST_INSTANCE].append(count)
        left, right = ids[:, :-1], ids[:, 1:]
        touching += int(((left != right) & (left >= FIRST_INSTANCE) & (right >= FIRST_INSTANCE)).any())
    assert min(len(each) for each in areas.values()) >= 5
    for each in areas.values():
        assert max(each) > 10 * min(each)
    assert touching > 20


def test_images_are_no_clip_art() -> None:
    """Neighbouring pixels differ nearly everywhere, as a sensor's do, and no two scenes have the same light."""
    means = []
    for seed in range(12):
        image = generate(seed).image.astype(int)
        assert (image[:, 1:] != image[:, :-1]).any(axis=2).mean() > 0.8
        means.append(image.mean())
    assert max(means) > 1.5 * min(means)


@given(st.integers(0, 2**40), st.integers(32, 90), st.integers(32, 150))
def test_any_seed_and_size_is_a_scene(seed: int, height: int, width: int) -> None:
    scene = generate(seed, (height, width))
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.instance_ids.shape == (height, width)
    assert scene.instance_ids.dtype == np.uint16
    instances = scene.instance_ids[scene.instance_ids >= FIRST_INSTANCE]
    assert set((instances // FIRST_INSTANCE).tolist()) <= set(CLASSES.values())


def test_refusals() -> None:
    with pytest.raises(InputError, match="from 0, not -1"):
        generate(-1)
    with pytest.raises(InputError, match="32 to 4096 pixels wide and high, not 512x16"):
        generate(0, (16, 512))


def test_draws_are_even_and_in_range() -> None:
    dice = Dice(1, 2)
    drawn = np.bincount([dice.between(3, 7) for _ in range(5000)], minlength=8)
    assert drawn[:3].sum() == 0
    assert len(drawn) == 8
    assert 850 < drawn[3:].min() <= drawn[3:].max() < 1150
    assert {dice.near(-9, 9) for _ in range(4000)} == set(range(-9, 10))


def test_the_table_of_cosines_is_that_of_any_library() -> None:
    exact = np.cos(2 * np.pi * np.arange(TURN) / TURN) * 4096
    assert np.abs(exact - np.rint(exact)).max() < 0.499
    assert [cosine(step) for step in range(TURN)] == np.rint(exact).astype(int).tolist()


def test_files_are_what_the_cityscapes_loader_reads(tmp_path: Path) -> None:
    write_scenes(tmp_path, 3, 5, "val")
    dataset = datasets.load(f"cityscapes:{tmp_path}")
    assert len(dataset.images) == 3
    for seed, image in enumerate(dataset.images, start=5):
        scene = generate(seed)
        np.testing.assert_array_equal(datasets.read_image(image.path), scene.image)
        label = Path(str(image.path).replace("leftImg8bit", "gtFine", 1))
        label = label.with_name(label.name.replace("leftImg8bit", "gtFine_instanceIds"))
        np.testing.assert_array_equal(read_instance_ids(label), scene.instance_ids)
    with pytest.raises(InputError, match="cannot be the name of a split"):
        write_scenes(tmp_path, 1, 0, "../val")
    with pytest.raises(InputError, match="number of scenes is 0"):
        write_scenes(tmp_path, 0, 0, "val")


def test_a_split_is_written_once_and_others_beside_it(tmp_path: Path) -> None:
    write_scenes(tmp_path, 1, 5, "val", (64, 128))
    write_scenes(tmp_path, 2, 7, "train", (64, 128))
    with pytest.raises(InputError, match=r"leftImg8bit/val is not empty, 'scenes' is in it: name a new folder"):
        write_scenes(tmp_path, 1, 6, "val", (64, 128))
    assert [len(datasets.load(f"cityscapes:{tmp_path},{split}").images) for split in ("val", "train")] == [1, 2]
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"'notes\.txt' is in it"):
        write_scenes(tmp_path, 1, 6, "test", (64, 128))


def test_a_spec_makes_its_scenes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset = datasets.load("scenes:2,9")
    assert (dataset.spec, dataset.labels, len(dataset.images)) == ("scenes:2,9", "cityscapes", 2)
    np.testing.assert_array_equal(datasets.read_image(dataset.images[1].path), generate(10).image)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert datasets.load("scenes:2,9").images == dataset.images
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    "spec", ["scenes:", "scenes:0", "scenes:5,", "scenes:-1,2", "scenes:1,2,3", "scenes:9999999", "scenes:١,0"]
)
def test_a_spec_that_is_none(spec: str) -> None:
    with pytest.raises(InputError, match="scenes:COUNT,SEED"):
        datasets.load(spec)


def test_the_command_writes_them(tmp_path: Path) -> None:
    asked = [
        "scenes",
        "--count",
        "2",
        "--seed",
        "4",
        "--size",
        "128x64",
        "--split",
        "train",
        "-o",
        str(tmp_path),
        "--json",
    ]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["size"] == [128, 64]
    dataset = datasets.load(f"cityscapes:{tmp_path},train")
    np.testing.assert_array_equal(datasets.read_image(dataset.images[0].path), generate(4, (64, 128)).image)
    result = CliRunner().invoke(app, ["scenes", "--size", "128", "-o", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "expected WIDTHxHEIGHT" in str(result.exception)
