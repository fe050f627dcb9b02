"""The parts of split inference that need no network: work, queue, handshake, safety, lines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pycocotools.mask
import pytest
import trustme
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.helpers import profiles, toy

import midstream as ms
from midstream import models
from midstream.data.film_writer import FilmWriter
from midstream.data.frames import Frame, open_source
from midstream.json_lines import Lines
from midstream.models import Detections, FloatPyramid
from midstream.models.annotate import annotate
from midstream.models.tasks.detection import InstanceSegmentation
from midstream.quantities import bits_per_second, seconds
from midstream.serve import messages, security
from midstream.serve.engine import BusyError, Engine, ExpiredError, key_of
from midstream.serve.intake import Intake
from midstream.serve.lines import answered
from midstream.serve.link import Link
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.session import Answer, RateLimiter
from midstream.serve.telemetry import Telemetry
from midstream.serve.work import Done, Outcome, Refused, Served, Work, infer, prepare

SIZE = (60, 50)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    model = models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))))
    return prepare(model, None, max_pixels=10_000, batch=8, threads=1, elements=None)


def images(count: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(count)]


def test_the_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    source = Path(messages.__file__).parents[2]
    written = tmp_path / "set"
    file = "midstream/serve/proto/serve.proto"
    assert protoc.main(["protoc", f"--proto_path={source}", f"--descriptor_set_out={written}", file]) == 0
    made = descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes()).file[0]
    ours = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(ours)
    for message in made.message_type:  # protoc writes these, the runtime leaves them out
        for field in message.field:
            field.ClearField("json_name")
    assert ours == made


def test_work_is_what_a_local_run_gives(served: Served) -> None:
    model = served.model
    coded = [ms.encode(model.front(image), symbols=4, z=1.5) for image in images(5)]
    for data, outcome in zip(coded, infer(served, [Work(data, SIZE) for data in coded]), strict=True):
        assert isinstance(outcome, Done)
        expected = model.back(ms.decode(data), SIZE)
        np.testing.assert_array_equal(outcome.output.boxes, expected.boxes)
        np.testing.assert_array_equal(outcome.output.scores, expected.scores)


def test_a_back_with_a_free_first_axis_takes_several_frames(tmp_path: Path) -> None:
    description = toy.write_toy(tmp_path)
    graph = onnx.load(str(tmp_path / "toy.onnx"))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for weight in graph.graph.initializer:
        if weight.name.startswith("shape_"):
            shape = onnx.numpy_helper.to_array(weight).copy()
            shape[0] = -1
            weight.CopyFrom(onnx.numpy_helper.from_array(shape, weight.name))
    onnx.save(graph, str(tmp_path / "toy.onnx"))
    model = models.load(str(description))
    served = prepare(model, None, max_pixels=10_000, batch=4, threads=1, elements=None)
    assert served.batch == 4
    calls = []
    back_batch = model.back_batch  # type: ignore[attr-defined]
    model.back_batch = lambda *given: calls.append(len(given[0])) or back_batch(*given)  # type: ignore[attr-defined]
    coded = [ms.encode(model.front(image), symbols=4, z=1.5) for image in images(6)]
    works = [Work(data, (60 + i, 50)) for i, data in enumerate(coded)]
    outcomes = infer(served, [*works[:3], Work(b"damaged", SIZE), *works[3:]])
    assert calls == [4, 2]
    assert isinstance(outcomes.pop(3), Refused)
    for work, outcome in zip(works, outcomes, strict=True):
        assert isinstance(outcome, Done)
        expected = model.back(ms.decode(work.bitstream), work.size)
        np.testing.assert_allclose(outcome.output.boxes, expected.boxes, rtol=1e-5)


def test_a_graph_that_declares_a_free_axis_and_fixes_it_inside_is_not_batched(tmp_path: Path) -> None:
    description = toy.write_toy(tmp_path)
    graph = onnx.load(str(tmp_path / "toy.onnx"))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(graph, str(tmp_path / "toy.onnx"))
    model = models.load(str(description))
    assert prepare(model, None, max_pixels=10_000, batch=4, threads=1, elements=None).batch == 1


def test_what_a_frame_holds_spoils_only_its_own_answer(served: Served) -> None:
    good = ms.encode(served.model.front(images(1)[0]))
    other = ms.encode({"p3": np.ones((5, 4, 4), np.float32), "p4": np.ones((5, 2, 1), np.float32)})
    large = ms.encode({"p3": np.ones((50, 40, 40), np.float32)})
    calibrated = ms.encode(profiles.pyramid(), codec="calibrated", profile=profiles.profile())
    works = {
        ("truncated", "TruncatedError"): Work(good[:-3], SIZE),
        ("corrupt", "CorruptError"): Work(b"junk", SIZE),
        ("limit", "LimitError"): Work(large, SIZE),
        ("shapes", "toy takes 'p3'"): Work(other, SIZE),
        ("profile", "another profile than this server has: none"): Work(calibrated, SIZE),
        ("size", "1 to 10000 pixels"): Work(good, (1000, 1000)),
        ("size", "an image of 0x5"): Work(good, (5, 0)),
    }
    outcomes = infer(served, [Work(good, SIZE), *works.values(), Work(good, SIZE)])
    assert isinstance(outcomes[0], Done)
    assert isinstance(outcomes[-1], Done)
    for (kind, reason), outcome in zip(works, outcomes[1:-1], strict=True):
        assert isinstance(outcome, Refused)
        assert outcome.kind == kind
        assert reason in outcome.reason


@given(st.data())
def test_no_bytes_are_an_internal_error(served: Served, data: st.DataObject) -> None:
    spoilt = bytearray(ms.encode(served.model.front(images(1)[0]), symbols=data.draw(st.integers(2, 9))))
    for _ in range(data.draw(st.integers(0, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(spoilt)), st.integers(0, len(spoilt))))
    outcome = infer(served, [Work(bytes(spoilt[:kept]), SIZE)])[0]
    assert isinstance(outcome, Done) or outcome.kind != "internal"


@pytest.mark.parametrize("value", [1e38, -1e38, 3e38])
def test_extreme_features_are_answered_or_refused(served: Served, value: float) -> None:
    pyramid = {"p3": np.full((5, 4, 4), value, np.float32), "p4": np.full((5, 2, 2), value, np.float32)}
    pyramid["p3"][:, 0, 0] = 0
    outcome = infer(served, [Work(ms.encode(pyramid), SIZE)])[0]
    assert isinstance(outcome, Done) or outcome.kind == "not finite"


def test_the_unforeseen_is_refused_without_its_message(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def back(pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(served.model, "back", back)
    outcome = infer(served, [Work(ms.encode(served.model.front(images(1)[0])), SIZE)])[0]
    assert isinstance(outcome, Refused)
    assert (outcome.kind, "/secret" in outcome.reason) == ("internal", False)
    assert str(outcome.cause) == "/secret/path"


def test_boxes_that_are_not_finite_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Detections(np.full((1, 4), np.nan, np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    monkeypatch.setattr(served.model, "back", lambda pyramid, size: found)
    outcome = infer(served, [Work(ms.encode(served.model.front(images(1)[0])), SIZE)])[0]
    assert isinstance(outcome, Refused)
    assert "not finite" in outcome.reason


class Gate:
    """Work that waits until it is let through; remembers what has come to it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.seen: list[bytes] = []

    def __call__(self, works: Sequence[Work]) -> list[Outcome]:
        self.seen += [work.bitstream for work in works]
        self.open.wait(30)
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        return [Done(nothing, 0.0, 0.0) for _ in works]


