"""What the tests of `midstream watch` are made of: the toy network with a profile, the program, and its tabs."""

from __future__ import annotations

import asyncio
import json
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import numpy as np
from tests.helpers import profiles, toy

import midstream as ms
from midstream import models

#: Of the toy network's levels.
LAYOUT = ({"p3": (5, (4, 4), 2), "p4": (5, (2, 2), 1)},)
#: Until something happens that is to happen.
PATIENCE_S = 120.0


def toy_network(folder: Path) -> tuple[Path, Path]:
    """The toy's description, and a profile of it that predicts frames."""
    described = toy.write_toy(folder)
    model = models.load(str(described))
    made = profiles.profile(layout=LAYOUT, ways=2, network=model.name, cut=model.fingerprint)
    (folder / "toy.profile").write_bytes(made.data)
    return described, folder / "toy.profile"


def toy_codec(profile: Path, **options: Any) -> ms.Calibrated:
    """The codec with its profile."""
    return ms.Calibrated(profile=str(profile), **options)


class Program:
    """`midstream watch` as a process, at a port that is free."""

    def __init__(self, *arguments: object, stdin: int | None = None) -> None:
        """Start it and wait for its address."""
        command = [sys.executable, "-m", "midstream", "watch", "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        late = threading.Timer(PATIENCE_S, self.process.kill)
        late.start()
        self.first = self.process.stdout.readline()
        late.cancel()
        self.url = json.loads(self.first)["url"] if self.first.startswith("{") else self.first.strip()

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Exit code after a signal, what followed the address on standard output, and standard error."""
        self.process.send_signal(number)
        return self.left()

    def left(self) -> tuple[int, str, str]:
        """The same of a program that ends by itself."""
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, errors

    def __enter__(self) -> Program:
        assert self.url.startswith("http://127.0.0.1:"), self.process.communicate()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Tab:
    """A browser's side of the connection."""

    def __init__(self, channel: aiohttp.ClientWebSocketResponse) -> None:
        self.channel = channel
        self.pictures: list[bytes] = []
        self.numbers: list[int] = []

    async def hello(self) -> dict[str, Any]:
        return json.loads(await self.channel.receive_str(timeout=PATIENCE_S))

    async def order(self, do: str, value: object = None) -> None:
        await self.channel.send_json({"do": do} | ({} if value is None else {"value": value}))

    async def next(self) -> dict[str, Any]:
        """The next message; its picture is added to the others."""
        await self.order("next")
        data = await self.channel.receive_bytes(timeout=PATIENCE_S)
        (length,) = struct.unpack_from("<I", data)
        said = json.loads(data[4 : 4 + length])
        if "picture" in said:
            self.pictures.append(data[4 + length :])
            self.numbers.append(said["picture"][0])
        else:
            assert len(data) == 4 + length
        return said

    async def until(self, holds: Any) -> dict[str, Any]:
        """Messages until one of which something holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds(said := await self.next()):
                pass
        return said


@asynccontextmanager
async def tab(host: str, origin: str | None = None, **headers: str) -> AsyncIterator[Tab]:
    """A tab of the page at HOST:PORT that has said hello to nobody yet."""
    sent = {"Origin": f"http://{host}" if origin is None else origin} | headers
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{host}/live", headers=sent) as channel:
        yield Tab(channel)


def rows(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of a message's frames by name."""
    names = (
        "number",
        "time",
        "size",
        "key",
        "jpeg",
        "x264",
        "quality",
        "agreement",
        "agreement_jpeg",
        "agreement_x264",
        "waiting",
        "front",
        "encode",
        "decode",
        "back",
    )
    return [dict(zip(names, row, strict=True)) for row in said["points"]]


def noise(height: int, width: int, seed: int = 0) -> Any:
    """An image, uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
