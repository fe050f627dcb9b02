"""A batch job from inputs to a folder of tables."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from midstream.batch import PART_ROWS, pipeline
from midstream.batch.folder import Folder, JobManifest
from midstream.batch.inputs import Chunk
from midstream.batch.job import Job
from midstream.cluster import LOCAL

_WATCH_SECONDS, _WATCH_SHARE = 0.5, 10


@dataclass(frozen=True)
class BatchSummary:
    """What a run did, and what the folder holds afterwards.

    Attributes:
        done, failed: inputs in the table of results and in that of failures.
        before: of these, those of earlier runs.
        frames, failed_frames: of the groups in the table of results; None where the inputs are images.
        bytes: of all bitstreams in the table of results.
        workers: processes that held the network.
        seconds: wall clock, Ray's start included.
        work_seconds: from the first worker's start to the last part.
    """

    kind: str
    model: str
    output: str
    done: int
    failed: int
    before: int
    bytes: int
    workers: int
    seconds: float
    work_seconds: float
    frames: int | None = None
    failed_frames: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        out = asdict(self)
        return out if self.frames is not None else {k: v for k, v in out.items() if not k.endswith("frames")}


def run(
    job: Job,
    model: str,
    chunks: Sequence[Chunk],
    folder: Folder,
    address: str = LOCAL,
    workers: int | None = None,
    part_rows: int = PART_ROWS,
    retry_failed: bool = False,
    on_input: Callable[[], None] = lambda: None,
) -> BatchSummary:
    """Do a job, or what is left of it, to all inputs; see `pipeline.run`.

    Args:
        job: what to do.
        model: the network's name.
        chunks: the inputs, of `sources.find`.
        folder: where the tables are; what is done there is not done again.
        address: of a Ray, see `midstream.cluster.joined`.
        workers: processes that hold the network; by default one for each core.
        part_rows: least rows of a part.
        retry_failed: try the inputs of the table of failures again.
        on_input: called after every input that is in a table.

    Raises:
        InputError: the folder holds something else or is in use, there is no Ray at the address.
        MidstreamError: the workers end again and again.
    """
    start = time.perf_counter()
    with folder.opened(JobManifest.of(job, model)):
        if retry_failed:
            folder.forget_failures()
        before = folder.count(folder.results) + folder.count(folder.failures)
        with pipeline.cluster(address, workers) as count, _watched(folder, on_input):
            started = time.perf_counter()
            pipeline.run(job, chunks, folder, count, part_rows)
            ended = time.perf_counter()
        folder.sweep()
        folder.check_once()
    frames, failed_frames = folder.frames() if job.groups else (None, None)
    return BatchSummary(
        kind=job.kind,
        model=model,
        output=str(folder.path),
        done=folder.count(folder.results),
        failed=folder.count(folder.failures),
        before=before,
        bytes=folder.total_bytes(),
        workers=count,
        seconds=time.perf_counter() - start,
        work_seconds=ended - started,
        frames=frames,
        failed_frames=failed_frames,
    )


@contextlib.contextmanager
def _watched(folder: Folder, on_input: Callable[[], None]) -> Iterator[None]:
    """Call `on_input` for every row of a part that appears, and once more at the end for those not seen yet."""
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        for path in folder.parts():
            if str(path) not in seen:
                seen.add(str(path))
                for _ in range(pq.read_metadata(path).num_rows):
                    on_input()

    def watch() -> None:
        pause = _WATCH_SECONDS
        while not stop.wait(pause):
            start = time.perf_counter()
            look()
            pause = max(_WATCH_SECONDS, _WATCH_SHARE * (time.perf_counter() - start))  # there may be many parts

    look()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()
