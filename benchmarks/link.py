"""A stream over a link that falls and rises: latency, how much of the link is used, and what is dropped.

    python -m benchmarks.link --simulated
    python -m benchmarks.link
    python -m benchmarks.link --model picodet-s-416 --profile picodet.profile --clip highway --fps 25

A source of so many frames a second, of which the oldest of more than two that wait is dropped, as `push --drop-oldest`
does; at a bit rate that follows the link (auto) and at fixed ones. Latency is counted from taking a frame to having its
answer. Frames are sorted by when they were taken: those of the first two seconds after a change of the link, and the
others. `use` is the share of what the link could carry that went over it, all overhead included.

With `--simulated` link, server and frames are made ones on a clock of their own (tests/helpers/link_model.py), and the
figures are the same on every machine. Otherwise there is a real server behind a proxy that shapes (tests/helpers/
shaping.py); frames have been through the front before, so that an edge with enough cores is what is measured. Without
a network it is the tests' toy one, which takes next to no time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.helpers import wide
from tests.helpers.link_model import MadeLink, Simulation
from tests.helpers.serving import Server
from tests.helpers.shaping import ShapedLink

import midstream as ms
from midstream import models
from midstream.data.frames import open_source
from midstream.halves.clip import ClipEdge
from midstream.halves.coding import ReadyFrame
from midstream.quantities import bits_per_second
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.link_rate import LinkRate
from midstream.serve.pace import AUTO, pace_for, rate_options
from midstream.serve.senders import stream_encoder
from midstream.serve.session import Session

LAG, PLACES, SETTLED_S = 2, 16, 2.0
#: (From this second on, bits a second), the last one being the end.
Plan = list[tuple[float, float]]


@dataclass
class Seen:
    """(When taken, seconds to its answer), when dropped, (when, bytes that have passed)."""

    answered: list[tuple[float, float]] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)
    passed: list[tuple[float, float]] = field(default_factory=list)

    def row(self, name: str, plan: Plan) -> str:
        cells = [name]
        for (begin, rate), (end, _) in pairwise(plan):
            cells.append(self._cell(begin, begin + SETTLED_S, rate))
            cells.append(self._cell(begin + SETTLED_S, end, rate))
        return "| " + " | ".join(cells) + " |"

    def _cell(self, begin: float, end: float, rate: float) -> str:
        latencies = [seconds for at, seconds in self.answered if begin <= at < end]
        low, high = np.percentile(latencies, [50, 99]) if latencies else (np.nan, np.nan)
        times, passed = np.array(self.passed).T
        went = np.interp(end, times, passed) - np.interp(begin, times, passed)
        dropped = sum(begin <= at < end for at in self.dropped)
        return f"{low:.2f} / {high:.2f}, {100 * 8 * went / (rate * (end - begin)):.0f} %, {dropped}"


def simulated(link: MadeLink, plan: Plan, rate: str, fps: float) -> Seen:
    control = LinkRate() if rate == AUTO else bits_per_second(rate)
    seen = Simulation(link, control, fps, LAG, PLACES).run(plan[-1][0])
    # As a link's own clock has them: what is sent leaves as fast as the link lets it.
    left, total, passed = 0.0, 0.0, [(0.0, 0.0)]
    for at, size in seen.sent:
        start, begun, total = max(at, left), total, total + size + link.overhead
        left = link.leaves(start, size + link.overhead)
        changes = [change for change, _ in plan if start < change < left]
        passed += [(start, begun), *((each, begun + link.carries(start, each) / 8) for each in changes), (left, total)]
    return Seen(seen.answered, seen.dropped, passed)


class Camera:
    """Frames that come at their time, whoever waits for them."""

    def __init__(self, fps: float, seen: Seen) -> None:
        self._fps, self._seen = fps, seen
        self._waiting: deque[float] = deque()
        self._came = asyncio.Event()

    async def run(self, start: float, seconds: float) -> None:
        for number in range(int(seconds * self._fps)):
            await asyncio.sleep(start + number / self._fps - time.monotonic())
            self._waiting.append(number / self._fps)
            if len(self._waiting) > LAG:
                self._seen.dropped.append(self._waiting.popleft())
            self._came.set()

    async def next(self) -> float:
        """When the oldest frame that waits was taken."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        return self._waiting.popleft()


