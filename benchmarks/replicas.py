"""Three ways to share streams among replicas on Ray: what each takes of the processors, and moves, for a frame.

    python benchmarks/replicas.py --model picodet-s-416 --profile picodet.profile --clip clip.mp4

`sticky`: a stream's decoder stays in one replica, to which all its units go (what `midstream serve --ray` does).
`handed over`: any replica decodes, and `StreamDecoder.state()` goes there and back with each unit.
`decoded here`: the serving process decodes, any replica runs the back on the levels.

Streams and replicas are those of the options; of each stream one frame is under way, as in the server. Processor time,
which other work on the machine changes little, is of the serving process, of the replicas, and of Ray's own processes.
"""

from __future__ import annotations

import argparse
import pickle
import threading
import time
from collections.abc import Callable
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray

import midstream as ms
from midstream import models
from midstream.data.frames import open_source
from midstream.halves.clip import ClipEdge
from midstream.halves.levels import completed
from midstream.models import FloatPyramid, SplitModel

_STORE_BYTES = 512 << 20
#: One stream's frames: a unit to a function of it and of the stream's number.
Ask = Callable[[int, bytes], Any]


class Half:
    """A server's half: decoders of streams by number, and the back."""

    def __init__(self, name: str, profile: Path, size: tuple[int, int]) -> None:
        self._model, self._profile, self._size = models.load(name, threads=1), ms.Profile.read(profile), size
        self._decoders: dict[int, ms.StreamDecoder] = {}
        self._levels = list(self._model.front(np.full((*size, 3), 114, np.uint8)))

    def levels(self, stream: int, unit: bytes) -> FloatPyramid:
        if stream not in self._decoders:
            self._decoders[stream] = ms.StreamDecoder(self._profile, threads=1, kept_frames=1)
        return self._decoders[stream].decode(unit)

    def back(self, levels: FloatPyramid) -> Any:
        return self._model.back(completed(self._model, levels, self._levels), self._size)

    def infer(self, stream: int, unit: bytes) -> Any:
        return self.back(self.levels(stream, unit))

    def infer_from(self, state: bytes | None, unit: bytes) -> tuple[Any, bytes]:
        decoder = ms.StreamDecoder(self._profile, threads=1, kept_frames=1)
        if state is not None:
            decoder.restore(state)
        found = self.back(decoder.decode(unit))
        return found, decoder.state()


def ways(here: Half, replicas: list[Any]) -> dict[str, Ask]:
    states: dict[int, bytes] = {}
    turn = count()

    def any_replica() -> Any:
        return replicas[next(turn) % len(replicas)]

    def sticky(stream: int, unit: bytes) -> Any:
        return ray.get(replicas[stream % len(replicas)].infer.remote(stream, unit))

    def handed_over(stream: int, unit: bytes) -> Any:
        found, states[stream] = ray.get(any_replica().infer_from.remote(states.get(stream), unit))
        return found

    def decoded_here(stream: int, unit: bytes) -> Any:
        return ray.get(any_replica().back.remote(here.levels(stream, unit)))

    return {"sticky": sticky, "handed over": handed_over, "decoded here": decoded_here}


def units_of(model: SplitModel, profile: Path, clip: str, quality: int, limit: int) -> tuple[list[bytes], Any]:
    edge = ClipEdge(model, ms.StreamEncoder(profile=profile, quality=quality, threads=1))
    images = [frame.image for frame in islice(open_source(clip).frames(), limit) if frame.image is not None]
    return [edge.encode(image) for image in images], images[0].shape[:2]


def seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


def run(ask: Ask, streams: int, units: list[bytes], frames: int) -> None:
    """Each stream in a thread; the units over and over, of which the first is a key."""

    def one(stream: int) -> None:
        for unit in islice(cycle(units), frames):
            ask(stream, unit)

    threads = [threading.Thread(target=one, args=[stream]) for stream in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def moved(here: Half, units: list[bytes]) -> dict[str, float]:
    """Bytes between processes for a frame, to and fro, without what Ray adds."""
    total = dict.fromkeys(("sticky", "handed over", "decoded here"), 0)
    state: bytes | None = None
    for unit in units:
        before = 0 if state is None else len(state)
        found, state = here.infer_from(state, unit)
        answer = len(pickle.dumps(found))
        levels = sum(values.nbytes for values in here.levels(-1, unit).values())
        total["sticky"] += len(unit) + answer
        total["handed over"] += len(unit) + answer + before + len(state)
        total["decoded here"] += levels + answer
    return {name: size / len(units) for name, size in total.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--quality", type=int, default=60)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--frames", type=int, default=100, help="of each stream")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    model = models.load(arguments.model, threads=1)
    units, size = units_of(model, arguments.profile, arguments.clip, arguments.quality, min(arguments.frames, 64))
    here = Half(arguments.model, arguments.profile.absolute(), size)
    ray.init("local", num_cpus=arguments.replicas, include_dashboard=False, object_store_memory=_STORE_BYTES,
             log_to_driver=False)  # fmt: skip
    actor = ray.remote(num_cpus=1)(Half)
    replicas = [actor.remote(arguments.model, arguments.profile.absolute(), size) for _ in range(arguments.replicas)]
    asks = ways(here, replicas)
    for ask in asks.values():
        run(ask, arguments.streams, units, 4)
    me = psutil.Process()
    children = me.children(recursive=True)
    working = [each for each in children if " ".join(each.cmdline()).startswith("ray::Half")]
    others = [each for each in children if each not in working]
    done = arguments.streams * arguments.frames
    rows: dict[str, list[list[float]]] = {name: [] for name in asks}
    for _ in range(arguments.repeats):
        for name, ask in asks.items():
            groups = [[me], working, others]
            before, start = [seconds(group) for group in groups], time.perf_counter()
            run(ask, arguments.streams, units, arguments.frames)
            elapsed = time.perf_counter() - start
            used = [1e3 * (seconds(group) - was) / done for group, was in zip(groups, before, strict=True)]
            rows[name].append([done / elapsed, *used])
    bytes_moved = moved(here, units)
    print("| way | frames/s | ms of processor a frame: server | replicas | Ray | bytes moved a frame |")
    print("|---|---|---|---|---|---|")
    for name, runs in rows.items():
        best = max(runs)
        print(f"| {name} | {best[0]:.1f} | {best[1]:.1f} | {best[2]:.1f} | {best[3]:.1f} | {bytes_moved[name]:,.0f} |")


if __name__ == "__main__":
    main()
