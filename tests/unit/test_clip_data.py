"""Data sets of clips: folders of frames, video files, MOTChallenge's layout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.helpers import clips, toy

from midstream import data as datasets
from midstream import models
from midstream.codec.registry import make_codec
from midstream.data.base import Mark
from midstream.errors import InputError
from midstream.evaluation.run import run


def write_video(path: Path, count: int, size: tuple[int, int] = (48, 64)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt = *size, "rgb24"
        for image in clips.frames(count):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[: size[0], : size[1]]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path / "home"


def test_sub_folders_are_clips_with_frames_by_number(tmp_path: Path) -> None:
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set', (11, 3))}")
    assert [len(part) for part in dataset.parts] == [11, 3]
    first, second = dataset.parts
    assert [image.path.name for image in first] == [f"{number}.png" for number in range(1, 12)]
    assert [image.id for image in (*first, *second)] == list(range(1, 15))
    assert first[0].clip == datasets.Clip("clip0", clips.RATE)
    assert [image.time_s for image in second] == [0, 0.1, 0.2]
    assert dataset.ground_truth is None
    assert dataset.marks[1] == (Mark("cat", clips.box(0)),)
    assert set(dataset.marks) == set(range(1, 14))  # not the last frame, where nothing is seen


def test_a_folder_of_frames_is_one_clip(tmp_path: Path) -> None:
    folder = clips.write_frames(tmp_path / "street", clips.frames(3))
    (folder / "clip.json").write_text(json.dumps({"fps": 5, "category": "car", "blobs": [[[1, 2, 3, 4]] * 2, [], []]}))
    dataset = datasets.load(f"clips:{folder}")
    assert [image.time_s for image in dataset.images] == [0, 0.2, 0.4]
    assert dataset.images[0].clip == datasets.Clip("street", 5)
    assert dataset.marks == {1: (Mark("car", (1, 2, 3, 4)),) * 2}


def test_what_a_file_says_drives_no_terminal(tmp_path: Path) -> None:
    folder = clips.write_frames(tmp_path / "street", clips.frames(1))
    said = {"category": "\x1b[31mcar", "boxes": [[1, 2, 3, 4]], "notes": ["\x1b[2Jtwo\nlines", "x" * 1000]}
    (folder / "clip.json").write_text(json.dumps(said))
    dataset = datasets.load(f"clips:{folder}")
    assert dataset.notes[0] == " [2Jtwo lines"
    assert len(dataset.notes[1]) == 300
    assert dataset.marks[1][0].category == " [31mcar"


def test_without_a_file_there_is_a_rate_and_nothing_marked(tmp_path: Path) -> None:
    clips.write_frames(tmp_path / "a", clips.frames(2))
    (tmp_path / "notes").mkdir()
    dataset = datasets.load(f"clips:{tmp_path}")
    assert [part[0].clip for part in dataset.parts] == [datasets.Clip("a", 25.0)]
    assert dataset.marks == {}


def test_the_limit_is_of_each_clip(tmp_path: Path) -> None:
    spec = f"clips:{clips.write_clips(tmp_path / 'set')}"
    dataset = datasets.load(spec, 2)
    assert [len(part) for part in dataset.parts] == [2, 2]
    assert set(dataset.marks) == {image.id for image in dataset.images}
    assert datasets.load(spec, 99) == datasets.load(spec)


def test_images_are_parts_of_one(tmp_path: Path) -> None:
    toy.write_images(tmp_path / "images", 3)
    dataset = datasets.load(str(tmp_path / "images"))
    assert [len(part) for part in dataset.parts] == [1, 1, 1]
    assert len(datasets.load(str(tmp_path / "images"), 2).images) == 2
    assert not datasets.has_clips(dataset.spec)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"clip9": {}}', "lists the clip 'clip9', of which there is no frame"),
        ('{"clip0": {"boxes": [null]}}', "has boxes of 1 frame of 'clip0', whose folder has 5"),
        ('{"clip0": {"times": [0, 1, 2, 1, 4]}}', "times of 'clip0' go back"),
        ('{"clip0": {"fps": 0}}', "clip0.fps: Input should be greater than or equal to 0.001"),
        ('{"clip0": {"blobs": [[[1, 2, 3, NaN]], [], [], [], []]}}', "clip0.blobs.0.0.3: "),
        ('{"clip0": {"category": "cat", "boxes": [[1, 1, -5, 5], null, null, null, null]}}', "clip0.boxes.0.2: "),
        ('{"clip0": {"category": "cat", "boxes": [[1e308, 1, 5, 5], null, null, null, null]}}', "clip0.boxes.0.0: "),
        ('{"clip0": {"blobs": [[[1, 2, 3, 1e300]], [], [], [], []]}}', "clip0.blobs.0.0.3: "),
        ('{"\\u001b[2J": {}}', r"lists the clip ' \[2J'"),
        ("[]", "does not describe clips"),
        ("{", "does not describe clips"),
    ],
)
def test_a_file_that_says_something_else_than_the_folder(tmp_path: Path, content: str, why: str) -> None:
    (clips.write_clips(tmp_path / "set") / "clips.json").write_text(content)
    with pytest.raises(InputError, match=why):
        datasets.load(f"clips:{tmp_path / 'set'}")


def test_folders_without_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        datasets.load(f"clips:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no frame .* in .* or a sub-folder of it"):
        datasets.load(f"clips:{tmp_path}")


def test_a_video_is_decoded_once(tmp_path: Path, home: Path) -> None:
    path = write_video(tmp_path / "room.avi", 5)
    dataset = datasets.load(f"video:{path}")
    assert dataset.images[0].clip == datasets.Clip("room", 10.0)
    assert [image.time_s for image in dataset.images] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for image, wanted in zip(dataset.images, clips.frames(5), strict=True):
        np.testing.assert_array_equal(datasets.read_image(image.path), wanted)
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*.png")}
    assert datasets.load(f"video:{path}", 3).images == dataset.images[:3]
    assert {file: file.stat().st_mtime_ns for file in home.rglob("*.png")} == before


def test_of_a_video_only_what_is_asked_for_is_decoded(tmp_path: Path, home: Path) -> None:
    path = write_video(tmp_path / "room.avi", 5)
    assert len(datasets.load(f"video:{path}", 2).images) == 2
    assert len(list(home.rglob("*.png"))) == 2


def test_videos_that_are_none(tmp_path: Path, home: Path) -> None:
    with pytest.raises(InputError, match="there is no video file"):
        datasets.load(f"video:{tmp_path / 'none.mp4'}")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"cannot read the video .*text\.mp4"):
        datasets.load(f"video:{tmp_path / 'text.mp4'}")
    assert not any(home.rglob("*.png"))


def test_sequences_of_motchallenge(tmp_path: Path) -> None:
    dataset = datasets.load(f"mot:{clips.write_mot(tmp_path / 'train', sequences=2)}")
    assert [part[0].clip for part in dataset.parts] == [datasets.Clip("S-00", 10), datasets.Clip("S-01", 10)]
    assert dataset.labels == "coco"
    truth = dataset.ground_truth
    assert truth is not None
    assert [image["id"] for image in truth["images"]] == [image.id for image in dataset.images]
    there = [each for each in truth["annotations"] if not each["iscrowd"]]
    assert len(there) == 8
    assert [(each["image_id"], each["track"], tuple(each["bbox"])) for each in there[:2]] == [
        (1, 7, clips.box(0)), (2, 7, clips.box(1))
    ]  # fmt: skip
    assert {each["track"] for each in truth["annotations"] if each["iscrowd"]} == {9}
    assert [each["id"] for each in truth["annotations"]] == list(range(1, 17))


def test_a_sequence_by_itself_and_without_labels(tmp_path: Path) -> None:
    folder = clips.write_mot(tmp_path / "test") / "S-00"
    (folder / "gt" / "gt.txt").unlink()
    dataset = datasets.load(f"mot:{folder}")
    assert dataset.ground_truth is None
    assert dataset.labels is None
    assert len(dataset.images) == 4


def _drop_labels(root: Path) -> None:
    (root / "S-01" / "gt" / "gt.txt").unlink()


def _drop_frame(root: Path) -> None:
    (root / "S-00" / "img1" / "2.png").unlink()


def _no_rate(root: Path) -> None:
    (root / "S-00" / "seqinfo.ini").write_text("[Sequence]\nname=S-00\n")


def _add(line: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        file = root / "S-00" / "gt" / "gt.txt"
        file.write_text(file.read_text() + line + "\n")

    return change


def _says(line: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        file, key = root / "S-00" / "seqinfo.ini", line.partition("=")[0]
        lines = [line if each.startswith(key) else each for each in file.read_text().splitlines()]
        file.write_text("\n".join(lines))

    return change


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_drop_labels, "S-01 has no gt/gt.txt"),
        (_drop_frame, "lists 4 frames; there are 3"),
        (_no_rate, "does not describe a sequence: frameRate: Field required"),
        (_add("5,1,1,1,1,1,1,1,1"), "line 13: there is no frame 5; the sequence has 4"),
        (_add("1,7,1,1,1,1,1,1,1"), "line 13: the track 7 is twice in frame 1"),
        (_add("1,x,1,1,1,1,1,1,1"), "line 13: could not convert"),
        (_add("1,2,3"), "line 13: not the numbers"),
        (_says("frameRate=1e-320"), "frameRate: Input should be greater than or equal to 0.001"),
        (_says("frameRate=1e308"), "frameRate: Input should be less than or equal to 1000000"),
        (_says(f"imHeight={10**30}"), "imHeight: Input should be less than or equal to 1000000"),
        (_says("imWidth=" + "9" * 5000), "imWidth: Unable to parse"),
        (_says("seqLength=0"), "seqLength: Input should be greater than or equal to 1"),
        (_says("imDir=../S-01/img1"), "imDir is outside of its folder"),
        (_says("imDir=/"), "imDir is outside of its folder"),
        (_says("imDir=a\0b"), "there are 0 in .*a b"),
        (_says("imDir=" + "x" * 5000), r"there are 0 in .*\.\.\."),
        (_add("1e308,1,1,1,1,1,1,1,1"), r"line 13: the frame 1e\+308 is no whole number, or too large"),
        (_add("1.5,1,1,1,1,1,1,1,1"), "line 13: the frame 1.5 is no whole number"),
        (_add("1,1e308,1,1,1,1,1,1,1"), r"line 13: the id 1e\+308 is no whole number, or too large"),
        (_add("1,1.9,1,1,1,1,1,1,1"), "line 13: the id 1.9 is no whole number"),
        (_add("1,1,1,1,1,1,1,1.5,1"), "line 13: the class 1.5 is no whole number"),
        (_add("1,1,1,1,-10,-10,1,1,1"), "line 13: a box of -10 x -10 at 1, 1 is in no frame"),
        (_add("1,1,1,1,1e300,10,1,1,1"), r"line 13: a box of 1e\+300 x 10 at 1, 1 is in no frame"),
        (_add("1,1,-1e300,1,10,10,1,1,1"), "line 13: a box of 10 x 10 at .* is in no frame"),
        (_add("1,2,3,4,nan,6,1,1"), "line 13: not the numbers"),
    ],
)
def test_sequences_that_are_damaged(tmp_path: Path, damage: Callable[[Path], None], why: str) -> None:
    damage(clips.write_mot(tmp_path / "train", sequences=2))
    with pytest.raises(InputError, match=why) as raised:
        datasets.load(f"mot:{tmp_path / 'train'}")
    assert len(str(raised.value)) < 600


def test_links_to_sequences_of_one_name_are_clips_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for part in ("one", "two"):
        clips.write_mot(tmp_path / part)
        (tmp_path / "all" / part).symlink_to(tmp_path / part / "S-00", target_is_directory=True)
    dataset = datasets.load(f"mot:{tmp_path / 'all'}")
    assert [part[0].clip for part in dataset.parts] == [datasets.Clip("one", 10), datasets.Clip("two", 10)]


def test_no_sequence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sequence in"):
        datasets.load(f"mot:{tmp_path}")


def test_a_calibration_takes_frames_of_clips(tmp_path: Path) -> None:
    toy.write_toy(tmp_path)
    clips.write_clips(tmp_path / "set", (14, 14))
    options = ["-m", "toy.toml", "--images", "clips:set", "--max-images", "24", "-o", "toy.profile", "--json", "-q"]
    command = [sys.executable, "-m", "midstream", "calibrate", *options]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["images"] == 24


def test_eval_works_on_clips(tmp_path: Path) -> None:
    model = models.load(str(toy.write_toy(tmp_path)))
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set')}", 3)
    (result,) = run(model, dataset, [make_codec("paper", {"symbols": 4})])
    assert result.images == 6
    assert result.metric.startswith("agreement")