async def measured(
    edge: Edge, codec: ms.Calibrated, ready: Sequence[ReadyFrame], link: ShapedLink, plan: Plan, rate: str, fps: float
) -> Seen:
    seen, pace = Seen(), pace_for(rate)
    encoder = stream_encoder(codec, **rate_options(rate, pace, fps))
    assert encoder is not None
    link.up.rate, begun = plan[0][1], link.up.passed
    async with Session(Link(link.address, in_flight=PLACES), side_of(edge)) as session:
        stream = session.stream(ClipEdge(edge.model, encoder), pace)
        await (await stream.send(ready[0], time_s=0.0))  # the server has computed one
        start, begun, frames = time.monotonic(), link.up.passed, cycle(ready[1:])
        camera, answers = Camera(fps, seen), set[asyncio.Task[None]]()

        async def narrow() -> None:
            for at, bits in plan[:-1]:
                await asyncio.sleep(start + at - time.monotonic())
                link.up.rate = bits

        async def watch() -> None:
            while True:
                seen.passed.append((time.monotonic() - start, link.up.passed - begun))
                await asyncio.sleep(0.05)

        async def answered(answer: asyncio.Future[Any], taken: float) -> None:
            (await answer).found()
            seen.answered.append((taken, time.monotonic() - start - taken))

        async def feed() -> None:
            while True:
                await stream.room()
                taken = await camera.next()
                answer = await stream.send(next(frames), time_s=taken)
                answers.add(asyncio.create_task(answered(answer, taken)))

        others = [asyncio.create_task(each()) for each in (narrow, watch, feed)]
        await camera.run(start, plan[-1][0])
        others[-1].cancel()
        await asyncio.gather(*answers)
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return seen


def parsed(text: str) -> Plan:
    """From 1Mbit:20,100kbit:20."""
    at, out = 0.0, []
    for part in text.split(","):
        rate, seconds = part.split(":")
        out.append((at, bits_per_second(rate)))
        at += float(seconds)
    return [*out, (at, 0.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--clip")
    parser.add_argument("--frames", type=int, default=240, help="of the clip, which go round")
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--plan", type=parsed, default="1Mbit:20,100kbit:20,1Mbit:20")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds, each way")
    parser.add_argument("--jitter", type=float, default=0.0, help="simulated: up to so many seconds more, evenly")
    parser.add_argument("--loss", type=float, default=0.0, help="simulated: share of packets that come 0.2 s late")
    parser.add_argument("--busy", type=float, default=0.0, help="simulated: seconds without a look at answers")
    parser.add_argument("--rate", nargs="+", default=[AUTO, "900kbit", "300kbit", "90kbit"])
    arguments = parser.parse_args()
    plan: Plan = arguments.plan
    spans = [
        f"{8 * 1e-3 * rate / 8:.0f} kbit/s, {when}" for _, rate in plan[:-1] for when in ("first two seconds", "then")
    ]
    print(f"| rate | {' | '.join(spans)} |\n|---|{'---|' * len(spans)}")
    if arguments.simulated:
        noise = {"jitter_s": arguments.jitter, "loss": arguments.loss, "busy_s": arguments.busy}
        link = MadeLink(plan[:-1], delay_s=2 * arguments.delay, **noise)
        for rate in arguments.rate:
            print(simulated(link, plan, rate, arguments.fps).row(rate, plan), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        name, profile = arguments.model, arguments.profile
        if name is None:
            name, profile = wide.write(Path(folder)), Path(folder) / "toy.profile"
        model, codec = models.load(str(name)), ms.Calibrated(profile=profile)
        edge = Edge(model, codec)
        images = wide.images() if arguments.clip is None else pictures(arguments.clip)
        ready = [edge.ready(image) for image in islice(images, arguments.frames)]
        with Server(name, "--profile", profile) as server, ShapedLink(server.port) as shaped:
            shaped.up.delay_s = shaped.down.delay_s = arguments.delay
            for rate in arguments.rate:
                seen = asyncio.run(measured(edge, codec, ready, shaped, plan, rate, arguments.fps))
                print(seen.row(rate, plan), flush=True)


def pictures(clip: str) -> Iterator[NDArray[np.uint8]]:
    return (frame.image for frame in open_source(clip).frames() if frame.image is not None)


if __name__ == "__main__":
    main()
