"""When the next frame of a stream is coded, and at which rate: as its link takes it."""

from __future__ import annotations

import time
from typing import Any

from midstream.codec.stream import StreamEncoder
from midstream.errors import OptionError
from midstream.quantities import bits_per_second
from midstream.serve.link_rate import BUCKET_S, USUAL_LEAST, USUAL_MOST, LinkRate
from midstream.serve.proto import serve_pb2 as pb

#: Instead of a number: the rate follows the link.
AUTO = "auto"
#: Of a `--rate-limit`, what the encoder aims at; the limit holds for requests, not for units.
_OF_LIMIT = 0.95
_MICRO = 1e-6


class Pace:
    """Joins a `LinkRate` to an encoder, and to the requests and answers of a session.

    Attributes:
        link: the rule.
        bitrate: that the encoder was given last, bits a second; None before the first frame.
        lowest, highest: of all that it was given.
        more: so many times the rate for the next frame alone, which is too large for the bucket otherwise.
    """

    def __init__(self, link: LinkRate) -> None:
        """A pace whose clock begins now."""
        self.link = link
        self.bitrate: float | None = None
        self.lowest: float | None = None
        self.highest: float | None = None
        self.more = 1.0
        self._begun = time.monotonic()
        self._tickets: dict[tuple[int, int], int] = {}

    @property
    def ready(self) -> bool:
        """Whether the link has room for another frame."""
        return self.link.ready(time.monotonic())

    def set(self, encoder: StreamEncoder) -> float:
        """Set the rate of the encoder for its next frame. Returns the frame's time, seconds: that of the link."""
        now = time.monotonic()
        rate = self.link.bitrate(now)
        encoder.set_bitrate(rate * self.more)
        self.bitrate, self.more = rate, 1.0
        self.lowest, self.highest = min(self.lowest or rate, rate), max(self.highest or rate, rate)
        return now - self._begun

    def sent(self, request: pb.InferRequest) -> None:
        """A request is handed to the connection."""
        ticket = self.link.sent(request.ByteSize(), len(request.bitstream), time.monotonic())
        self._tickets[request.frame, request.attempt] = ticket

    def received(self, reply: pb.InferReply) -> None:
        """A reply has come, be it to something that nobody waits for any more."""
        ticket = self._tickets.pop((reply.frame, reply.attempt), None)
        if ticket is None:
            return
        times = reply.timings
        if reply.HasField("error") or reply.repeated:  # which do not say what the server took
            self.link.left(ticket)
        else:
            work_s = _MICRO * (times.decode_us + times.back_us)
            self.link.answered(ticket, time.monotonic(), _MICRO * times.queue_us, work_s)

    def reconnected(self) -> None:
        """There is another connection."""
        self._tickets.clear()
        self.link.reconnected()


def pace_for(
    bitrate: float | str | None,
    least: float | str | None = None,
    most: float | str | None = None,
    limit: float | None = None,
) -> Pace | None:
    """A Pace where `bitrate` is AUTO, None for a number or none.

    Args:
        bitrate: as `rate_options`.
        least, most: bounds of the rate, bits a second, as numbers or text.
        limit: bits a second that are sent at most, besides.

    Raises:
        OptionError: bounds without AUTO, or that leave nothing between them. InputError: text that is no rate.
    """
    if bitrate != AUTO:
        for name, value in (("min_bitrate", least), ("max_bitrate", most)):
            if value is not None:
                raise OptionError(f"`{name}` is a bound of `bitrate` auto: give that, too")
        return None
    highest = _bits("max_bitrate", USUAL_MOST if most is None else most)
    if limit is not None:
        highest = min(highest, _OF_LIMIT * limit)
    lowest = _bits("min_bitrate", min(USUAL_LEAST, highest) if least is None else least)
    if lowest > highest:
        raise OptionError(
            f"`min_bitrate` is {lowest:,.0f} bits a second: `max_bitrate` and the rate limit allow {highest:,.0f}"
        )
    return Pace(LinkRate(lowest, highest))


def rate_options(bitrate: float | str | None, pace: Pace | None, fps: float | None) -> dict[str, Any]:
    """The options of a StreamEncoder for a bit rate: bits a second as a number or text, AUTO with its pace, or None."""
    if bitrate is None:
        return {}
    if pace is None:
        return {"bitrate": bitrate, "fps": fps}
    return {"bitrate": pace.link.bitrate(time.monotonic()), "fps": fps, "bucket_s": BUCKET_S}


def _bits(name: str, value: float | str) -> float:
    bits = bits_per_second(value) if isinstance(value, str) else value
    if isinstance(bits, bool) or not isinstance(bits, int | float) or not 1 <= bits < 1e15:
        raise OptionError(f"`{name}` is a rate of a bit a second or more, such as 100kbit, not {value!r}")
    return float(bits)
