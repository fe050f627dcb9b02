"""The device's half in Python: `Client` for ordinary programs, `AsyncClient` for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

import numpy as np

from midstream.codec.api import DEFAULT_CODEC
from midstream.codec.base import Codec
from midstream.errors import InputError, OptionError, ServiceError
from midstream.halves.coding import ReadyFrame
from midstream.halves.edge import Edge
from midstream.models import Image, Output, SplitModel
from midstream.serve import messages
from midstream.serve.flights import Answer
from midstream.serve.link import Link
from midstream.serve.pace import pace_for, rate_options
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.senders import Sender, sender, stream_encoder
from midstream.serve.session import Session

_T = TypeVar("_T")
#: Frames a second of a stream that follows its link, unless somebody says so.
_USUAL_FPS = 25.0


def side_of(edge: Edge) -> pb.Side:
    """What the server must have to understand the device's bitstreams."""
    return messages.side(edge.model, edge.codec.profile_name)


def _size(image: Image) -> tuple[int, int]:
    height, width, *_ = np.atleast_2d(image).shape
    return height, width


class AsyncClient:
    """Split inference from asyncio.

    >>> async with ms.serve.AsyncClient("127.0.0.1:8440", "picodet-s-416", symbols=4, z=1.5) as client:
    ...     found = await client.infer(image)
    """

    def __init__(
        self, server: str | Link, model: str | SplitModel, codec: str | Codec = DEFAULT_CODEC, **options: Any
    ) -> None:
        """A client yet to be entered; arguments and errors as `Client` has them."""
        self.link = Link(server) if isinstance(server, str) else server
        self.edge = Edge.of(model, codec, **options)

    async def __aenter__(self) -> AsyncClient:
        self.session = await Session(self.link, side_of(self.edge)).__aenter__()
        self.classes = tuple(self.session.offer.classes)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.__aexit__(*error)

    async def infer(self, image: Image, timeout_s: float | None = None) -> Output:
        """The network's output for one image; arguments and errors as `Client.infer` has them."""
        bitstream = await asyncio.to_thread(self.edge.encode, image)
        return (await self.send(bitstream, _size(image), timeout_s)).found()

    async def send(self, bitstream: bytes, size: tuple[int, int], timeout_s: float | None = None) -> Answer:
        """The answer to a bitstream; arguments and errors as `Client.send` has them."""
        return await (await self.session.send(bitstream, size, timeout_s))

    async def stream(
        self,
        images: Iterable[Image] | AsyncIterable[Image],
        timeout_s: float | None = None,
        *,
        independent: bool = False,
        **options: Any,
    ) -> AsyncIterator[Answer]:
        """An answer for each image, in order; as `Client.stream`."""
        pending: deque[asyncio.Future[Answer]] = deque()
        frames, number = self.sender(independent, **options), 0
        problem: InputError | None = None
        async for image in _each(images):
            try:
                ready = await asyncio.to_thread(self.edge.ready, image)
            except InputError as error:
                problem = error
                break
            while pending and (pending[0].done() or len(pending) >= self.session.in_flight):
                yield await pending.popleft()
            try:
                pending.append(await frames.send(ready, timeout_s))
            except InputError as error:
                problem = error
                break
            number += 1
        while pending:
            yield await pending.popleft()
        if problem is not None:
            raise _of_image(number, problem) from problem

    def sender(
        self,
        independent: bool = False,
        *,
        bitrate: float | str | None = None,
        min_bitrate: float | str | None = None,
        max_bitrate: float | str | None = None,
        fps: float | None = None,
        **options: Any,
    ) -> Sender:
        """What codes frames and sends them, each by itself or as a stream; as `Client.stream` has it."""
        if independent and bitrate is not None:
            raise OptionError("`bitrate` is that of a stream: it does not go with `independent`")
        pace = pace_for(bitrate, min_bitrate, max_bitrate)
        if pace is not None and fps is None:
            fps = _USUAL_FPS  # of no weight for long: the encoder learns it
        options |= rate_options(bitrate, pace, fps)
        encoder = None if independent else stream_encoder(_left_to(options, self.edge.codec), **options)
        return sender(self.session, self.edge, encoder, pace)

    async def _begun(self, independent: bool, options: dict[str, Any]) -> Sender:
        return self.sender(independent, **options)


async def _answered(frames: Sender, ready: ReadyFrame, timeout_s: float | None, number: int) -> Answer:
    try:
        future = await frames.send(ready, timeout_s)
    except InputError as error:
        raise _of_image(number, error) from error
    return await future


def _of_image(number: int, error: InputError) -> InputError:
    """The error of an image of a stream, as it is told."""
    return InputError(f"image {number} of the stream, counted from 0: {error}")


