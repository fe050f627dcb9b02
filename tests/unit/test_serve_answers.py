"""The client checks the server as the server checks the client: what does not fit is the frame's error."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pycocotools.mask
import pytest

import midstream as ms
from midstream.errors import ServiceError
from midstream.masks import check_mask
from midstream.models import Detections
from midstream.models.annotate import annotate
from midstream.models.tasks.tensors import AnyTensors, Tensors
from midstream.serve import Answer, Link, messages
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc
from midstream.serve.session import Session

SIZE = (6, 5)
CLASSES = ("cat", "dog", "cow")
Spoil = Callable[[pb.InferReply], object]


def counts(*runs: int) -> bytes:
    """COCO's compressed text, by pycocotools where the runs cover their own image of one column."""
    encoded = pycocotools.mask.frPyObjects({"size": [sum(runs), 1], "counts": list(runs)}, sum(runs), 1)
    return bytes(encoded["counts"])


def found() -> pb.Detections:
    """One cow with a mask of its image."""
    mask = pb.Mask(height=SIZE[0], width=SIZE[1], counts=counts(3, 7, 20))
    return pb.Detections(boxes=[0, 1, 4, 5], scores=[0.5], labels=[2], masks=[mask])


class Hostile(serve_pb2_grpc.SplitInferenceServicer):
    """Greets, and spoils the answer to one frame after the other, as the list says."""

    def __init__(self, spoils: list[Spoil], **offer: Any) -> None:
        self._spoils, self._offer = iter(spoils), {"max_in_flight": 2, "max_message_bytes": 1 << 20} | offer

    greeted = 0

    async def Describe(self, request: Any, context: Any) -> pb.DescribeReply:  # noqa: N802
        self.greeted += 1
        return pb.DescribeReply(classes=CLASSES, has_masks=True, **self._offer)

    async def InferStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
        async for request in requests:
            reply = pb.InferReply(session=request.session, frame=request.frame, detections=found())
            next(self._spoils)(reply)
            yield reply


async def served(servicer: Hostile, port: int = 0) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    serve_pb2_grpc.add_SplitInferenceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


async def asked(servicer: Hostile, frames: int) -> list[Answer]:
    server, port = await served(servicer)
    try:
        async with Session(Link(f"127.0.0.1:{port}", retry_s=30), pb.Side()) as session:
            return [await (await session.send(b"frame", SIZE)) for _ in range(frames)]
    finally:
        await server.stop(None)


def _mask(**fields: Any) -> Spoil:
    return lambda reply: reply.detections.masks[0].MergeFrom(pb.Mask(**fields))


def _spoils() -> Iterator[tuple[Spoil, str]]:
    detections = lambda **fields: lambda reply: reply.detections.CopyFrom(pb.Detections(**fields))  # noqa: E731
    yield _mask(height=12), "unusable mask: its run lengths are of the size [12, 5], the image's is [6, 5]"
    yield _mask(width=1), "unusable mask"
    yield _mask(counts=counts(3, 7, 21)), "cover 31 pixels, the image has 30"
    yield _mask(counts=counts(3, 7)), "cover 10 pixels"
    yield _mask(counts=b"\xff\x00"), "not in COCO's compressed form"
    yield _mask(counts=b"o" * 50 + b"0"), "not in COCO's compressed form"
    yield _mask(counts=b"0" * 63), "63 characters, too many for 30 pixels"
    yield lambda reply: reply.detections.masks[0].ClearField("counts"), "it has no run lengths"
    yield lambda reply: reply.detections.ClearField("masks"), "different numbers"
    yield lambda reply: reply.detections.labels.append(1), "different numbers"
    yield lambda reply: reply.detections.labels.__setitem__(0, 3), "class 3; the server's network has 3"
    for wrong in (float("nan"), float("inf")):
        yield lambda reply, wrong=wrong: reply.detections.boxes.__setitem__(1, wrong), "not finite numbers"
        yield lambda reply, wrong=wrong: reply.detections.scores.__setitem__(0, wrong), "not finite numbers"
    for score in (-0.01, 1.01):
        yield lambda reply, score=score: reply.detections.scores.__setitem__(0, score), "scores outside of 0 to 1"
    for place, far in itertools.product(range(4), (-1.1e6, 1.1e6)):
        yield lambda reply, at=place, far=far: reply.detections.boxes.__setitem__(at, far), "boxes that end before"
    yield lambda reply: reply.detections.boxes.__setitem__(2, -1), "boxes that end before they begin"
    yield lambda reply: reply.detections.boxes.__setitem__(3, 0), "boxes that end before they begin"
    yield lambda reply: reply.ClearField("detections"), "neither detections nor an error"
    crowd = 10_001
    many = pb.Detections(boxes=[0.0] * 4 * crowd, scores=[1.0] * crowd, labels=[1] * crowd, masks=[pb.Mask()] * crowd)
    yield lambda reply: reply.detections.CopyFrom(many), "10,001 detections, more than 10,000"
    yield detections(boxes=[0.0] * 3, scores=[1.0], labels=[1]), "different numbers"