def with_engine(test: Callable[[Engine, Gate], Any], **options: int) -> None:
    async def run() -> None:
        gate = Gate()
        engine = Engine(gate, Telemetry(), **({"workers": 1, "queue": 2, "in_flight": 2, "batch": 1} | options))
        try:
            await asyncio.wait_for(test(engine, gate), 300)
        finally:
            gate.open.set()
            await engine.close()

    asyncio.run(run())


def ask(engine: Engine, name: str, timeout_s: float | None = None) -> asyncio.Task[Any]:
    work = Work(name.encode(), SIZE)
    return asyncio.create_task(engine.answer("client", key_of("owner", "session", 1, work), work, timeout_s))


async def reached(gate: Gate, count: int) -> None:
    while len(gate.seen) < count:
        await asyncio.sleep(0.001)


def test_a_full_queue_turns_away_and_says_when_to_come_again() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        tasks = [ask(engine, "a")]
        await reached(gate, 1)
        tasks += [ask(engine, name) for name in "bc"]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as busy:
            await ask(engine, "d")
        assert 0.05 <= busy.value.retry_s <= 5
        gate.open.set()
        assert len(await asyncio.gather(*tasks)) == 3

    with_engine(test)


def test_a_client_has_so_many_frames_in_flight() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        engine.take("one")
        engine.take("one")
        with pytest.raises(BusyError, match="2 frames in flight"):
            engine.take("one")
        engine.take("other")
        engine.release("one")
        engine.take("one")

    with_engine(test)


