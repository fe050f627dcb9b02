"""Frames in flight: what was handed over, what is sent of it, what comes back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midstream.errors import ServiceError
from midstream.halves.coding import ReadyFrame
from midstream.models import Detections, Output
from midstream.serve.proto import serve_pb2 as pb

if TYPE_CHECKING:
    from midstream.serve.frame_stream import FrameStream


@dataclass(frozen=True)
class Answer:
    """The server's answer to one frame.

    Attributes:
        frame: its number within the session, from 0.
        output: what the network made of it, by its task; None where there is an error.
        error: why there is no answer; its `code` is gRPC's name: INVALID_ARGUMENT for a bitstream that cannot be used,
            DEADLINE_EXCEEDED, INTERNAL.
        size: bytes of the bitstream.
        latency_s: from handing the frame over to having its answer, resending included.
        queue_s, decode_s, back_s: on the server.
        repeated: whether the server had computed it before and this is that answer.
        key: whether the bitstream stands alone: an independent one, or a key of a stream.
        attempt: the one that was answered: a frame of a stream may be coded or sent anew.
    """

    frame: int
    output: Output | None
    error: ServiceError | None
    size: int
    latency_s: float
    queue_s: float = 0.0
    decode_s: float = 0.0
    back_s: float = 0.0
    repeated: bool = False
    key: bool = True
    attempt: int = 0

    @property
    def detections(self) -> Detections | None:
        """The output of a detector."""
        return self.output if isinstance(self.output, Detections) else None

    def found(self) -> Output:
        """The output. Raises ServiceError where there is none."""
        if self.output is None:
            assert self.error is not None
            raise self.error
        return self.output


@dataclass
class Traffic:
    """What a session has done so far.

    Attributes:
        resent: frames sent again, as they were or coded anew.
        lost: connections lost.
        sent_bytes: of requests written.
        keys_asked: how often the server had lost a stream, and asked for a key.
    """

    resent: int = 0
    lost: int = 0
    sent_bytes: int = 0
    keys_asked: int = 0


class RateLimiter:
    """Spreads bytes so that no more than so many a second are sent over any longer time."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate = bytes_per_s
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may go."""
        now = time.monotonic()
        start = max(self._free_at, now)
        self._free_at = start + size / self._rate
        await asyncio.sleep(start - now)

    async def free(self) -> None:
        """Wait until more bytes may go at once."""
        while (wait_s := self._free_at - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)


@dataclass(eq=False)
class Flight:
    """One frame, from handing it over to its answer.

    Attributes:
        session: of its requests.
        size: (height, width) of the original image.
        born, expires: by the monotonic clock; None for never.
        future: of its answer.
        stream: which codes it, and may do so anew; None for a bitstream that is sent as it is.
        ready, time_s: of a stream, what it is coded from.
        number: within the session; known once it may be sent.
        bitstream: None while it is to be coded.
        key: whether the bitstream stands alone.
        unit: whether it is a unit of a stream, be it a key.
        attempt: of what is sent at present; None while nothing is that is still valid.
        sent: the attempt that went out last, over whatever connection; None before. Nothing else can be answered.
        gone: whether what is valid was sent over the connection that there is.
    """

    session: str
    size: tuple[int, int]
    born: float
    expires: float | None
    future: asyncio.Future[Answer]
    stream: FrameStream | None = None
    ready: ReadyFrame | None = None
    time_s: float | None = None
    number: int = -1
    bitstream: bytes | None = None
    key: bool = True
    unit: bool = False
    attempt: int | None = 0
    sent: int | None = None
    gone: bool = False

    @property
    def bytes(self) -> int:
        """Of the bitstream."""
        return 0 if self.bitstream is None else len(self.bitstream)

    def request(self) -> pb.InferRequest:
        """What is sent."""
        assert self.bitstream is not None
        assert self.attempt is not None
        left = 0 if self.expires is None else max(int((self.expires - time.monotonic()) * 1e3), 1)
        return pb.InferRequest(
            session=self.session, frame=self.number, bitstream=self.bitstream, height=self.size[0], width=self.size[1],
            timeout_ms=left, attempt=self.attempt,
        )  # fmt: skip
