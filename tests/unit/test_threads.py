"""Work shared out to threads: `calibrated` writes and reads the same with any number of them."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from tests.helpers import profiles

import midstream as ms
from midstream import _native
from midstream.calibration import ordered
from midstream.codec import threads as threads_module
from midstream.codec.calibrated.parts import step_sizes
from midstream.codec.threads import Following, run
from midstream.errors import InputError

PROFILES = {
    "floats": profiles.profile(),
    "whole numbers": profiles.profile(cells=True),
    "entropy models": profiles.profile(entropy=True),
    "layers": profiles.profile(layers=2),
}
PYRAMID = profiles.pyramid(5)


@pytest.fixture
def any_work_is_worth_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "_WORTH_THREADS", 1)


@pytest.mark.usefixtures("any_work_is_worth_threads")
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("threads", [2, 3, 16])
def test_bytes_and_values_are_those_of_one_thread(profile: ms.Profile, threads: int, simd_path: str) -> None:
    for quality in (20, 80):
        data = ms.encode(PYRAMID, "calibrated", profile=profile, quality=quality, threads=1)
        assert ms.encode(PYRAMID, "calibrated", profile=profile, quality=quality, threads=threads) == data
        once, again = (ms.decode(data, profile=profile, threads=count) for count in (1, threads))
        assert list(once) == list(again)
        assert all(once[name].tobytes() == again[name].tobytes() for name in once)
        one = list(once)[-1:]  # of another group than the first
        assert ms.decode(data, profile=profile, levels=one, threads=threads)[one[0]].tobytes() == once[one[0]].tobytes()


@pytest.mark.usefixtures("any_work_is_worth_threads")
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_is_damaged_is_refused_by_any_number_of_threads(profile: ms.Profile) -> None:
    data = ms.encode(PYRAMID, "calibrated", profile=profile, quality=80)
    header = ms.inspect(data)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(20):
        bad = bytearray(data)
        bad[rng.integers(header.header_bytes, len(data) - header.checksum_bytes)] ^= 1 << rng.integers(8)
        bad[-4:] = _native.crc32c(bytes(bad[header.header_bytes : -4])).to_bytes(4, "little")
        made: list[object] = []
        for threads in (1, 2):
            try:
                levels = ms.decode(bytes(bad), profile=profile, threads=threads)
                made.append({name: values.tobytes() for name, values in levels.items()})
            except ms.CorruptError as error:
                made.append(str(error))
        assert made[0] == made[1]
        refused += isinstance(made[0], str)
    assert refused


def test_rows_are_told_of_as_they_are_decoded() -> None:
    rng, sides, count = np.random.default_rng(0), (5, 7), 9
    values, expected = (rng.normal(size=(35, each)).astype(np.float32) for each in (count, 4))
    weights = (0.2 * rng.normal(size=(3, count, count))).astype(np.float32)
    offsets = np.zeros((_native.COEFFICIENT_LEVELS, 3), np.int8)
    steps = np.array([100], np.int16)
    for whole in (False, True):
        model = _native.CoefficientModel(
            np.full(count, 128, np.int16), np.zeros((count, 2), np.uint16), offsets, weights, whole
        )
        begin, places = _native.coefficient_state(), np.zeros(sides, np.uint8)
        stream = model.encode(values, places, False, steps, step_sizes(steps), begin)[0]
        told: list[tuple[int, bytes]] = []

        def done(coefficients: np.ndarray, rows: int, told: list[tuple[int, bytes]] = told) -> None:
            told.append((rows, coefficients[: 7 * rows].tobytes()))

        found = model.decode(stream, *sides, steps, step_sizes(steps), begin, done=done)
        assert found is not None
        assert told == [(rows, found[1][: 7 * rows].tobytes()) for rows in range(1, 6) if whole]
        told.clear()  # what is expected is added when no row needs to know what is decoded without it
        more = model.decode(stream, *sides, steps, step_sizes(steps), begin, done=done, expected=expected)
        assert more is not None
        found[1][:, :4] += expected
        assert more[1].tobytes() == found[1].tobytes()
        assert told == [(rows, found[1][: 7 * rows].tobytes()) for rows in range(1, 5) if whole]

    def fails(coefficients: np.ndarray, rows: int) -> None:
        raise RuntimeError(f"row {rows}")

    with pytest.raises(RuntimeError, match="row 1"):
        model.decode(stream, *sides, steps, step_sizes(steps), begin, done=fails)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_all_that_follows_is_done(threads: int) -> None:
    done: list[int] = []
    with Following(threads) as following:
        for number in range(50):
            following.add(lambda number=number: done.append(number))
    assert sorted(done) == list(range(50))


def test_others_work_while_this_thread_goes_on() -> None:
    begun = threading.Event()
    with Following(2) as following:
        following.add(begun.set)
        assert begun.wait(60)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_a_task_raises_is_raised(threads: int) -> None:
    def fails() -> None:
        raise ValueError("a task")

    with pytest.raises(ValueError, match="a task"), Following(threads) as following:
        following.add(fails)


def test_after_an_error_nothing_is_begun() -> None:
    done: list[int] = []
    begun, end = threading.Event(), threading.Event()

    def waits() -> None:
        begun.set()
        end.wait(60)

    def goes_wrong() -> None:
        with Following(2) as following:
            following.add(waits)
            assert begun.wait(60)
            following.add(lambda: done.append(1))
            threading.Timer(2, end.set).start()
            raise ValueError("the finder")

    with pytest.raises(ValueError, match="the finder"):
        goes_wrong()
    assert not done


@pytest.fixture(params=[0, 1])
def begun(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that somebody has begun since this was cleared; there is room for none, or for one."""
    begun, start = list[threading.Thread](), threading.Thread.start

    def begin(thread: threading.Thread) -> None:
        begun.append(thread)
        if len(begun) > request.param:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    return begun


