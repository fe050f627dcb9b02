"""A frame's way through codec and network, and what is counted and kept of it for the tabs."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.helpers import clips, watching
from tests.helpers.watching import noise

import midstream as ms
from midstream import models
from midstream.errors import InputError
from midstream.halves.clip import ClipBack, ClipEdge
from midstream.models.detections import Detections
from midstream.watch.beside import X264, Beside
from midstream.watch.board import MOST_POINTS, Board, Picture, Point
from midstream.watch.chain import STAGES, Chain
from midstream.watch.controls import Controls, Steerable, Target
from midstream.watch.feed import Phase
from midstream.watch.orders import carry_out, read_order
from midstream.watch.worker import in_words


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[models.SplitModel, Path]:
    described, profile = watching.toy_network(tmp_path_factory.mktemp("toy"))
    return models.load(str(described)), profile


def chain(network: tuple[models.SplitModel, Path], target: Target = Target(), **options: Any) -> Chain:  # noqa: B008
    model, profile = network
    return Chain(model, watching.toy_codec(profile, **options), target, 25.0, 64, 1)


def test_what_is_found_is_what_two_machines_find(network: tuple[models.SplitModel, Path]) -> None:
    model, profile = network
    here = chain(network, quality=50)
    edge = ClipEdge(model, ms.StreamEncoder(watching.toy_codec(profile, quality=50), key_interval=64))
    back = ClipBack(model, ms.StreamDecoder(str(profile)))
    keys = []
    for number, image in enumerate(clips.frames(5)):
        crossed = here.run(image, number / 25)
        unit = edge.encode(image)
        found = back.decode(unit, (image.shape[0], image.shape[1]))
        assert crossed.size == len(unit)
        assert isinstance(crossed.found, Detections)
        np.testing.assert_array_equal(crossed.found.boxes, found.boxes)
        assert set(crossed.seconds) == set(STAGES)
        keys.append(crossed.key)
    assert keys == [True, False, False, False, False]


def test_keys_come_on_request_with_another_size_and_with_another_target(
    network: tuple[models.SplitModel, Path],
) -> None:
    here, images = chain(network), clips.frames(8)
    keys = [here.run(images[0], 0.0).key, here.run(images[1], 0.1).key]
    here.ask_key()
    keys += [here.run(images[2], 0.2).key, here.run(images[3], 0.3).key]
    here.aim(Target(quality=90), 0.4)
    fine = here.run(images[4], 0.4)
    here.aim(Target(quality=5), 0.5)
    coarse = here.run(images[5], 0.5)
    keys += [fine.key, coarse.key, here.run(images[6], 0.6).key, here.run(images[7][:40], 0.7).key]
    assert keys == [True, False, True, False, True, True, False, True]
    assert fine.size > coarse.size


def test_a_bit_rate_replaces_what_the_codec_was_told(network: tuple[models.SplitModel, Path]) -> None:
    here = chain(network, quality=90)
    here.aim(Target(bitrate=20_000.0), 3.0)
    sizes = [here.run(noise(48, 64, n), 3.0 + n / 25).size for n in range(50)]
    assert sum(sizes) <= 20_000 / 8 * (2.0 + 1.0)  # of two seconds, and the bucket
    here.aim(Target(bitrate=40_000.0), 5.0)  # the same stream goes on
    finer = [here.run(noise(48, 64, n), 5.0 + n / 25) for n in range(50)]
    assert sum(each.size for each in finer) > sum(sizes)
    assert all(1 <= (each.quality or 0) <= 100 for each in finer)
    here.aim(Target(quality=90), 8.0)
    assert here.run(noise(48, 64), 8.0).size > np.mean(sizes)


def test_a_frame_that_cannot_be_coded_leaves_the_stream_as_it_was(
    network: tuple[models.SplitModel, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, images = chain(network), clips.frames(3)
    here.run(images[0], 0.0)
    front = type(network[0]).front
    monkeypatch.setattr(
        type(network[0]), "front", lambda self, image: {k: v * np.nan for k, v in front(self, image).items()}
    )
    with pytest.raises(InputError):
        here.run(images[1], 0.1)
    monkeypatch.undo()
    assert not here.run(images[2], 0.2).key


def test_what_the_decoder_refuses_is_followed_by_a_key(
    network: tuple[models.SplitModel, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, images = chain(network), clips.frames(3)
    here.run(images[0], 0.0)

    def refuse(*_: object, **__: object) -> None:
        raise ms.MissingReferenceError("the frame before was lost")

    monkeypatch.setattr(ms.StreamDecoder, "decode", refuse)
    with pytest.raises(ms.MissingReferenceError):
        here.run(images[1], 0.1)
    monkeypatch.undo()
    assert here.run(images[2], 0.2).key


def test_what_is_not_coded_agrees_with_itself_and_what_is_spoilt_does_not(
    network: tuple[models.SplitModel, Path],
) -> None:
    here, image = chain(network, quality=1), clips.frames(1)[0]
    crossed = here.run(image, 0.0)
    size = (image.shape[0], image.shape[1])
    own, same, other, none = here.agreement(crossed, [image, 255 - image, None], False, size)
    resized = here.agreement(crossed, [network[0].resized(image)], True, size)
    assert own is not None
    assert other is not None
    assert same == resized[1] == 1.0
    assert max(own, other) < 1.0
    assert none is None


def test_a_codec_of_another_network_and_one_without_a_target_are_refused(
    network: tuple[models.SplitModel, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="bitrate"):
        Chain(network[0], ms.Paper(symbols=4, z=1.5), Target(bitrate=1e5), 25.0, 64, 1)
    crossed = Chain(network[0], ms.Paper(symbols=4, z=1.5), Target(), 25.0, 64, 1).run(clips.frames(1)[0], 0.0)
    assert crossed.key
    assert Steerable.of(ms.Paper(symbols=4, z=1.5)) == Steerable(quality=False, bitrate=False)
    assert Steerable.of(watching.toy_codec(network[1])) == Steerable(quality=True, bitrate=True)


def test_jpeg_is_what_opencv_writes_and_x264_has_keys_where_they_are_asked_for() -> None:
    beside = Beside(80, 30)
    assert beside.names == ("JPEG, quality 80", "x264, QP 30")
    images = clips.frames(4)
    coded = [beside.coded(image, key) for image, key in zip(images, (True, False, False, True), strict=True)]
    for image, each in zip(images, coded, strict=True):
        _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        assert each.jpeg == data.tobytes()
    video = [len(each.x264 or b"") for each in coded]
    assert min(video[0], video[3]) > 2 * max(video[1], video[2])
    assert min(video) > 0


def test_x264_takes_odd_sizes_and_begins_anew_with_another_one() -> None:
    coder = X264(30)
    first = len(coder.code(noise(33, 47), True))
    assert len(coder.code(noise(33, 47), False)) < first
    assert coder.code(noise(60, 50), False)


def test_what_jpeg_and_x264_leave_is_like_the_frame_from_the_first_key_on() -> None:
    beside, keys = Beside(95, 12), (True, False, False, True, False, False)
    grey = [np.repeat(image[:47, :63, :1], 3, axis=2) for image in clips.frames(6)]  # colours are halved in both
    for number, (odd, key) in enumerate(zip(grey, keys, strict=True)):
        coded = beside.coded(odd, key)
        if number == 0:
            continue  # decoding is asked for in the middle of a stream
        jpeg, video = beside.decoded(coded, (47, 63), key)
        assert jpeg is not None
        assert (video is None) == (number < 3)
        for each in [jpeg] if video is None else [jpeg, video]:
            assert each.shape == odd.shape
            assert np.abs(each.astype(int) - odd).mean() < 2 < np.abs(grey[number - 1].astype(int) - odd).mean()
    beside.forget()
    coded = beside.coded(grey[0], False)
    assert beside.decoded(coded, (47, 63), False)[1] is None


@pytest.mark.parametrize("options", [(0, 30), (101, 30), (80, 0), (80, 52)])
def test_there_are_no_such_qualities(options: tuple[int, int]) -> None:
    with pytest.raises(InputError):
        Beside(*options)


def point(number: int) -> Point:
    return Point(number, number / 25, 100 + number, number == 0, 4000, None, 0.001, dict.fromkeys(STAGES, 0.002))


def drawing(number: int, drawn: list[int] | None = None) -> Callable[[], Picture]:
    def draw() -> Picture:
        if drawn is not None:
            drawn.append(number)
        return Picture(number, bytes([number]), 64, 48, "1 cat")

    return draw


def read(message: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def test_a_tab_gets_all_figures_and_the_newest_picture_once() -> None:
    board = Board()
    for number in range(3):
        board.add(point(number), drawing(number))
    message, points_from, picture_from = board.message(0, 0, {"paused": False})
    said, image = read(message)
    assert [row[0] for row in said["points"]] == [0, 1, 2]
    assert said["points"][0] == [0, 0.0, 100, 1, 4000, None, None, None, None, None, 1.0, 2.0, 2.0, 2.0, 2.0]
    assert (said["picture"], image) == ([2, 64, 48, "1 cat"], b"\x02")
    assert (said["frames"], said["keys"], said["phase"], said["paused"]) == (3, 1, "playing", False)
    said, image = read(board.message(points_from, picture_from, {})[0])
    assert (said["points"], image) == ([], b"")
    assert "picture" not in said
    board.add(point(3), lambda: None)  # it cannot be drawn
    said, image = read(board.message(points_from, picture_from, {})[0])
    assert [row[0] for row in said["points"]] == [3]


@pytest.mark.parametrize("watched", [False, True])
def test_frames_are_drawn_for_those_who_look_on_and_for_whoever_comes_later(watched: bool) -> None:
    board, drawn = Board(), list[int]()
    board.watched = lambda: watched
    for number in range(3):
        board.add(point(number), drawing(number, drawn))
    assert drawn == ([0, 1, 2] if watched else [])
    message, _, picture_from = board.message(0, 0, {})
    assert read(message)[1] == b"\x02"
    assert drawn == ([0, 1, 2] if watched else [2])
    assert read(board.message(3, picture_from, {})[0])[1] == b""
    assert read(board.message(0, 0, {})[0])[1] == b"\x02"
    assert drawn == ([0, 1, 2] if watched else [2])


def test_a_tab_that_was_away_gets_no_more_than_is_kept() -> None:
    board = Board()
    for number in range(MOST_POINTS + 500):
        board.add(point(number), lambda: None)
    said, _ = read(board.message(0, 0, {})[0])
    assert [row[0] for row in said["points"]] == list(range(500, MOST_POINTS + 500))
    assert board.tally.frames == MOST_POINTS + 500
    assert board.tally.bytes == sum(100 + number for number in range(MOST_POINTS + 500))
    frames_per_s, kbit_per_s = board.pace()
    assert frames_per_s > 25  # of these no time was taken
    assert kbit_per_s == pytest.approx(8e-3 * 25 * (100 + MOST_POINTS + 500), rel=0.05)


def test_one_frame_has_no_pace() -> None:
    board = Board()
    assert board.pace() == (0.0, 0.0)
    board.add(point(0), lambda: None)
    assert board.pace() == (0.0, 0.0)


def test_what_went_wrong_is_said_and_counted() -> None:
    board = Board()
    changed = [0]
    board.changed = lambda: changed.__setitem__(0, changed[0] + 1)
    board.left_out("1.png: no image", unreadable=True)
    board.left_out("frame 2: not finite", unreadable=False)
    board.source(Phase.LOST, "the camera does not answer")
    board.dropped(7)
    said, _ = read(board.message(0, 0, {})[0])
    assert (said["unreadable"], said["failed"], said["dropped"]) == (1, 1, 7)
    assert (said["problem"], said["phase"]) == ("frame 2: not finite", "lost")
    assert said["reason"] == "the camera does not answer"
    assert changed == [3]


def test_orders_reach_the_knobs() -> None:
    controls = Controls(Target(), Steerable(quality=True, bitrate=True))
    for text in ('{"do": "quality", "value": 42}', '{"do": "pause", "value": true}', '{"do": "key"}',
                 '{"do": "uncoded", "value": true}', '{"do": "again"}'):  # fmt: skip
        carry_out(read_order(text), controls)  # type: ignore[arg-type]
    assert controls.target == Target(quality=42)
    assert controls.paused
    assert controls.uncoded
    assert (controls.take_key(), controls.take_key()) == (True, False)
    assert (controls.take_again(), controls.take_again()) == (True, False)
    carry_out(read_order('{"do": "bitrate", "value": 64000}'), controls)  # type: ignore[arg-type]
    assert controls.target == Target(bitrate=64000.0)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"do": "delete"}', '{"do": "quality"}', '{"do": "quality", "value": "42"}',
     '{"do": "quality", "value": NaN}', '{"do": "pause", "value": 1}', '{"do": "key", "value": 1}', "{" * 900],
)  # fmt: skip
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_order(text)


@pytest.mark.parametrize("text", ['{"do": "quality", "value": 0}', '{"do": "quality", "value": 1e9}',
                                  '{"do": "bitrate", "value": -5}', '{"do": "bitrate", "value": 1e99}'])  # fmt: skip
def test_amounts_out_of_range_change_nothing(text: str) -> None:
    controls = Controls(Target(), Steerable(quality=True, bitrate=True))
    with pytest.raises(InputError):
        carry_out(read_order(text), controls)  # type: ignore[arg-type]
    assert controls.target == Target()
    without = Controls(Target(), Steerable(quality=False, bitrate=False))
    with pytest.raises(InputError):
        carry_out(read_order(text.replace("-5", "50000").replace("1e9", "50")), without)  # type: ignore[arg-type]


def test_what_is_found_is_said_in_words(network: tuple[models.SplitModel, Path]) -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    found = Detections(np.zeros((4, 4), np.float32), scores, np.array([1, 0, 1, 2]))
    assert in_words(network[0], found) == "2 × dog, 1 × cat"
    none = Detections(np.zeros((0, 4), np.float32), scores[:0], np.array([], int))
    assert in_words(network[0], none) == "nothing found"
