"""What the fault tests are made of: servers that can be killed, a proxy that spoils connections, the right answers."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

import midstream as ms
from midstream.serve import Answer

SIZE = (60, 50)
_READY_S = 300


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`midstream serve` as a process; restarted on the same port."""

    def __init__(self, model: Path | str, *options: object, port: int | None = None, before: str = "") -> None:
        """Start it; `before` is code that its process runs first."""
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        run = "import runpy; runpy.run_module('midstream', run_name='__main__', alter_sys=True)"
        self._command = [sys.executable, "-c", f"{before}\n{run}", "serve", "--model", str(model)]
        self._command += ["--port", str(self.port), *map(str, options)]
        self.log: list[dict[str, Any]] = []
        self.start()

    def start(self, *more: object) -> None:
        """Start it, this time with `more` options."""
        self.process = subprocess.Popen([*self._command, *map(str, more)], stderr=subprocess.PIPE, text=True)
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=[self.process, ready], daemon=True)
        self._reader.start()
        assert ready.wait(_READY_S), self.log
        assert any(entry.get("event") == "serving" for entry in self.log), self.log

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                # gRPC's library may write lines of its own, which are kept as they are.
                entry = json.loads(line) if line.startswith("{") else {"event": "foreign", "line": line}
                self.log.append(entry)
                if entry.get("event") == "serving":
                    ready.set()
        ready.set()  # it has ended

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(300)
        self._reader.join()
        return code

    def rss(self) -> int:
        """Bytes of memory."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def option(self, name: str) -> str:
        return self._command[self._command.index(name) + 1]

    def metric(self, name: str) -> float:
        """The newest value of a metric, labels included in its name; 0 for one that is not there yet."""
        address = f"http://127.0.0.1:{self.option('--metrics-port')}/metrics"
        lines = urllib.request.urlopen(address, timeout=60).read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry.get("event") == name]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.kill()


class Proxy:
    """TCP in between: resets all connections when told to, cuts each after so many bytes, delays, narrows."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.cut_after: int | None = None  # bytes from a client, then the connection ends in the middle
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.resets = self.cuts = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._pump, args=[client, server, self.cut_after], daemon=True).start()
            threading.Thread(target=self._pump, args=[server, client, None], daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, cut_after: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(1 << 14):
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self.bytes_per_s:
                    time.sleep(len(data) / self.bytes_per_s)
                if cut_after is not None and passed + len(data) > cut_after:
                    sink.sendall(data[: cut_after - passed])
                    self.cuts += 1
                    break
                passed += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            _end(end, socket.SHUT_RDWR)

    def reset(self) -> None:
        """RST to both sides of all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for end in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _end(end, socket.SHUT_RD)
        self.resets += 1

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        _end(self._listener, socket.SHUT_RD)
        self.reset()


def _end(end: socket.socket, how: int) -> None:
    """Wake whoever waits for this socket, then close it."""
    with contextlib.suppress(OSError):
        end.shutdown(how)
    end.close()


@dataclass(frozen=True)
class Case:
    """A bitstream and the answer that a local run gives: detections, or the error's text for a damaged one."""

    bitstream: bytes
    detections: ms.models.Detections | None
    error: str

    def check(self, answer: Answer) -> None:
        """Refuse any other answer, to the last bit."""
        if self.detections is None:
            assert answer.error is not None, "a damaged bitstream was answered"
            assert (answer.error.code, str(answer.error)) == ("INVALID_ARGUMENT", self.error)
            return
        found = answer.found()
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(found, name), getattr(self.detections, name))


def cases(model: ms.models.SplitModel, count: int, damaged: float, seed: int = 0) -> list[Case]:
    """Images coded and answered here; a share of the bitstreams is corrupt or cut."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        data = ms.encode(model.front(image(rng)), symbols=4, z=1.5)
        if i % round(1 / damaged) == 0 if damaged else False:
            data = _damaged(data, rng, cut=bool(i % 2))
        try:
            out.append(Case(data, model.back(ms.decode(data), SIZE), ""))
        except ms.BitstreamError as error:
            out.append(Case(data, None, f"{type(error).__name__}: {error}"))
    return out


def _damaged(data: bytes, rng: np.random.Generator, cut: bool) -> bytes:
    if cut:
        return data[: int(rng.integers(0, len(data)))]
    spoilt = bytearray(data)
    spoilt[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


def image(rng: np.random.Generator) -> NDArray[np.uint8]:
    return cv2.resize(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8), SIZE[::-1])


def write_images(folder: Path, count: int) -> Path:
    """A folder of images for `midstream push`."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:05}.png"), image(rng))
    return folder


def local_lines(model: ms.models.SplitModel, folder: Path) -> list[dict[str, Any]]:
    """What `midstream push` must write of such a folder, without times."""
    lines = []
    for number, file in enumerate(sorted(folder.iterdir())):
        pixels = ms.data.read_image(file)
        data = ms.encode(model.front(pixels), symbols=4, z=1.5)
        found = model.back(ms.decode(data), SIZE)
        lines.append(
            {"frame": number, "source": file.name, "height": SIZE[0], "width": SIZE[1],
             "detections": coco(found, model.classes), "bytes": len(data)}
        )  # fmt: skip
    return lines


def coco(found: ms.models.Detections, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    out = []
    for box, score, label in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True):
        left, top, right, bottom = box
        sides = [left, top, right - left, bottom - top]
        out.append({"category": classes[label], "label": label, "score": score, "bbox": sides})
    return out


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a push's output, without times; a half line is an error."""
    text = path.read_text() if path.exists() else ""
    assert not text or text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in line.items() if k not in ("latency_ms", "server_ms")} for line in lines]


def push_command(folder: Path, address: str, model: Path, output: Path | str, *options: object) -> list[str]:
    command = [sys.executable, "-m", "midstream", "push", folder, "--to", address, "--model", model, "--symbols", 4,
               "--z", 1.5, "-o", output, *options]  # fmt: skip
    return [str(part) for part in command]


def start_push(folder: Path, address: str, model: Path, output: Path | str, *options: object) -> subprocess.Popen[str]:
    command = push_command(folder, address, model, output, *options)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until a push has written so many lines."""
    patience = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < patience:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"the push did not come to line {count}: {process.communicate()}")
