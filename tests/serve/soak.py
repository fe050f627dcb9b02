"""The long form of the fault tests: `make soak`. Prints its figures as JSON, and fails on the first wrong answer."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.helpers import serving, streaming, toy
from tests.helpers.serving import Proxy, Server
from tests.helpers.storm import Storm, StreamStorm

from midstream import models
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.session import Session

_CASES = 500
_DAMAGED = 0.05
_PUSH_RATE = "100kbit"
_MOST_GROWTH = 100 << 20
_MIB = 1 << 20


def storm(model: Path, frames: int, kills: int) -> dict[str, Any]:
    """Three clients, and all faults around them."""
    edge = Edge.of(str(model), symbols=4, z=1.5)
    with Server(model) as server, Proxy(server.port) as proxy:
        work = Storm(server, proxy, side_of(edge), serving.cases(edge.model, _CASES, _DAMAGED))
        report = asyncio.run(work.run(frames, kills))
        assert server.stop() == 0
        assert not server.events("frame failed")
    return report


def pushed(model: Path, folder: Path, images: int, kills: int) -> dict[str, Any]:
    """`midstream push` while the server is killed again and again: its lines are those of a local run."""
    serving.write_images(folder / "images", images)
    output = folder / "out.jsonl"
    with Server(model) as server, Proxy(server.port) as proxy:
        push = serving.start_push(folder / "images", proxy.address, model, output, "--rate-limit", _PUSH_RATE, "--json")
        for kill in range(kills):
            serving.wait_for_lines(output, (2 * kill + 1) * images // (2 * kills + 1), push)
            server.kill()
            server.start()
            serving.wait_for_lines(output, (2 * kill + 2) * images // (2 * kills + 1), push)
            proxy.reset()
        summary, errors = push.communicate()
    assert push.returncode == 0, errors
    assert serving.read_lines(output) == serving.local_lines(models.load(str(model), threads=1), folder / "images")
    return {"kills": kills, "resets": kills, **json.loads(summary)}


def memory(model: Path, requests: int) -> dict[str, Any]:
    """Resident memory of a server over many requests, of which every 20th is damaged."""
    edge = Edge.of(str(model), symbols=4, z=1.5)
    cases = serving.cases(edge.model, _CASES, _DAMAGED)

    async def ask(session: Session, count: int) -> None:
        waiting: list[Any] = []
        for i in range(count):
            case = cases[i % _CASES]
            waiting.append((case, await session.send(case.bitstream, serving.SIZE)))
            if len(waiting) == _CASES or i == count - 1:
                for sent, future in waiting:
                    sent.check(await future)
                waiting.clear()

    async def run(server: Server) -> tuple[list[int], float]:
        async with Session(Link(server.address, in_flight=16), side_of(edge)) as session:
            await ask(session, 2000)  # the memory for repeated frames is full
            points = [server.rss()]
            start = time.monotonic()
            for _ in range(10):
                await ask(session, requests // 10)
                points.append(server.rss())
            return points, time.monotonic() - start

    with Server(model) as server:
        points, seconds = asyncio.run(run(server))
    growth = points[-1] - points[0]
    assert growth < _MOST_GROWTH, points
    return {"requests": requests, "per_s": requests / seconds, "growth_mib": growth / _MIB,
            "rss_mib": [point / _MIB for point in points]}  # fmt: skip


def streams(model: Path, folder: Path, frames: int, kills: int) -> dict[str, Any]:
    """Three streams, and all faults around them; the server forgets them now and then."""
    network = models.load(str(model), threads=1)
    codec = streaming.calibrated(network, folder / "toy.profile")
    options = ["--profile", folder / "toy.profile", "--max-stream-memory", streaming.room(network, codec, 6)]
    with Server(model, *options) as server, Proxy(server.port) as proxy:
        cases = serving.cases(network, _CASES, _DAMAGED)
        work = StreamStorm(server, proxy, side_of(Edge(network, codec)), cases, network, codec)
        report = asyncio.run(work.run(frames, kills))
        assert server.stop() == 0
        assert not server.events("frame failed")
    return report


def stream_memory(model: Path, requests: int) -> dict[str, Any]:
    """Resident memory of a server over many frames of one stream."""
    network, points = models.load(str(model), threads=1), []
    with Server(model) as server:
        asyncio.run(streaming.through_one(server.address, network, streaming.CODEC, 2000))
        start = time.monotonic()
        for _ in range(10):
            points.append(server.rss())
            asyncio.run(streaming.through_one(server.address, network, streaming.CODEC, requests // 10))
        points.append(server.rss())
    growth = points[-1] - points[0]
    assert growth < _MOST_GROWTH, points
    return {"frames": requests, "per_s": requests / (time.monotonic() - start), "growth_mib": growth / _MIB,
            "rss_mib": [point / _MIB for point in points]}  # fmt: skip


def full_disk(model: Path, folder: Path) -> dict[str, Any]:
    """`midstream push` to a device that is full."""
    serving.write_images(folder / "few", 10)
    with Server(model) as server:
        command = serving.push_command(folder / "few", server.address, model, "/dev/full")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    return {"exit_code": done.returncode, "message": done.stderr.strip()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=5000, help="of each client before, and after the faults")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--only", choices=["storm", "streams", "push", "full_disk", "memory", "stream_memory"])
    asked = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = toy.write_toy(folder)
        for part, run in {
            "storm": lambda: storm(model, asked.frames, asked.kills),
            "streams": lambda: streams(model, folder, asked.frames, asked.kills),
            "push": lambda: pushed(model, folder, asked.images, asked.kills),
            "full_disk": lambda: full_disk(model, folder),
            "memory": lambda: memory(model, asked.requests),
            "stream_memory": lambda: stream_memory(model, asked.requests),
        }.items():
            if asked.only not in (None, part):
                continue
            print(f"{part} ...", file=sys.stderr, flush=True)
            report[part] = run()
            print(json.dumps({part: report[part]}, indent=2), flush=True)


if __name__ == "__main__":
    main()
