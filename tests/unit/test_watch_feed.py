"""Sources as they are watched: their times, the pause, what has ended and is played again, what is lost and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

from midstream.data.frames import Frame, Source
from midstream.errors import InputError
from midstream.serve.intake import Intake
from midstream.watch import feed as feed_module
from midstream.watch.controls import Controls, Steerable, Target
from midstream.watch.feed import Feed, Kind, Phase

IMAGE = np.zeros((4, 6, 3), np.uint8)


class Film:
    """A source of made frames at these times; it ends, or fails with `problem`."""

    tick_s: Fraction | None = None

    def __init__(self, times: list[float | None], rate: float = 1000.0, problem: str = "") -> None:
        self.rate, self._times, self._problem = rate, times, problem

    def frames(self) -> Iterator[Frame]:
        for number, at in enumerate(self._times):
            yield Frame(number, "film", IMAGE, time_s=at)
        if self._problem:
            raise InputError(self._problem)


def knobs() -> Controls:
    return Controls(Target(), Steerable(True, True))


def no_more() -> Source:
    raise InputError("it is not there any more")


def of(source: Source, kind: Kind = Kind.FILE, **options: object) -> Feed:
    return Feed(source, no_more, kind, knobs(), **options)  # type: ignore[arg-type]


def test_kinds_of_sources(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.touch()
    assert Kind.of(str(film)) is Kind.of(str(tmp_path)) is Kind.of("https://host.example/film.mp4") is Kind.FILE
    assert Kind.of("-") is Kind.PIPE
    assert Kind.of("rtsp://user:secret@host.example/1") is Kind.of("/dev/null") is Kind.LIVE


def test_frames_are_numbered_and_their_times_never_go_back() -> None:
    times: list[float | None] = [5.0, 5.01, 5.005, None, 5.02]
    frames = list(of(Film(times), once=True).frames())
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == sorted(frame.time_s or 0.0 for frame in frames)
    assert frames[0].time_s == 0.0
    assert frames[1].time_s == pytest.approx(0.01)


def test_a_film_that_begins_again_goes_on_in_time() -> None:
    opened = [0]

    def reopen() -> Source:
        opened[0] += 1
        return Film([0.0, 0.01], rate=100)

    feed = Feed(reopen(), reopen, Kind.FILE, knobs(), loop=True)
    frames = list(islice(feed.frames(), 6))
    assert opened == [3]
    assert [frame.number for frame in frames] == list(range(6))
    assert np.diff([frame.time_s or 0.0 for frame in frames]) == pytest.approx([0.01] * 5)


def test_frames_of_a_file_keep_its_pace_and_the_pause_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only waiting moves."""
    now = [100.0]
    controls = knobs()

    def wait(ready: object, seconds: float | None = None) -> None:
        if seconds is None:  # somebody pauses, and goes on after a minute
            now[0] += 60.0
            controls.pause(False)
        else:
            now[0] += seconds

    monkeypatch.setattr(feed_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(controls, "wait", wait)
    feed = Feed(Film([0.0, 1.0, 2.0], rate=1), no_more, Kind.FILE, controls, once=True)
    seen = []
    for frame in feed.frames():
        seen.append(now[0])
        controls.pause(frame.number == 1)
    assert seen == [100.0, 101.0, 162.0]


def test_what_a_source_was_late_by_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    controls = knobs()
    monkeypatch.setattr(feed_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(controls, "wait", lambda ready, seconds=None: now.__setitem__(0, now[0] + seconds))
    seen = []
    for frame in Feed(Film([0.0, 1.0, 2.0, 3.0], rate=1), no_more, Kind.FILE, controls, once=True).frames():
        seen.append(now[0])
        now[0] += 10.0 * (frame.number == 0)  # a disk that sleeps
    assert seen == [0.0, 10.0, 11.0, 12.0]


def test_every_frame_means_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    controls = knobs()
    monkeypatch.setattr(controls, "wait", lambda ready, seconds=None: pytest.fail("it waits"))
    feed = Feed(Film([0.0, 1000.0], rate=1), no_more, Kind.FILE, controls, once=True, every=True)
    assert [frame.time_s for frame in feed.frames()] == [0.0, 1000.0]


def test_a_thousand_frames_a_second_leave_the_newest() -> None:
    """Of a camera; none waits, and memory holds one."""
    held = threading.Event()

    class Camera(Film):
        def frames(self) -> Iterator[Frame]:
            for number in range(1000):
                yield Frame(number, "camera", IMAGE)
            held.set()

    intake = Intake(of(Camera([]), Kind.LIVE, once=True), 1, drop_oldest=True)
    assert held.wait(60)
    newest = intake.get()
    assert newest is not None
    assert newest.number == 999
    assert intake.dropped == 999
    assert intake.get() is None


def test_a_camera_goes_on_while_nobody_looks() -> None:
    controls = knobs()
    controls.pause(True)

    class Camera(Film):
        def frames(self) -> Iterator[Frame]:
            for number in count():
                if number == 50:
                    controls.pause(False)
                yield Frame(number, "camera", IMAGE)

    feed = Feed(Camera([]), no_more, Kind.LIVE, controls)
    assert next(feed.frames()).number == 0  # of those that were shown
    controls.close()


def test_a_source_that_fails_is_an_error_where_it_is_shown_once() -> None:
    frames = of(Film([0.0], problem="the disk is gone"), once=True).frames()
    assert next(frames).number == 0
    with pytest.raises(InputError, match="the disk is gone"):
        next(frames)


def test_a_file_that_ended_is_played_again_on_request_and_a_lost_one_is_tried() -> None:
    controls, told, tries = knobs(), list[tuple[Phase, str]](), [0]

    def tell(phase: Phase, problem: str) -> None:
        told.append((phase, problem))
        if phase in (Phase.ENDED, Phase.FAILED):
            controls.ask_again()

    def reopen() -> Source:
        tries[0] += 1
        if tries[0] == 1:
            raise InputError("the folder is gone")
        return Film([0.0])

    frames = Feed(Film([0.0]), reopen, Kind.FILE, controls, told=tell).frames()
    assert [next(frames).number, next(frames).number] == [0, 1]
    assert told == [(Phase.PLAYING, ""), (Phase.ENDED, ""), (Phase.FAILED, "the folder is gone"), (Phase.PLAYING, "")]


def test_a_lost_camera_is_tried_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    controls = knobs()
    monkeypatch.setattr(controls, "wait_for_again", waits.append)
    told: list[tuple[Phase, str]] = []

    def reopen() -> Source:
        if len(waits) < 7:
            raise InputError("no route to it")
        return Film([0.0])

    camera = Film([0.0], problem="it does not answer")
    frames = Feed(camera, reopen, Kind.LIVE, controls, told=lambda *said: told.append(said)).frames()
    assert [next(frames).number, next(frames).number] == [0, 1]
    assert waits == [1, 2, 4, 8, 15, 15, 15]
    assert told[1] == (Phase.LOST, "it does not answer")
    assert told[2:] == [(Phase.LOST, "no route to it")] * 6 + [(Phase.PLAYING, "")]


def test_standard_input_is_not_played_again() -> None:
    controls, told = knobs(), list[Phase]()

    def tell(phase: Phase, problem: str) -> None:
        told.append(phase)
        if phase is Phase.FAILED:
            controls.close()
        else:
            controls.ask_again()

    assert len(list(Feed(Film([0.0]), no_more, Kind.PIPE, controls, told=tell).frames())) == 1
    assert told == [Phase.PLAYING, Phase.ENDED, Phase.FAILED]


def test_whoever_waits_goes_on_at_the_end_of_all() -> None:
    controls = knobs()
    controls.pause(True)
    feed = Feed(Film([0.0]), no_more, Kind.FILE, controls)
    waiting = threading.Thread(target=lambda: list(feed.frames()))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    controls.close()
    waiting.join(60)
    assert not waiting.is_alive()
