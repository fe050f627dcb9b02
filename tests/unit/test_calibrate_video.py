"""Calibration on clips: a profile of version 2, what it is good for, and clips that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import clips, toy
from tests.helpers.calibration import FAST, calibrated
from tests.helpers.commands import call

import midstream as ms
from midstream import models
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.calibration.clips import ClipSource, clip_sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 24)
    clips.write_clips(folder / "clips", (6, 5))
    return folder


@pytest.fixture(scope="module")
def profile(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ms.Profile:
    return calibrated(folder, tmp_path_factory.mktemp("work"), clips=clip_sources([str(folder / "clips")])).profile


def test_a_profile_of_clips_is_that_of_the_images_and_what_frames_show(
    folder: Path, profile: ms.Profile, tmp_path: Path
) -> None:
    without = calibrated(folder, tmp_path, replace(FAST, tools=replace(FAST.tools, layers=False))).profile
    tensors, about = unpack_tensors(profile.data, "it")
    others, other_about = unpack_tensors(without.data, "it")
    assert (about["version"], other_about["version"]) == (4, 4), "frames gain nothing by layers"
    assert {name for name in tensors if "frames." not in name} == set(others)
    assert all(np.array_equal(tensors[name], values) for name, values in others.items())
    assert profile.about.frames is not None
    assert profile.about.frames > 11  # and those of clips that are made of photographs
    assert profile.about.frame_hash is not None
    for group in profile.groups:
        assert group.frames is not None
        assert group.frames.gains.shape == group.frames.scales.shape == (3, len(group.scales))
        assert group.frames.state.any()


def test_the_same_clips_give_the_same_profile_and_others_do_not(
    folder: Path, profile: ms.Profile, tmp_path: Path
) -> None:
    again = calibrated(folder, tmp_path / "a", clips=clip_sources([str(folder / "clips")])).profile
    assert again.data == profile.data
    one = calibrated(folder, tmp_path / "b", clips=clip_sources([str(folder / "clips" / "clip0")])).profile
    assert one.about.frame_hash != profile.about.frame_hash


def finer(profile: ms.Profile) -> ms.Profile:
    """With qualities that lose nothing: the toy network's own leave next to nothing of a frame."""
    tensors, about = unpack_tensors(profile.data, "it")
    about["qualities"] = [step - 14 for step in about["qualities"]]
    return ms.Profile.parse(pack_tensors(tensors, about), "it")


def test_a_stream_has_a_key_at_a_cut_and_none_within_a_scene(folder: Path, profile: ms.Profile) -> None:
    network = models.load(str(folder / "toy.toml"), threads=1)
    scenes = [*clips.frames(6, seed=3), *clips.frames(6, seed=4)]
    for each in map(finer, (profile, calibrated(folder, folder / "work").profile)):
        encoder, decoder = ms.StreamEncoder(profile=each, quality=80, key_interval=None), ms.StreamDecoder(each)
        keys, sizes = [], []
        for image in scenes:
            pyramid = network.front(image)
            unit = encoder.encode(pyramid)
            assert encoder.last is not None
            keys.append(encoder.last.key)
            sizes.append(len(unit))
            assert list(decoder.decode(unit)) == list(pyramid)
        assert [number for number, key in enumerate(keys) if key] == [0, 6]
        assert max(sizes[1:6] + sizes[7:]) < min(sizes[0], sizes[6])


def test_clips_are_found_in_files_folders_and_folders_of_folders(folder: Path, tmp_path: Path) -> None:
    assert [source.name for source in clip_sources([str(folder / "clips")])] == ["clip0", "clip1"]
    assert len(list(clip_sources([str(folder / "clips" / "clip0")])[0].frames())) == 6
    assert clip_sources([]) == []
    (tmp_path / "v").mkdir()
    for name in ("b.mp4", "a.mp4"):
        (tmp_path / "v" / name).write_bytes(b"no video")
    assert [Path(source.video).name for source in clip_sources([str(tmp_path / "v")])] == ["a.mp4", "b.mp4"]
    many = clip_sources([str(folder / "clips")] * 20)
    assert len(many) == 12


def test_frames_that_cannot_be_read_are_left_out(folder: Path, tmp_path: Path) -> None:
    clips.write_frames(tmp_path / "clip", clips.frames(4))
    (tmp_path / "clip" / "2.png").write_bytes(b"no image")
    (source,) = clip_sources([str(tmp_path / "clip")])
    assert len(list(source.frames())) == 3
    with pytest.raises(ms.InputError, match=r"2\.png"):
        list(ClipSource("clip", (tmp_path / "clip" / "2.png",)).frames())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nowhere", "there is no '"),
        ("one", "the clips have a frame each"),
        ("text.mp4", "text.mp4"),
        ("empty", "empty"),
        ("broken", "1.png"),
    ],
)
def test_clips_that_cannot_be_used_are_named(
    kind: str, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / kind
    if kind == "one":
        clips.write_frames(clip, clips.frames(1))
    elif kind == "text.mp4":
        clip.write_bytes(b"no video")
    elif kind == "empty":
        clip.mkdir()
    elif kind == "broken":
        clip.mkdir()
        (clip / "1.png").write_bytes(b"no image")
    command = ("calibrate", "-m", folder / "toy.toml", "--images", folder / "calib", "-o", tmp_path / "p.profile")
    assert call(*command, "--video", clip, "--without", "power", "--quiet") == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "p.profile").exists()
