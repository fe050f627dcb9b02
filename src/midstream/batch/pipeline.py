"""A job on Ray, as one pipeline of Ray Data: read, work, write."""

from __future__ import annotations

import contextlib
import math
import os
import posixpath
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from midstream.batch.folder import KEY, Folder
from midstream.batch.inputs import INPUT_BYTES, Chunk
from midstream.batch.job import AUTO, RESULT_BYTES, Job, Worker
from midstream.cluster import joined
from midstream.errors import InputError, MidstreamError, MissingExtraError
from midstream.models.running import CPU, CUDA, has_device

try:
    import ray.data
    import ray.exceptions
    from ray.data.block import BlockAccessor, BlockMetadata
    from ray.data.checkpoint import CheckpointConfig
    from ray.data.datasource import BlockBasedFileDatasink, Datasource, ReadTask
except ImportError as error:
    raise MissingExtraError("a batch job", "ray") from error

#: CPU slots beside those of the workers: for reading and writing, and for leaving out what is done already.
_OTHER_SLOTS = 2
#: Least size of a part with decoded pyramids, which are too large to be counted in rows.
_PART_BYTES = 64 << 20
#: Share of a slot that reading takes. As it differs from the workers' share, Ray Data keeps the two apart: a block that
#: is read goes to whichever worker is free, instead of all of a chunk to one.
_READ_SLOT = 0.5
#: Where an input is a group, a block is one: it takes seconds, and a block goes to one worker as a whole.
_GROUP_BYTES = 1


@contextlib.contextmanager
def cluster(address: str, workers: int | None) -> Iterator[int]:
    """A Ray to work on, see `midstream.cluster.joined`.

    Args:
        address: as there.
        workers: worker processes; by default one for each core.

    Yields:
        How many workers there can be.

    Raises:
        InputError: there is no Ray at the address.
    """
    with joined(address, (workers or os.cpu_count() or 1) + _OTHER_SLOTS) as slots:
        yield workers or max(1, slots - _OTHER_SLOTS)


class _Source(Datasource):  # type: ignore[misc]
    """Chunks as a source of Ray Data: a task each."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        super().__init__()
        self._chunks = chunks

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[Any]:
        del parallelism, data_context
        return [
            ReadTask(
                chunk.read,
                BlockMetadata(num_rows=chunk.count, size_bytes=None, input_files=None, exec_stats=None),
                per_task_row_limit=per_task_row_limit,
            )
            for chunk in self._chunks
        ]


class _Sink(BlockBasedFileDatasink):  # type: ignore[misc]
    """A job's folder as a sink of Ray Data. A file sink, since those are committed in two steps (see `run`)."""

    def __init__(self, folder: Folder, schema: pa.Schema, part_rows: int | None) -> None:
        super().__init__(str(folder.results), min_rows_per_file=part_rows, file_format="parquet")
        self._folder, self._schema = folder, schema

    @property
    def min_bytes_per_write(self) -> int | None:
        return _PART_BYTES if self.min_rows_per_write is None else None

    def write_block(self, block: BlockAccessor, block_index: int, ctx: Any) -> None:
        del block_index
        name = self.filename_provider.get_filename_for_task(ctx.kwargs["write_uuid"], ctx.task_idx)
        self._folder.write_part(posixpath.basename(name), block.to_arrow().cast(self._schema))


def run(job: Job, chunks: Sequence[Chunk], folder: Folder, workers: int, part_rows: int) -> None:
    """Do a job to all of its inputs that are not done yet; within `cluster`, and with the folder opened.

    Ray Data's checkpoints make every input happen once: the keys of a part are noted before it is written, and the
    note counts from when the part is whole (docs/scaling.md).

    Args:
        job: what to do.
        chunks: the inputs.
        folder: where results go.
        workers: processes that hold the network.
        part_rows: least rows of a part, the last one excepted; with pyramids, _PART_BYTES counts instead.

    Raises:
        InputError: a device that the Ray does not have.
        MidstreamError: workers cannot start, or are killed again and again.
    """
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = _GROUP_BYTES if job.groups else max(INPUT_BYTES, RESULT_BYTES)
    config = CheckpointConfig(KEY, str(folder.checkpoint), delete_checkpoint_on_success=False)
    config.checkpoint_actor_memory_bytes = 0  # beside what the keys take
    context.checkpoint_config = config
    job, share = _placed(job, workers)
    with ray.data.DataContext.current(context), _one_line():
        inputs = ray.data.read_datasource(_Source(chunks), override_num_blocks=len(chunks), num_cpus=_READ_SLOT)
        outcome = inputs.map_batches(
            Worker,
            fn_constructor_args=(job, folder.attempts),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=share,
        )
        outcome.write_datasink(_Sink(folder, job.outcome, None if job.pyramids else part_rows))


def _placed(job: Job, workers: int) -> tuple[Job, float | None]:
    """The job with the device that it comes to, and each worker's share of a GPU. Raises InputError."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    device = job.device
    if device == AUTO:
        device = CUDA if gpus and has_device(CUDA) else CPU
    if device == CPU:
        return replace(job, device=CPU), None
    if not gpus:
        raise InputError(f"this Ray has no GPU for --device {device}")
    return replace(job, device=device), 1 / math.ceil(workers / gpus)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Ray's errors, of many lines, as one that says what to do."""
    try:
        with warnings.catch_warnings():
            # A user chose the workers, not the blocks.
            warnings.filterwarnings("ignore", "The minimum number of concurrent actors", UserWarning)
            yield
    except ray.exceptions.RayActorError as error:
        cause = str(error).strip().splitlines()[-1]
        raise MidstreamError(
            f"the workers cannot start, or end again and again, for want of memory perhaps (fewer with --workers): "
            f"{cause}; what is done is kept"
        ) from error
    except ray.exceptions.RayError as error:
        raise MidstreamError(f"Ray gave up: {str(error).strip().splitlines()[-1]}; what is done is kept") from error
