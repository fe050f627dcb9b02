"""What a server keeps of streams, and in which order it computes their units."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import streaming, toy
from tests.helpers.streaming import CODEC, Recorded, ready, same_detections

import midstream as ms
from midstream import _native, models
from midstream.codec.container import CRC_BYTES, header_size
from midstream.models import Detections, FloatPyramid
from midstream.serve.engine import Engine, ExpiredError, key_of
from midstream.serve.senders import stream_encoder
from midstream.serve.server import ServerSettings
from midstream.serve.streams import BESIDE, StreamLimits, Streams
from midstream.serve.telemetry import Telemetry
from midstream.serve.turns import Turns
from midstream.serve.work import Done, Outcome, Refused, Served, Work, infer, prepare, remembered

SIZE = (60, 50)
STREAM = ("owner", "session")
PLENTY = StreamLimits(1 << 30, 3600)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    model = models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))))
    return prepare(model, None, max_pixels=10_000, batch=1, threads=1, elements=None)


@pytest.fixture(scope="module")
def fitted(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """One with a profile."""
    codec = streaming.calibrated(served.model, tmp_path_factory.mktemp("profile") / "toy.profile")
    return replace(served, profile=codec.profile)


_coded: dict[tuple[bool, int, int], list[tuple[bytes, Detections]]] = {}


def own(served: Served) -> ms.Codec:
    return CODEC if served.profile is None else ms.Calibrated(profile=served.profile, quality=60, importance="probe")


def coded(served: Served, count: int, seed: int = 0) -> list[tuple[bytes, Detections]]:
    """The units of a stream, and what a local run finds in them; made once."""
    key = (served.profile is None, count, seed)
    if key not in _coded:
        codec = own(served)
        edge, clip = Recorded(served.model, codec), ready(served.model, count, seed, codec)
        _coded[key] = [(edge.code(frame), edge.codings[frame][-1].found) for frame in clip]
    return _coded[key]


# Streams: memory.


class Decoder:
    """Takes as many bytes as the last thing it was given."""

    size = 0

    def decode(self, unit: bytes) -> None:
        self.size = len(unit)


def held(memory: int, idle_s: float = 3600) -> tuple[Streams, list[str]]:
    dropped: list[str] = []
    return Streams(Decoder, StreamLimits(memory, idle_s), dropped.append), dropped  # type: ignore[arg-type]


def use(streams: Streams, owner: str, session: str, size: int) -> int:
    """The size before."""
    with streams.decoder((owner, session)) as decoder:
        before = decoder.size
        decoder.decode(bytes(size))  # type: ignore[arg-type]
        return before


def test_the_least_recently_used_of_who_has_most_is_forgotten() -> None:
    each = 100_000
    streams, dropped = held(4 * (each + BESIDE))
    for owner, session in (("many", "a"), ("one", "x"), ("many", "b"), ("many", "c")):
        assert use(streams, owner, session, each) == 0
    assert use(streams, "many", "a", each) == each
    assert (len(streams), streams.size, dropped) == (4, 4 * (each + BESIDE), [])
    for number in range(10):
        use(streams, "many", f"more {number}", each)
    assert dropped == 10 * ["memory"]
    assert use(streams, "one", "x", each) == each  # the oldest, but its owner has one
    assert use(streams, "many", "more 9", each) == each
    assert use(streams, "many", "more 6", each) == 0
    assert len(streams) == 4


def test_one_that_is_larger_than_all_that_is_allowed_is_not_kept() -> None:
    streams, dropped = held(100_000)
    use(streams, "a", "small", 1000)
    use(streams, "b", "large", 200_000)
    assert (len(streams), dropped) == (1, ["memory"])
    assert use(streams, "a", "small", 1000) == 1000
    assert use(streams, "b", "large", 1) == 0


def test_nothing_is_kept_of_a_stream_of_which_nothing_was_decoded() -> None:
    streams, dropped = held(1 << 20)
    with pytest.raises(ms.MidstreamError), streams.decoder(STREAM):
        raise ms.errors.CorruptError("no unit")
    assert (len(streams), streams.size, dropped) == (0, 0, [])


def test_room_for_less_than_one_stream_is_refused(served: Served) -> None:
    assert served.limits.elements == 100
    for memory, places in ((8_791, 1), (17_583, 2)):
        with pytest.raises(ms.InputError, match="one stream of toy takes up to 8,792; with 0 clients code each frame"):
            ServerSettings(stream_memory=memory).stream_limits(served, places)
    assert ServerSettings(stream_memory=17_584).stream_limits(served, 2) == StreamLimits(8_792, 60)
    assert ServerSettings(stream_memory=0).stream_limits(served) is None
    assert ServerSettings().stream_limits(served) == StreamLimits(256 << 20, 60)
    large = replace(served, limits=ms.Limits(elements=1 << 26))
    assert ServerSettings().stream_limits(large, 3) == StreamLimits(4 * (6 * (1 << 26) + BESIDE), 60)


def test_who_is_idle_is_forgotten() -> None:
    streams, dropped = held(1 << 20, idle_s=0.0)
    use(streams, "a", "1", 10)
    use(streams, "b", "2", 10)
    streams.forget_idle()
    assert (len(streams), streams.size, dropped) == (0, 0, ["idle", "idle"])
    streams, _ = held(1 << 20)
    use(streams, "a", "1", 10)
    streams.forget_idle()
    assert len(streams) == 1


def test_many_threads_keep_the_count() -> None:
    streams, _ = held(20 * (1000 + BESIDE))

    def work(owner: str) -> None:
        for number in range(300):
            use(streams, owner, str(number % 13), 1000)

    threads = [threading.Thread(target=work, args=[str(number)]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(streams), streams.size) == (20, 20 * (1000 + BESIDE))


# Turns: order.


def taken(turns: Turns[str], most: int = 1) -> list[str]:
    return [turn.job for turn in turns.take(most, 2)]


def test_units_of_a_stream_are_computed_in_order_and_others_overtake() -> None:
    turns: Turns[str] = Turns(2, 64)
    for job, lane in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("alone", None)):
        turns.put("client", job, lane)
    (first,) = turns.take(1, 2)
    assert first.job == "a1"
    (second,) = turns.take(1, 2)
    assert (second.job, taken(turns)) == ("b1", ["alone"])
    assert taken(turns) == []  # a2 waits for a1
    turns.done(first, 1.0)
    assert taken(turns) == ["a2"]
    assert len(turns) == 0


def test_several_units_of_a_stream_may_be_in_a_batch() -> None:
    turns: Turns[str] = Turns(2, 64)
    for job, lane in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")):
        turns.put("client", job, lane)
    batch = turns.take(3, 2)
    assert [turn.job for turn in batch] == ["a1", "b1", "a2"]
    assert taken(turns) == []
    turns.done(batch[0], 1.0)
    assert taken(turns) == []
    turns.done(batch[2], 1.0)
    assert taken(turns) == ["a3"]


def test_a_sender_that_comes_back_waits_for_what_it_sent_before() -> None:
    turns: Turns[str] = Turns(2, 64)
    turns.put("before", "1", "a")
    turns.put("before", "2", "a")
    turns.put("after", "3", "a")
    (first,) = turns.take(1, 2)
    assert (first.job, taken(turns)) == ("1", [])
    assert turns.drop(lambda job: job != "2") == ["2"]  # its first connection is gone
    turns.done(first, 1.0)
    assert taken(turns) == ["3"]


def test_a_unit_that_loses_its_place_holds_up_nobody() -> None:
    turns: Turns[str] = Turns(2, 3)
    for job in ("1", "2", "3"):
        turns.put("many", job, "a")
    assert turns.put("other", "4", "b") == "3"
    for expected in ("1", "4"):
        (turn,) = turns.take(1, 2)
        assert turn.job == expected
        turns.done(turn, 1.0)
    assert taken(turns) == ["2"]


# The engine: late units.


def test_a_late_unit_is_decoded_and_a_late_frame_is_not() -> None:
    seen: list[Work] = []
    gate = threading.Event()

    def run(works: Sequence[Work]) -> list[Outcome]:
        seen.extend(works)
        gate.wait(30)
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        return [Refused("", "late") if work.late else Done(nothing, 0.0, 0.0) for work in works]

    async def test() -> None:
        engine = Engine(run, Telemetry(), workers=1, queue=8, in_flight=8, batch=1)

        def ask(name: str, stream: tuple[str, str] | None, timeout_s: float | None = None) -> asyncio.Task[Any]:
            work = Work(name.encode(), SIZE, stream)
            return asyncio.create_task(engine.answer("client", key_of(*STREAM, 1, work), work, timeout_s))

        first = ask("first", STREAM)
        while not seen:
            await asyncio.sleep(0.001)
        late, alone, gone = ask("late", STREAM, 0.01), ask("alone", None, 0.01), ask("gone", STREAM)
        last = ask("last", STREAM)
        for each in (late, alone):
            with pytest.raises(ExpiredError):
                await each
        gone.cancel()  # its connection is lost: it is sent again, in its place
        await asyncio.gather(gone, return_exceptions=True)
        gate.set()
        await asyncio.gather(first, last)
        assert [(work.bitstream, work.late) for work in seen] == [(b"first", False), (b"late", True), (b"last", False)]
        assert engine.busy == 0
        await engine.close()

    asyncio.run(asyncio.wait_for(test(), 300))


# The client: which codecs code streams.


def test_a_codec_that_keeps_nothing_of_a_stream_has_no_encoder_of_streams(fitted: Served) -> None:
    calibrated = ms.Calibrated(profile=fitted.profile, importance="probe")
    for codec in (ms.Paper(), ms.Paper(coder="raw"), calibrated.changed(embed=True)):
        assert stream_encoder(codec, threads=1) is None
    for codec in (CODEC, calibrated):
        encoder = stream_encoder(codec, key_interval=7)
        assert encoder is not None
        assert encoder.codec is codec
    with pytest.raises(ms.InputError, match="key_interval"):
        stream_encoder(CODEC, key_interval=0)


# The work: units.


@pytest.mark.parametrize("kind", ["served", "fitted"])
def test_units_are_what_a_local_run_gives_one_by_one_and_together(kind: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(kind)
    clips = [coded(served, 6, seed) for seed in range(2)]
    pairs = [
        (("owner", str(n)), unit, found) for step in zip(*clips, strict=True) for n, (unit, found) in enumerate(step)
    ]
    works = [Work(unit, SIZE, stream) for stream, unit, _ in pairs]
    for size in (1, 5, 12):
        streams = remembered(served, PLENTY)
        outcomes = [o for first in range(0, 12, size) for o in infer(served, works[first : first + size], streams)]
        for outcome, (_, _, found) in zip(outcomes, pairs, strict=True):
            assert isinstance(outcome, Done)
            same_detections(outcome.output, found)
        assert len(streams) == 2


def test_units_of_several_streams_go_through_the_back_together(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def back_batch(pyramids: Sequence[FloatPyramid], sizes: Sequence[tuple[int, int]]) -> list[Any]:
        calls.append(len(pyramids))
        return [served.model.back(*each) for each in zip(pyramids, sizes, strict=True)]

    monkeypatch.setattr(served.model, "back_batch", back_batch, raising=False)
    clips = [coded(served, 6, seed) for seed in range(2)]
    works = [Work(clip[step][0], SIZE, ("owner", str(n))) for step in range(6) for n, clip in enumerate(clips)]
    outcomes = infer(replace(served, batch=4), works, remembered(served, PLENTY))
    for outcome, found in zip(outcomes, (clip[step][1] for step in range(6) for clip in clips), strict=True):
        assert isinstance(outcome, Done)
        same_detections(outcome.output, found)
    assert calls == [4, 4, 4]


def kinds(served: Served, works: Sequence[Work], streams: Streams | None) -> list[str]:
    return [outcome.kind if isinstance(outcome, Refused) else "" for outcome in infer(served, works, streams)]


def test_a_unit_without_what_it_refers_to_is_refused_as_such(fitted: Served) -> None:
    units = [unit for unit, _ in coded(fitted, 4)]
    streams = remembered(fitted, PLENTY)
    works = [Work(unit, SIZE, STREAM) for unit in units]
    assert kinds(fitted, [works[1], works[0], works[2], works[1], works[1], works[2]], streams) == [
        "reference", "", "reference", "", "reference", "",
    ]  # fmt: skip
    assert kinds(fitted, [replace(works[3], stream=("another", "session")), works[3]], streams) == ["reference", ""]
    assert kinds(fitted, works, None) == 4 * ["unsupported"]
    assert kinds(fitted, [replace(works[0], late=True), works[1]], streams) == ["late", ""]


def test_sizes_of_units_are_held_against_the_image_s(fitted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where inputs may have any size, a unit that is no key has the sizes of its key, whatever image it is said of."""
    free = replace(fitted, fixed=False, probe=(32, 32), limits=ms.Limits(), max_pixels=1 << 24)
    monkeypatch.setattr(fitted.model, "input_size", lambda size: size)
    encoder = ms.StreamEncoder(own(fitted))
    rng = np.random.default_rng(0)
    levels = {
        "p3": rng.normal(size=(5, 64, 64)).astype(np.float32),
        "p4": rng.normal(size=(5, 32, 32)).astype(np.float32),
    }
    key, later = encoder.encode(levels), encoder.encode(levels)
    streams = remembered(free, PLENTY)
    assert kinds(free, [Work(key, (32, 32), STREAM)], streams) == ["shapes"]
    assert len(streams) == 0  # nothing of it was decoded
    assert kinds(free, [Work(key, (512, 512), STREAM), Work(later, (32, 32), STREAM)], streams)[1] == "shapes"