def test_an_answer_that_does_not_fit_is_the_frame_s_error() -> None:
    spoils = list(_spoils())
    fine: Spoil = lambda reply: None  # noqa: E731
    order = list(itertools.chain.from_iterable((spoil, fine) for spoil, _ in spoils))
    answers = asyncio.run(asyncio.wait_for(asked(Hostile(order), len(order)), 60))
    for (_, message), bad, good in zip(spoils, answers[::2], answers[1::2], strict=True):
        assert bad.error is not None, message
        assert bad.error.code == "INTERNAL"
        assert message in str(bad.error)
        assert good.found().labels.tolist() == [2]


OFFERED = [
    pb.Output(name="a", dtype="float32", shape=[2, 0]),
    pb.Output(name="b", dtype="int64", any_shape=True),
]


def _tensors(**arrays: np.ndarray[Any, Any]) -> Spoil:
    made = [
        pb.Tensor(name=name, dtype=each.dtype.name, shape=each.shape, values=each.tobytes())
        for name, each in arrays.items()
    ]
    return lambda reply: reply.tensors.CopyFrom(pb.Tensors(tensors=made))


def test_tensors_are_what_the_greeting_says() -> None:
    a, b = np.ones((2, 5), np.float32), np.zeros((3, 1), np.int64)
    spoils: list[tuple[Spoil, str]] = [
        (_tensors(a=a), "it has the tensors 'a', and not 'a', 'b'"),
        (_tensors(a=a, b=b, c=b), "it has the tensors 'a', 'b', 'c', and not 'a', 'b'"),
        (_tensors(a=a, x=b), "it has the tensors 'a', 'x', and not"),
        (_tensors(a=a.astype(np.float64), b=b), "'a' is of float64, and not of float32"),
        (_tensors(a=a, b=b.astype(np.int32)), "'b' is of int32, and not of int64"),
        (_tensors(a=a[:1], b=b), "'a' has the shape [1, 5], and not [2, ?]"),
        (_tensors(a=a[0], b=b), "'a' has the shape [5], and not [2, ?]"),
    ]
    order = [*(spoil for spoil, _ in spoils), _tensors(a=a, b=b), _tensors(b=b[0], a=a[:, :0])]
    *bad, good, other = asyncio.run(
        asyncio.wait_for(asked(Hostile(order, task="tensors", outputs=OFFERED), len(order)), 60)
    )
    for answer, (_, message) in zip(bad, spoils, strict=True):
        assert message in str(answer.error)
    assert good.found().values["a"].shape == (2, 5)
    assert other.found().values["b"].shape == (1,)


@pytest.mark.parametrize("shape", [[0, 2**31, 2**31, 2**31], [2**31, 2**31, 2**31, 0], [2**64 - 1, 0], [0] * 80])
def test_an_empty_tensor_of_an_impossible_shape_spoils_its_own_frame_only(shape: list[int]) -> None:
    empty = pb.Tensors(tensors=[pb.Tensor(name="x", dtype="float32", shape=shape)])
    spoils: list[Spoil] = [lambda reply: reply.tensors.CopyFrom(empty), _tensors(x=np.ones(2))]
    bad, good = asyncio.run(asyncio.wait_for(asked(Hostile(spoils, task="tensors"), 2), 60))
    assert bad.error is not None
    assert (bad.error.code, "a tensor of a shape that none has" in str(bad.error)) == ("INTERNAL", True)
    assert good.found().values["x"].shape == (2,)