def _left_to(options: Mapping[str, Any], codec: Codec) -> Codec:
    """The codec without the targets that a stream's options take the place of. Raises OptionError."""
    if options.get("bitrate") is not None:
        replaced = codec.targets
    else:
        replaced = () if options.get("max_bytes") is None else ("max_bytes",)
    given = codec.given()
    kept = {key: value for key, value in given.items() if key not in replaced}
    return codec if kept == given else type(codec)(**kept)


async def _each(images: Iterable[Image] | AsyncIterable[Image]) -> AsyncIterator[Image]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image


class Client:
    """Split inference: the front of the network here, the back on a server.

    >>> with ms.serve.Client("127.0.0.1:8440", "picodet-s-416", symbols=4, z=1.5) as client:
    ...     found = client.infer(image)  # midstream.models.Detections, in pixels of the image
    ...     for answer in client.stream(images):
    ...         print(answer.frame, answer.found().scores, answer.latency_s)

    Lost connections are made anew and what is unanswered is sent again. May be shared by threads.

    Attributes:
        classes: the class names that labels and scores index; once entered.
    """

    def __init__(
        self, server: str | Link, model: str | SplitModel, codec: str | Codec = DEFAULT_CODEC, **options: Any
    ) -> None:
        """A client yet to be entered.

        Args:
            server: HOST:PORT, or a `Link` for TLS, tokens and limits.
            model: the network: a name from `midstream models`, a description's file, or one that is loaded.
            codec: `paper` or `calibrated`.
            options: of the codec, as `midstream.encode` has them: symbols, z, ..., profile, quality, ...

        Raises:
            InputError: what cannot be used, named. Entering raises ServiceError: the server cannot be reached or has
                another network, profile or format version.
        """
        self._open = False
        self._async = AsyncClient(server, model, codec, **options)
        self.edge = self._async.edge

    def __enter__(self) -> Client:
        self._open = True
        try:
            self._run(self._async.__aenter__())
        except BaseException:
            self._open = False
            raise
        self.classes = self._async.classes
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._async.__aexit__(*error))
        self._open = False

    def infer(self, image: Image, timeout_s: float | None = None) -> Output:
        """The network's output for one image: of a detector its detections, of others the named arrays of its task.

        Args:
            image: uint8 RGB [H, W, 3].
            timeout_s: after which the answer is of no use.

        Raises:
            InputError: not an image that the front takes.
            ServiceError: no answer: its `code` says why.
        """
        return self.send(self.edge.encode(image), _size(image), timeout_s).found()

    def send(self, bitstream: bytes, size: tuple[int, int], timeout_s: float | None = None) -> Answer:
        """The answer to a bitstream that is there already.

        Args:
            bitstream: of the features of an image.
            size: its (height, width).
            timeout_s: after which the answer is of no use.

        Raises:
            ServiceError: the server cannot be reached. What it has against the frame is `Answer.error`.
        """
        return self._run(self._async.send(bitstream, size, timeout_s))

    def stream(
        self,
        images: Iterable[Image],
        timeout_s: float | None = None,
        *,
        independent: bool = False,
        **options: Any,
    ) -> Iterator[Answer]:
        """An answer for each image, in order, with several in flight.

        Images are the frames of a stream: each may be coded from the one before, where the codec does so
        (`calibrated`, and `paper` with the coder `dense`) and the server takes streams.

        Args:
            images: uint8 RGB [H, W, 3] each; taken as there is room for them.
            timeout_s: for each image.
            independent: code each image by itself, for images that have nothing to do with one another.
            options: of a stream, as `midstream.StreamEncoder` has them: key_interval, bitrate and fps, ...
                bitrate="auto" follows what the link takes, between `min_bitrate` and `max_bitrate` where they are
                given; images are then taken as the link has room for them. They go before what this client was made
                with: a bitrate takes the place of its quality, max_bytes or max_loss.

        Raises:
            InputError: an image that cannot be used, after the answers to all before it; the message has its number
                among `images`, from 0. Or an option that cannot be used.
            ServiceError: as `send`.
        """
        pending: deque[Future[Answer]] = deque()
        frames: Sender | None = None
        problem: InputError | None = None
        for number, image in enumerate(images):
            try:
                ready = self.edge.ready(image)
            except InputError as error:
                problem = _of_image(number, error)
                break
            if frames is None:
                frames = self._run(self._async._begun(independent, options))
            while pending and (pending[0].done() or len(pending) >= self._async.session.in_flight):
                yield pending.popleft().result()
            pending.append(self._submit(_answered(frames, ready, timeout_s, number)))
        while pending:
            yield pending.popleft().result()
        if problem is not None:
            raise problem

    def _submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        if not self._open:
            work.close()
            raise ServiceError("CANCELLED", "this client is not open: with ms.serve.Client(...) as client")
        return asyncio.run_coroutine_threadsafe(work, _background())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._submit(work).result()


@cache
def _background() -> asyncio.AbstractEventLoop:
    """One loop in a thread for all clients of a process: gRPC's asyncio complains about loops that come and go."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="midstream-clients", daemon=True).start()
    return loop