def sealed(unit: bytes, change: Callable[[bytearray], None]) -> bytes:
    """A unit with changed bytes and right checksums."""
    size = header_size(unit)
    spoilt = bytearray(unit)
    change(spoilt)
    spoilt[6:8] = unit[6:8]  # of the size of the header, by which the checksums are found
    for start, end in ((0, size), (size, len(unit))):
        spoilt[end - CRC_BYTES : end] = struct.pack("<I", _native.crc32c(bytes(spoilt[start : end - CRC_BYTES])))
    return bytes(spoilt)


@pytest.mark.parametrize("kind", ["served", "fitted"])
@given(data=st.data())
def test_no_units_are_an_internal_error_or_leave_a_trace(
    kind: str, data: st.DataObject, request: pytest.FixtureRequest
) -> None:
    served: Served = request.getfixturevalue(kind)
    good = coded(served, 3)
    target = data.draw(st.integers(0, 2))

    def change(unit: bytearray) -> None:
        for _ in range(data.draw(st.integers(1, 4))):
            unit[data.draw(st.integers(8, len(unit) - 1))] = data.draw(st.integers(0, 255))

    hostile = Work(sealed(good[target][0], change), SIZE, STREAM)
    streams = remembered(served, PLENTY)
    works = [Work(unit, SIZE, STREAM) for unit, _ in good]
    assert kinds(served, works[:target], streams) == target * [""]
    assert kinds(served, [hostile], streams) != ["internal"]
    outcomes = infer(served, works[target:], streams)  # after it, the right ones; or a key is asked for
    for outcome, (_, found) in zip(outcomes, good[target:], strict=True):
        if isinstance(outcome, Done):
            same_detections(outcome.output, found)
        else:
            assert outcome.kind == "reference"