def test_late_and_abandoned_frames_are_dropped_before_they_are_computed() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        first = ask(engine, "first")
        await reached(gate, 1)
        late, abandoned = ask(engine, "late", 0.01), ask(engine, "abandoned")
        with pytest.raises(ExpiredError):
            await late
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)
        with pytest.raises(ExpiredError):
            await ask(engine, "was late", -1.0)
        gate.open.set()
        await first
        await ask(engine, "last")
        assert gate.seen == [b"first", b"last"]

    with_engine(test)


def test_a_frame_sent_again_is_not_computed_again() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        first = ask(engine, "frame")
        await reached(gate, 1)
        again = ask(engine, "frame")  # while it is being computed
        await asyncio.sleep(0)
        first.cancel()  # the connection that asked first is gone
        gate.open.set()
        assert (await again).repeated
        assert (await ask(engine, "frame")).repeated
        assert not (await ask(engine, "another under its number")).repeated
        assert gate.seen == [b"frame", b"another under its number"]
        assert engine.busy == 0

    with_engine(test)


def test_waiting_frames_are_batched() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        tasks = [ask(engine, "a")]
        await reached(gate, 1)
        tasks += [ask(engine, name) for name in "bcd"]
        await asyncio.sleep(0.01)
        gate.open.set()
        queued = [(await task).queue_s for task in tasks]
        assert queued[1] > 0
        assert queued[0] < queued[1]
        assert sorted(gate.seen) == [b"a", b"b", b"c", b"d"]

    with_engine(test, queue=8, batch=8)


def test_work_that_raises_is_an_internal_error_and_ends_no_worker() -> None:
    async def run() -> None:
        def broken(works: Sequence[Work]) -> list[Outcome]:
            raise RuntimeError("broken")

        engine = Engine(broken, Telemetry(), workers=1, queue=4, in_flight=4, batch=1)
        for name in "ab":
            outcome = (await ask(engine, name)).outcome
            assert isinstance(outcome, Refused)
            assert outcome.kind == "internal"
        await engine.close()

    asyncio.run(run())


def test_a_mismatch_says_which_side_has_what() -> None:
    server = pb.Side(release="0.1.0", format_version=1, network="picodet", cut="a" * 64, profile="11")
    for change, expected in (
        ({}, ""),
        ({"profile": ""}, ""),
        ({"format_version": 2}, "version 2 (midstream 0.1.0), the server reads version 1"),
        (
            {"cut": "b" * 64, "network": "yolox"},
            "features of yolox, cut graph bbbbbbbbbbbbbbbb; the server runs picodet",
        ),
        ({"profile": "22"}, "the profile 22, the server has 11"),
    ):
        client = pb.Side(**({"release": "0.1.0", "format_version": 1, "cut": "a" * 64, "profile": "11"} | change))
        reason = messages.mismatch(client, server)
        assert expected in reason
        assert bool(reason) == bool(expected)
    no_profile = pb.Side(format_version=1, cut="a" * 64)
    assert "has no profile" in messages.mismatch(pb.Side(cut="a" * 64, profile="22"), no_profile)