@pytest.mark.parametrize(("task", "name", "dtype"), [("depth", "values", "float32"),
                                                     ("semantic segmentation", "labels", "uint8")])  # fmt: skip
def test_maps_without_a_pixel_are_no_answers(task: str, name: str, dtype: str) -> None:
    spoils = [_tensors(**{name: np.ones(shape, dtype)}) for shape in ((0, 3), (3, 0), (2, 3))]
    *bad, good = asyncio.run(asyncio.wait_for(asked(Hostile(spoils, task=task), 3), 60))
    assert ["a map has no pixels" in str(each.error) for each in bad] == [True, True]
    assert good.found().values[name].shape == (2, 3)


def test_of_an_empty_tensor_only_the_shape_is_listed() -> None:
    listed = AnyTensors().listed(Tensors({"x": np.ones((1 << 31, 0)), "y": np.ones((2, 0))}), (), None)["outputs"]
    assert listed["x"] == {"shape": [1 << 31, 0], "dtype": "float64"}
    assert listed["y"]["values"] == [[], []]


def test_a_server_that_promises_nothing_is_believed() -> None:
    (answer,) = asyncio.run(asyncio.wait_for(asked(Hostile([_tensors(x=np.ones(2))], task="tensors"), 1), 60))
    assert list(answer.found().values) == ["x"]


def test_nothing_found_is_an_answer() -> None:
    nothing: Spoil = lambda reply: reply.detections.CopyFrom(pb.Detections())  # noqa: E731
    (answer,) = asyncio.run(asyncio.wait_for(asked(Hostile([nothing]), 1), 60))
    assert len(answer.found()) == 0


def test_an_error_without_an_error_s_code_is_one_all_the_same() -> None:
    unknown: Spoil = lambda reply: reply.error.CopyFrom(pb.Error(code=0, message="fine"))  # noqa: E731
    (answer,) = asyncio.run(asyncio.wait_for(asked(Hostile([unknown]), 1), 60))
    assert answer.error is not None
    assert answer.error.code == "UNKNOWN"


def test_a_server_that_lets_nothing_through_is_refused() -> None:
    for offer in ({"max_in_flight": 0}, {"max_message_bytes": 0}):
        with pytest.raises((ms.InputError, ServiceError), match="lets no frame through"):
            asyncio.run(asyncio.wait_for(asked(Hostile([], **offer), 1), 60))


