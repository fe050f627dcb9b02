"""Scenes in motion: the same on every machine, objects that stay themselves, boxes that are their masks'."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE
from midstream.data.scenes import motion
from midstream.data.scenes.motion import Film, FilmFrame
from midstream.data.scenes.motion.eye import DRIVING, IN_HAND, STILL, TURNING
from midstream.data.scenes.motion.laws import _BEFORE_LINE, _BRAKE, FINE, Driver, Leg, Line, drive, walk
from midstream.errors import InputError

#: SHA-256 of image and labels of single frames of edition 1. When a clip changes on purpose, EDITION goes up; when it
#: does not, the machine, numpy or OpenCV does something else than integers.
GOLDEN: dict[tuple[int, tuple[int, int], int], str] = {
    (0, (256, 512), 0): "7c4d3b01c1e4c91e",
    (0, (256, 512), 99): "79e9f5fb30e46ff9",
    (3, (256, 512), 50): "24239fed86296cda",
    (6, (256, 512), 0): "4849cf2ef4fa179f",
    (6, (256, 512), 60): "de9250c491d7bd7e",
    (13, (256, 512), 250): "d39164bb0fa82f4b",
    (1_000_003, (128, 256), 20): "9300efca0c5a7b4c",
    (12, (97, 331), 499): "669bebd069d3bf43",
}
#: Clips of each kind of camera; frames of half a second between.
SEEDS, STEP = (0, 3, 6, 13), 12
SMALL = (128, 256)


def digest(frame: FilmFrame) -> str:
    return hashlib.sha256(frame.image.tobytes() + frame.instance_ids.astype("<u2").tobytes()).hexdigest()[:16]


@cache
def film(seed: int) -> Film:
    return Film(seed, SMALL)


@cache
def frames(seed: int) -> list[FilmFrame]:
    return [film(seed).frame(number) for number in range(0, motion.FRAMES, STEP)]


@pytest.mark.parametrize(("seed", "size", "number"), GOLDEN)
def test_a_seed_gives_the_same_bits_everywhere(seed: int, size: tuple[int, int], number: int) -> None:
    assert motion.EDITION == 1
    assert digest(Film(seed, size).frame(number)) == GOLDEN[seed, size, number]


def test_a_frame_is_the_same_in_any_order_and_process() -> None:
    forward = [digest(frame) for frame in film(6).frames(4)]
    other = Film(6, SMALL)
    assert [digest(other.frame(number)) for number in (3, 2, 1, 0)] == forward[::-1]
    code = (
        "import hashlib; from midstream.data.scenes.motion import Film; f = Film(6, (128, 256)).frame(3);"
        "print(hashlib.sha256(f.image.tobytes() + f.instance_ids.astype('<u2').tobytes()).hexdigest()[:16])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == forward[3]


def test_cameras_are_of_all_kinds() -> None:
    assert {film(seed).camera for seed in range(30)} == {STILL, TURNING, DRIVING, IN_HAND}


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_and_shares_are_those_of_masks(seed: int) -> None:
    for frame in frames(seed):
        labelled = set(np.unique(frame.instance_ids[frame.instance_ids >= FIRST_INSTANCE]).tolist())
        assert {seen.object.value for seen in frame.objects if seen.pixels} == labelled
        for seen in frame.objects:
            mask = frame.instance_ids == seen.object.value
            assert seen.pixels == mask.sum() <= seen.area
            assert seen.hidden == 1000 - 1000 * seen.pixels // seen.area
            assert CLASSES[seen.object.name] == seen.object.value // FIRST_INSTANCE
            if seen.visible is None:
                assert not mask.any()
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            left, top, width, height = seen.visible
            assert (left, top) == (columns[0], rows[0])
            assert (left + width, top + height) == (columns[-1] + 1, rows[-1] + 1)
            assert seen.box[0] <= left
            assert seen.box[1] <= top
            assert left + width <= seen.box[0] + seen.box[2] <= SMALL[1]
            assert top + height <= seen.box[1] + seen.box[3] <= SMALL[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_object_keeps_its_identity_and_moves_steadily(seed: int) -> None:
    """From one frame to the next an object that is in the midst of the image is near where it was, and as large."""
    before: dict[int, motion.FilmObject] = {}
    followed = 0
    values: dict[int, int] = {}
    for frame in (film(seed).frame(number) for number in range(20)):
        now = {seen.object.track: seen for seen in frame.objects}
        assert len(now) == len(frame.objects)
        for track, seen in now.items():
            assert values.setdefault(track, seen.object.value) == seen.object.value
            left, _, width, _ = seen.box
            if track in before and left > 0 and left + width < SMALL[1]:
                was = before[track].box
                middle = left + width / 2 - was[0] - was[2] / 2
                assert abs(middle) <= max(8, 0.25 * width)
                assert abs(seen.box[3] - was[3]) <= max(3, 0.15 * was[3])
                followed += 1
        before = now
    assert followed > 60
    assert len(set(values.values())) == len(values)


def test_things_hide_each_other_enter_and_leave() -> None:
    shares, counts = [], []
    for seed in SEEDS:
        seen = [{each.object.track for each in frame.objects if each.pixels} for frame in frames(seed)]
        counts.append((len(seen[-1] - seen[0]), len(seen[0] - seen[-1])))
        shares += [each.hidden for frame in frames(seed) for each in frame.objects]
    assert sum(share > 300 for share in shares) > 20
    assert sum(share == 0 for share in shares) > 20
    assert all(came or went for came, went in counts)
    assert sum(came for came, _ in counts) > 3
    assert sum(went for _, went in counts) > 3


def test_the_noise_is_another_in_every_frame_and_the_street_is_not() -> None:
    """Of a camera that stands, what nothing moves in differs by noise alone."""
    seed = next(seed for seed in range(30) if film(seed).camera == STILL)
    one, two, three = (film(seed).frame(number) for number in (0, 1, 2))
    idle = (one.instance_ids == two.instance_ids) & (one.instance_ids == three.instance_ids)
    idle &= one.instance_ids < FIRST_INSTANCE
    first, second = (two.image.astype(int) - one.image)[idle], (three.image.astype(int) - two.image)[idle]
    assert (first != 0).mean() > 0.5
    assert abs(float(first.mean())) < 1
    assert np.abs(first).max() < 60
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1] + 0.5) < 0.1  # they share a frame's noise, reversed


def test_texture_goes_with_the_camera() -> None:
    """A camera that turns shows the same street elsewhere: moved back, two frames are alike but for noise."""
    seed = next(seed for seed in range(60) if film(seed).camera == TURNING)
    turning = Film(seed, SMALL)
    turning._sensor._grain = 0
    looks = [turning._world.eye.seen(number, SMALL[0]) for number in range(motion.FRAMES)]
    shifts = [(look.centre - looks[0].centre, look.horizon - looks[0].horizon) for look in looks]
    # Whole pixels of the image, and far enough to matter.
    number = next(n for n, (x, y) in enumerate(shifts) if abs(x) >= 8 and x % 2 == 0 and y % 2 == 0)
    one, other = turning.frame(0), turning.frame(number)
    back = tuple(-each // 2 for each in shifts[number])[::-1]
    moved, ids = (np.roll(each, back, axis=(0, 1)) for each in (other.image, other.instance_ids))
    street = (one.instance_ids < FIRST_INSTANCE) & (ids < FIRST_INSTANCE)
    street &= (one.instance_ids > 4) & (ids > 4)
    street[:, : abs(back[1])] = street[:, -abs(back[1]) :] = False
    along = np.abs(moved.astype(int) - one.image)[street]
    assert len(along) > 10_000
    assert (along == 0).mean() > 0.7
    assert np.median(np.abs(other.image.astype(int) - one.image)[street]) > 2


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**40), st.integers(32, 90), st.integers(32, 150), st.integers(0, motion.MOST_FRAMES - 1))
def test_any_seed_size_and_frame_is_a_scene(seed: int, height: int, width: int, number: int) -> None:
    frame = Film(seed, (height, width)).frame(number)
    assert frame.image.shape == (height, width, 3)
    assert frame.image.dtype == np.uint8
    assert frame.instance_ids.dtype == np.uint16
    assert all(seen.area > 0 for seen in frame.objects)
    assert all(0 <= seen.hidden <= 1000 for seen in frame.objects)


@given(
    st.lists(st.tuples(st.integers(1000, 3000), st.integers(1, 1500)), min_size=1, max_size=6),
    st.integers(0, 150),
    st.integers(0, 200),
)
def test_drivers_never_touch_nor_go_back_and_stop_at_a_closed_line(
    gaps: list[tuple[int, int]], first: int, length: int
) -> None:
    places = np.cumsum([gap for gap, _ in gaps])[::-1].tolist()
    drivers = [Driver.of(at, 200, speed) for at, (_, speed) in zip(places, gaps, strict=True)]
    line = Line(places[0] + 2500, ((first, first + length),))
    # From where they begin: who cannot stop any more goes on.
    can_stop = [
        each.speed**2 < 2 * _BRAKE * ((line.at - _BEFORE_LINE) * FINE - each.at - each.half) for each in drivers
    ]
    tracks = drive(drivers, [line], 300)
    assert (np.diff(tracks, axis=1) >= 0).all()
    assert (tracks[:-1] - tracks[1:] >= 400).all()
    speeds = [each.speed for each in drivers]
    assert all(0 <= speed <= each.wish for speed, each in zip(speeds, drivers, strict=True))
    if first == 0:
        during = tracks[:, min(length, 299)] + 200
        assert (during[can_stop] <= line.at).all()


def test_walkers_follow_their_legs() -> None:
    x, z, way = walk(100, 500, [Leg(10, 2 * FINE, 0), Leg(5, 0, 0), Leg(100, 0, -FINE)], 30)
    assert x.tolist() == [100 + 2 * min(i, 10) for i in range(30)]
    assert z.tolist() == [500 - max(i - 15, 0) for i in range(30)]
    assert way[-1] == 20 + 14


def test_refusals() -> None:
    with pytest.raises(InputError, match="from 0, not -1"):
        Film(-1)
    with pytest.raises(InputError, match="32 to 4096 pixels wide and high, not 512x16"):
        Film(0, (16, 512))
    with pytest.raises(InputError, match="there is no frame 500: a clip has 500 at most"):
        film(0).frame(500)
