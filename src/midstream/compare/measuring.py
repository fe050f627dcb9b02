"""Measuring points: every image or clip through every pipeline, on all cores, a file for each point that is done."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from midstream.compare import worker
from midstream.compare.store import Memory, PointRecord, Store, read_point, write_point
from midstream.compare.worker import Network
from midstream.data import Dataset, ImageFile
from midstream.errors import CodecError, MidstreamError
from midstream.pipelines.base import Measured, Pipeline
from midstream.pipelines.clips import AnyPipeline

#: Tasks that wait for each worker, so that none stands idle and an interruption loses little.
_AHEAD = 2
#: The image whose coding shows how much memory the codec takes.
_PROBED = 0


#: Images, or the frames of clips.
_Parts = Sequence[tuple[ImageFile, ...]]


@dataclass(frozen=True)
class PlannedPoint:
    """A point as it was asked for, and what came of it: a key to its file, or why there is none."""

    pipeline: AnyPipeline
    key: str | None
    failure: str | None = None


@dataclass
class _Open:
    """A point under way."""

    point: PlannedPoint
    results: dict[int, list[Measured]] = field(default_factory=dict)
    memory: Memory = field(default_factory=lambda: Memory(None, None))
    failure: str | None = None


@contextmanager
def workers(network: Network, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes with the network loaded. What is under way when the block is left early is given up."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=worker.start, initargs=(network,)
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise MidstreamError(
            "a worker process ended of itself, most likely for want of memory: try fewer with --jobs; what was "
            "measured so far is kept"
        ) from error
    except KeyboardInterrupt:  # who interrupts does not want to wait for a slow codec
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def describe(store: Store, pipelines: Sequence[AnyPipeline]) -> list[PlannedPoint]:
    """The pipelines with their keys, each once; one whose programs are missing has failed already."""
    points = []
    for pipeline in dict.fromkeys(pipelines):
        try:
            points.append(PlannedPoint(pipeline, store.key(pipeline.describe())))
        except CodecError as error:
            points.append(PlannedPoint(pipeline, None, str(error)))
    return points


def missing(store: Store, points: Sequence[PlannedPoint]) -> list[PlannedPoint]:
    """The points that are still to be measured."""
    return [p for p in points if p.key is not None and read_point(store.point_path(p.key)) is None]


def measure(
    pool: ProcessPoolExecutor,
    jobs: int,
    store: Store,
    dataset: Dataset,
    points: Sequence[PlannedPoint],
    on_image: Callable[[str], None],
    on_point: Callable[[PlannedPoint, PointRecord | None], None],
) -> list[PlannedPoint]:
    """Measure points that are missing and write their files.

    Args:
        pool: of `workers`.
        jobs: how many workers it has.
        store: where files go.
        dataset: the images, or clips.
        points: of `missing`.
        on_image: called with the point's label after every image, also those that a failure leaves out.
        on_point: called with each point when it is done or has failed.

    Returns:
        The points that failed, with the reason: a codec that fails on one image fails the point.
    """
    failed: list[PlannedPoint] = []
    waiting: dict[Future[list[Measured] | Memory], tuple[_Open, int | None]] = {}
    parts = dataset.parts
    tasks = _tasks(pool, parts, points, on_image)
    more = True
    while more or waiting:
        while more and len(waiting) < _AHEAD * jobs:
            task = next(tasks, None)
            more = task is not None
            if task is not None:
                waiting[task[0]] = task[1:]
        for future in wait(waiting, return_when=FIRST_COMPLETED).done if waiting else ():
            current, number = waiting.pop(future)
            _take(current, number, future, parts)
            for _ in parts[number] if number is not None else ():
                on_image(current.point.pipeline.label())
            if any(other is current for other, _ in waiting.values()) or _unfinished(current, parts):
                continue
            record = None if current.failure else _record(current, store.task)
            if record is not None and current.point.key is not None:
                write_point(store.point_path(current.point.key), record)
                on_point(current.point, record)
            else:
                failed.append(PlannedPoint(current.point.pipeline, None, current.failure))
                on_point(failed[-1], None)
    return failed


def _tasks(
    pool: ProcessPoolExecutor, parts: _Parts, points: Sequence[PlannedPoint], on_image: Callable[[str], None]
) -> Iterator[tuple[Future[list[Measured] | Memory], _Open, int | None]]:
    """Submitted work, point after point; the rest of a point that has failed is left out."""
    for point in points:
        current = _Open(point)
        (probed, *_) = parts[_PROBED]
        if probed.clip is None:  # what a clip takes is the frames that its codec happens to hold
            yield pool.submit(worker.memory, cast("Pipeline", point.pipeline), probed), current, None
        for number, part in enumerate(parts):
            if current.failure:
                for _ in part:
                    on_image(point.pipeline.label())
            else:
                yield pool.submit(worker.measure, point.pipeline, part), current, number


def _take(current: _Open, number: int | None, future: Future[list[Measured] | Memory], parts: _Parts) -> None:
    try:
        result = future.result()
    except BrokenProcessPool:
        raise
    except Exception as error:  # whatever a codec of other people throws is the end of its point, not of the run
        said = str(error) if isinstance(error, MidstreamError) else f"{type(error).__name__}: {error}"
        where = "the memory probe" if number is None else _named(parts[number])
        current.failure = current.failure or (said if where in said else f"{where}: {said}")
        return
    if isinstance(result, Memory):
        current.memory = result
    elif number is not None:
        current.results[number] = result


def _named(part: tuple[ImageFile, ...]) -> str:
    return str(part[0].path) if part[0].clip is None else f"clip {part[0].clip.name}"


def _unfinished(current: _Open, parts: _Parts) -> bool:
    return not current.failure and len(current.results) < len(parts)


def _record(current: _Open, task: str) -> PointRecord:
    results = [each for number in sorted(current.results) for each in current.results[number]]
    elements = [each.elements for each in results]
    return PointRecord(
        description=current.point.pipeline.describe(),
        sizes=np.array([each.size for each in results], np.int64),
        seconds=np.array([[r.front_s, r.encode_s, r.decode_s, r.back_s] for r in results]),
        pixels=sum(each.pixels for each in results),
        elements=None if None in elements else sum(e for e in elements if e is not None),
        task=task,
        outputs=[each.output for each in results],
        memory=current.memory,
        wait_s=sum(each.wait_s for each in results) / len(results),
    )