def test_a_connection_that_is_lost_before_the_first_frame_is_made_and_greeted_anew() -> None:
    async def run() -> None:
        servicer = Hostile([lambda reply: None])
        server, port = await served(servicer)
        async with Session(Link(f"127.0.0.1:{port}", retry_s=60), pb.Side()) as session:
            await server.stop(None)
            server, _ = await served(servicer, port)
            while servicer.greeted < 2:
                await asyncio.sleep(0.01)
            assert len((await (await session.send(b"frame", SIZE))).found()) == 1
        await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize(
    ("other", "change"),
    [
        ({"task": "classification"}, "its task is 'classification', and was 'tensors'"),
        ({"classes": [*CLASSES, "hen"]}, "the number of its classes is 4, and was 3"),
        ({"classes": ["cat", "dog", "ox\x1b\n"]}, "its class 2 is 'ox  ', and was 'cow'"),
        ({"has_masks": False}, "it finds no masks, and found some"),
        ({"outputs": OFFERED[:1]}, "its answers have other tensors, or of other types or shapes"),
    ],
)
def test_a_session_ends_where_another_server_is_there_after_a_loss(other: dict[str, Any], change: str) -> None:
    class Greeting(Hostile):
        async def Describe(self, request: Any, context: Any) -> pb.DescribeReply:  # noqa: N802
            self.greeted += 1
            return pb.DescribeReply(**({"classes": CLASSES, "has_masks": True} | self._offer))

        async def InferStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
            async for _ in requests:
                if self.greeted < 3:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "bye")
                yield pb.InferReply()

    async def run() -> None:
        first = {"task": "tensors", "outputs": OFFERED, "max_in_flight": 2, "max_message_bytes": 1 << 20}
        server, port = await served(servicer := Greeting([], **first))
        try:
            async with Session(Link(f"127.0.0.1:{port}", retry_s=60), pb.Side()) as session:
                # The second greeting allows more frames and does not take streams: no other answers.
                servicer._offer = first | {"max_in_flight": 3, "takes_streams": True}
                future = await session.send(b"frame", SIZE)
                while servicer.greeted < 2:
                    await asyncio.sleep(0.01)
                assert not future.done()
                servicer._offer = first | other
                for waiting in (future, session.send(b"frame", SIZE)):
                    with pytest.raises(ServiceError) as raised:
                        await waiting
                    assert raised.value.code == "FAILED_PRECONDITION"
                    assert str(raised.value) == f"the server 127.0.0.1:{port} is another one now: {change}; start anew"
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_what_the_server_s_masks_and_boxes_are_fits_the_drawing() -> None:
    mask = {"size": list(SIZE), "counts": counts(3, 7, 20)}
    boxes = np.array([[-1e6, -5, 1e6, 3]], np.float32)
    far = Detections(boxes, np.ones(1, np.float32), np.array([2]), [mask])
    messages.check_answer(far, len(CLASSES), SIZE)
    assert annotate(np.zeros((*SIZE, 3), np.uint8), far, CLASSES).any()


@pytest.mark.parametrize("again", [None, 8, 14])
def test_a_server_that_answers_no_frame_ends_the_session(again: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midstream.serve.session._LEAST_PATIENCE_S", 0.3)

    class Silent(Hostile):
        async def InferStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
            async for request in requests:
                if again is not None:
                    error = pb.Error(code=again, message="come again", retry_after_ms=1)
                    yield pb.InferReply(session=request.session, frame=request.frame, error=error)

    async def run() -> None:
        server, port = await served(Silent([]))
        try:
            async with Session(Link(f"127.0.0.1:{port}", retry_s=0.3), pb.Side()) as session:
                future = await session.send(b"frame", SIZE)
                with pytest.raises(ServiceError, match=r"has answered no frame for 0\.3 s"):
                    await future
                with pytest.raises(ServiceError, match="has answered no frame"):
                    await session.send(b"frame", SIZE)
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_greeting_that_never_comes_takes_no_longer_than_the_time_to_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midstream.serve.session._LEAST_PATIENCE_S", 0.1)
    monkeypatch.setattr("midstream.serve.link._GREETING_S", 1e6)
    greeted = []

    class Mute(Hostile):
        async def Describe(self, request: Any, context: Any) -> pb.DescribeReply:  # noqa: N802
            greeted.append(request)
            await asyncio.sleep(1e6)
            return pb.DescribeReply()

    async def run() -> None:
        server, port = await served(Mute([]))
        try:
            with pytest.raises(ServiceError, match=r"\(tried 1 time in \d+ s\): .*Deadline Exceeded"):
                async with Session(Link(f"127.0.0.1:{port}", retry_s=1), pb.Side()):
                    pass
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))
    assert len(greeted) == 1


def test_where_nobody_waits_the_session_goes_on() -> None:
    async def run() -> None:
        server, port = await served(Hostile([lambda reply: None] * 2))
        try:
            async with Session(Link(f"127.0.0.1:{port}", retry_s=5), pb.Side()) as session:
                for _ in range(2):
                    assert len((await (await session.send(b"frame", SIZE))).found()) == 1
                    session._answered -= 10
                    before = session._answered
                    while session._answered == before:
                        await asyncio.sleep(0.01)
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize("largest", [1, 2, 20, 600, 40_000])
def test_masks_of_all_kinds_of_runs_are_short_enough(largest: int) -> None:
    runs = np.random.default_rng(largest).integers(1, largest + 1, 400)
    pixels = int(runs.sum())
    check_mask({"size": [pixels, 1], "counts": counts(0, *runs.tolist())}, pixels, 1)