def test_detections_cross_the_network_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    masks = [{"size": [4, 5], "counts": b"\x01abc"}, {"size": [4, 5], "counts": b""}]
    found = Detections(
        rng.normal(size=(2, 4)).astype(np.float32), rng.random(2).astype(np.float32), np.array([3, 70]), masks
    )
    back = messages.from_message(pb.Detections.FromString(messages.to_message(found).SerializeToString()), True)
    np.testing.assert_array_equal(back.boxes, found.boxes)
    np.testing.assert_array_equal(back.scores, found.scores)
    np.testing.assert_array_equal(back.labels, found.labels)
    assert back.masks == masks
    for spoilt in (pb.Detections(boxes=[1.0], scores=[1.0], labels=[1]), pb.Detections(scores=[1.0])):
        with pytest.raises(ms.InputError, match="different numbers"):
            messages.from_message(spoilt, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_is_served_without_more(host: str) -> None:
    security.check_exposure(host, secured=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_other_hosts_need_tls_or_tokens(host: str) -> None:
    with pytest.raises(ms.InputError, match="--tls-cert and --tls-key with --tls-client-ca, or --tokens"):
        security.check_exposure(host, secured=False)
    security.check_exposure(host, secured=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no tokens"),
        ("# only a comment\n", "no tokens"),
        ("camera\n", "line 1 is not NAME TOKEN"),
        ("camera short\n", "line 1: a token has at least 16"),
        ("a 0123456789abcdef\n\nb 0123456789abcdef\n", "line 3: a name or token occurs twice"),
    ],
)
def test_a_bad_file_of_tokens(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ms.InputError, match=message):
        security.read_tokens(tmp_path / "tokens")


def test_a_file_of_tokens_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("camera 0123456789abcdef\n", encoding="utf-8-sig")
    assert list(security.read_tokens(tmp_path / "tokens").values()) == ["camera"]


def test_tls_files(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no certificate")
    assert security.server_credentials(None, None, None) is None
    for files, message in (
        ((text, None, None), "go together"),
        ((None, None, text), "go together"),
        ((text, text, None), "the key is not a PEM file"),
        ((text, tmp_path / "nothing", None), "cannot be read"),
    ):
        with pytest.raises(ms.InputError, match=message):
            security.server_credentials(*files)


def test_a_certificate_goes_with_its_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    for name in ("one", "other"):
        made = authority.issue_cert("localhost")
        made.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    assert security.server_credentials(tmp_path / "one.pem", tmp_path / "one.key", None) is not None
    with pytest.raises(ms.InputError, match="not a certificate and its key"):
        security.server_credentials(tmp_path / "one.pem", tmp_path / "other.key", None)


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no video")
    with pytest.raises(ms.InputError, match=r"cannot read the video .*text: Invalid data"):
        open_source(str(tmp_path / "text"))
    with pytest.raises(ms.InputError, match="a source is an image, a folder of images, a video file, a camera"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(ms.InputError, match="no image"):
        open_source(str(tmp_path))


def test_a_film_has_a_name_and_appears_whole(tmp_path: Path) -> None:
    with pytest.raises(ms.InputError, match=r"an \.mp4 file"):
        FilmWriter(str(tmp_path / "x.avi"), 5)
    film = FilmWriter(str(tmp_path / "x.mp4"), 5)
    film.add(np.zeros((31, 33, 3), np.uint8))
    film.close(whole=False)
    assert list(tmp_path.iterdir()) == []


def test_whom_a_call_counts_for(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("camera 0123456789abcdef\n")
    tokens = security.read_tokens(tmp_path / "tokens")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert security.holder_of(tokens, {"authorization": f"{scheme} 0123456789abcdef"}) == "camera"
    for other in ("Bearer 0123456789abcdee", "Basic 0123456789abcdef", "0123456789abcdef", "bearer", ""):
        assert security.holder_of(tokens, {"authorization": other}) is None
    assert security.holder_of(tokens, {}) is None
    assert security.client_of("camera", "ipv4:1.2.3.4:5") == "camera"
    assert security.client_of(None, "ipv4:1.2.3.4:5") == "1.2.3.4"
    assert security.client_of(None, "ipv6:%5B2001:db8::1%5D:5") == "2001:db8::1"
    assert security.client_of(None, "ipv4:127.0.0.1:5") == "ipv4:127.0.0.1:5"
    assert security.owner_of("camera", "ipv4:1.2.3.4:5") == "camera"
    assert security.owner_of(None, "ipv4:127.0.0.1:5") == "127.0.0.1"


@pytest.mark.parametrize("address", ["", "here", "here:", ":8440", "here:0", "here:70000", "http://here:80", "a:1:2"])
def test_a_bad_address(address: str) -> None:
    with pytest.raises(ms.InputError, match="HOST:PORT"):
        Link(address)


def test_times_and_rates() -> None:
    assert [seconds(text) for text in ("10s", "500ms", "1.5m", "2")] == [10, 0.5, 90, 2]
    assert [bits_per_second(text) for text in ("2Mbit", "500kbit/s", "64")] == [2e6, 5e5, 64]
    for text in ("", "fast", "-1s", "1e3", "10 parsecs", "9" * 400):
        with pytest.raises(ms.InputError, match="is wanted, not"):
            seconds(text)
    with pytest.raises(ms.InputError, match="above 0"):
        bits_per_second("0")


class Numbers:
    """A source of so many frames without images; `read` is how many have been asked for."""

    rate = 1.0

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    def frames(self) -> Any:
        for number in range(self.count):
            self.read += 1
            yield Frame(number, "x", None)


def test_the_source_waits_or_its_oldest_frames_are_dropped() -> None:
    waiting = Numbers(100)
    intake = Intake(waiting, 3, drop_oldest=False)
    assert [frame.number for frame in iter(intake.get, None)] == list(range(100))
    assert intake.dropped == 0
    dropping = Numbers(100)
    intake = Intake(dropping, 3, drop_oldest=True)
    while dropping.read < 100 or intake.dropped < 97:
        pass
    assert [frame.number for frame in iter(intake.get, None)] == [97, 98, 99]


def test_a_source_never_runs_ahead() -> None:
    source = Numbers(100)
    intake = Intake(source, 3, drop_oldest=False)
    for _ in range(10):
        assert intake.get() is not None
    assert source.read <= 10 + 3 + 1
    intake.close()


def test_a_source_that_fails_says_so_after_its_last_frame() -> None:
    class Failing(Numbers):
        def frames(self) -> Any:
            yield from super().frames()
            raise RuntimeError("unplugged")

    intake = Intake(Failing(2), 3, drop_oldest=False)
    assert [intake.get().number, intake.get().number] == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(ms.InputError, match="unplugged"):
        intake.get()


def test_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("of an earlier push")
    lines = Lines(str(path))
    assert path.read_text() == "of an earlier push"
    lines.begin()
    lines.write({"a": 1})
    assert path.read_text() == '{"a": 1}\n'
    with pytest.raises(ValueError, match="Out of range"):
        lines.write({"a": float("nan")})
    lines.write({"b": "ä\n"})
    lines.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"b": "ä\n"}]
    with pytest.raises(ms.InputError, match="cannot be written"):
        Lines(str(tmp_path / "nowhere" / "lines"))


def test_a_line_has_cocos_boxes_and_masks() -> None:
    mask = {"size": [60, 50], "counts": b"PPYo1"}
    found = Detections(np.array([[1, 2, 4, 8]], np.float32), np.array([0.5], np.float32), np.array([1]), [mask])
    frame = Frame(3, "a.png", np.zeros((60, 50, 3), np.uint8), time_s=0.12)
    line = answered(
        frame, Answer(9, found, None, 77, 0.01, 0.001, 0.002, 0.003), 0.02, InstanceSegmentation(), ("cat", "dog"), None
    )
    assert json.loads(json.dumps(line)) == {
        "frame": 3, "source": "a.png", "time_s": 0.12, "height": 60, "width": 50,
        "detections": [{"category": "dog", "label": 1, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 6.0],
                        "segmentation": {"size": [60, 50], "counts": "PPYo1"}}],
        "bytes": 77, "latency_ms": 20.0, "server_ms": {"queue": 1.0, "decode": 2.0, "back": 3.0},
    }  # fmt: skip


def test_lines_are_results_that_coco_s_own_program_reads(capfd: pytest.CaptureFixture[str]) -> None:
    """Once it is known which image a frame is: `category_id` is the data set's, not the network's index."""
    mask = pycocotools.mask.encode(np.asfortranarray(np.ones((60, 50), np.uint8)))
    found = Detections(np.array([[0, 0, 50, 60]], np.float32), np.array([0.5], np.float32), np.array([1]), [mask])
    frame = Frame(0, "000000000139.png", np.zeros((60, 50, 3), np.uint8))
    line = answered(
        frame,
        Answer(9, found, None, 77, 0.01, 0.001, 0.002, 0.003),
        0.02,
        InstanceSegmentation(),
        ("couch", "tv"),
        (63, 72),
    )
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 139, "height": 60, "width": 50}],
        "categories": [{"id": 63, "name": "couch"}, {"id": 72, "name": "tv"}],
        "annotations": [{"id": 1, "image_id": 139, "category_id": 72, "bbox": [0, 0, 50, 60], "area": 3000,
                         "segmentation": [[0, 0, 50, 0, 50, 60, 0, 60]], "iscrowd": 0}],
    }  # fmt: skip
    truth.createIndex()
    entries = [{**entry, "image_id": 139} for entry in json.loads(json.dumps(line))["detections"]]
    for kind in ("bbox", "segm"):
        evaluation = COCOeval(truth, truth.loadRes(entries), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)
    capfd.readouterr()


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("grpc", "Client", "client"), ("grpc_health", "Client", None), ("grpc_health", "Settings", "serve")],
)
def test_without_the_extra_its_name_is_said(package: str, name: str, extra: str | None) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None; import midstream.serve.work; import midstream as ms\n"
        f"ms.serve.{name}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == (extra is not None)
    assert extra is None or f"midstream.serve needs the extra '{extra}': pip install " in done.stderr


def test_drawing_marks_what_was_found_and_nothing_else() -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    boxes = np.array([[10, 40, 50, 70], [60, 10, 90, 30]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.1], np.float32), np.array([0, 1]))
    drawn = annotate(image, found, ("cat", "dog"))
    assert drawn[40:71, 10:51].any()
    assert not drawn[:20].any()
    assert not image.any()


def test_no_more_than_the_rate_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]

    async def sleep(duration: float) -> None:
        clock[0] += duration

    monkeypatch.setattr("midstream.serve.session.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("midstream.serve.session.asyncio.sleep", sleep)
    limiter, sent = RateLimiter(1000.0), []

    async def run() -> None:
        for size in (500, 1500, 10):
            await limiter.take(size)
            sent.append(clock[0])
        clock[0] += 60  # what was not used then is not made up for
        for size in (500, 500):
            await limiter.take(size)
            sent.append(clock[0])

    asyncio.run(run())
    assert sent == pytest.approx([100, 100.5, 102, 162, 162.5])