@pytest.mark.usefixtures("any_work_is_worth_threads")
def test_without_room_for_threads_this_one_does_it_all(begun: list[threading.Thread]) -> None:
    profile = PROFILES["layers"]
    data = ms.encode(PYRAMID, "calibrated", profile=profile, threads=1)
    once = ms.decode(data, profile=profile, threads=1)
    assert not begun
    assert ms.encode(PYRAMID, "calibrated", profile=profile, threads=4) == data
    assert begun
    begun.clear()
    again = ms.decode(data, profile=profile, threads=4)
    assert begun
    assert all(once[name].tobytes() == again[name].tobytes() for name in once)


def test_what_tasks_raise_is_raised_without_room_for_threads(begun: list[threading.Thread]) -> None:
    def fails() -> None:
        raise ValueError("a task")

    def followed() -> None:
        with Following(4) as following:
            for _ in range(3):
                following.add(fails)

    with pytest.raises(ValueError, match="a task"):
        followed()
    begun.clear()
    with pytest.raises(ValueError, match="a task"):
        run(lambda _: fails(), range(3), 4)
    assert begun


def test_each_task_is_done_once_without_room_for_threads(begun: list[threading.Thread]) -> None:
    done: list[int] = []
    assert run(lambda task: done.append(task) or 2 * task, range(50), 4) == [2 * task for task in range(50)]
    assert sorted(done) == list(range(50))
    assert begun
    a, b = np.arange(300.0 * 1024).reshape(1024, 300) % 7, np.arange(300.0 * 50).reshape(300, 50) % 5
    np.testing.assert_array_equal(ordered.product(a, b), a @ b)  # a sum, to which whatever is done twice is added twice


def test_a_batch_is_done_without_room_for_threads(begun: list[threading.Thread]) -> None:
    profile = PROFILES["layers"]
    data = ms.encode_batch([PYRAMID] * 5, "calibrated", profile=profile, threads=3)
    assert begun
    assert data == [ms.encode(PYRAMID, "calibrated", profile=profile, threads=1)] * 5
    assert len(ms.decode_batch(data, profile=profile, threads=3)) == 5
    with pytest.raises(InputError, match="image 1 of the batch"):
        ms.encode_batch([PYRAMID, {}], "calibrated", profile=profile, threads=3)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_of_several_errors_the_first_in_order_is_raised(threads: int) -> None:
    def work(task: int) -> None:
        time.sleep(0.1 if task == 0 else 0)
        if task < 2:
            raise ValueError(f"task {task}")

    with pytest.raises(ValueError, match="task 0"):
        run(work, range(6), threads)


def test_an_interrupt_of_this_thread_is_raised_whatever_another_one_raised() -> None:
    begun, failed = threading.Event(), threading.Event()

    def work(_: int) -> None:
        if threading.current_thread() is threading.main_thread():
            begun.set()
            assert failed.wait(60)
            raise KeyboardInterrupt
        assert begun.wait(60)
        failed.set()
        raise ValueError("a task")

    with pytest.raises(KeyboardInterrupt):
        run(work, range(2), 2)


@pytest.mark.parametrize("threads", [2, 4])
def test_after_an_error_of_a_task_the_others_are_left_out(threads: int) -> None:
    done: list[int] = []

    def work(task: int) -> None:
        if task == 0:
            raise KeyboardInterrupt
        time.sleep(0.01)
        done.append(task)

    with pytest.raises(KeyboardInterrupt):
        run(work, range(1000), threads)
    assert len(done) < 500
