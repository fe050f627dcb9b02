"""A job's folder: Parquet parts that appear whole, what they are of, and which of them count.

run.json               of what network and codec, see JobManifest
results/*.parquet      one row an input, see schema.results
failures/*.parquet     inputs that failed, with the reason
.checkpoint/*.parquet  keys of the inputs that are done, by Ray Data: one file a part, of the same name
.partial/              parts that are being written
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from midstream.batch.job import Job
from midstream.batch.schema import FAILURES
from midstream.errors import InputError, MidstreamError, unknown
from midstream.files import make_folder, own_folder, read_bytes, write_bytes
from midstream.models import SplitModel

MANIFEST = "run.json"
#: The column that Ray Data's checkpoints are made of.
KEY = "key"
_COMPRESSION = "zstd"
#: Keys that are compared with one another in one pass over the tables, and how keys may begin.
_KEYS_AT_ONCE = 4_000_000
_PREFIXES = [f"{byte:02x}" for byte in range(256)]
#: How often an input may end the process that works on it, by what it takes of memory or by a crash of a library.
_MOST_ATTEMPTS = 3


class JobManifest(BaseModel):
    """What the rows of a folder were made by; a job of anything else is refused."""

    kind: str
    model: str
    identity: str
    cut: str
    codec: dict[str, Any] | None
    pyramids: bool
    groups: bool = False
    key_interval: int | None = None

    @classmethod
    def of(cls, job: Job, model: str) -> JobManifest:
        """Of a job with the network named `model`."""
        codec = None if job.codec is None else job.codec.describe()
        return cls(
            kind=job.kind,
            model=model,
            identity=job.network.identity,
            cut=job.network.cut,
            codec=codec,
            pyramids=job.pyramids,
            groups=job.groups,
            key_interval=job.key_interval,
        )


@dataclass(frozen=True)
class Attempts:
    """A file for every input that is being worked on, which is still there when the process ends before it is done.

    Ray starts such a process again, with the same inputs. Without a count, one input that no process survives would
    keep the whole job from ever being done.
    """

    path: Path

    @contextlib.contextmanager
    def __call__(self, key: str) -> Iterator[None]:
        """Count an attempt while the block runs. Raises MidstreamError when there were too many."""
        marker = self.path / key
        with marker.open("ab") as file:
            if file.tell() >= _MOST_ATTEMPTS:
                raise MidstreamError(
                    f"the process that worked on it ended {_MOST_ATTEMPTS} times: it may take more memory than there "
                    "is (fewer --workers, then --retry-failed)"
                )
            file.write(b".")
        try:
            yield
        finally:
            marker.unlink(missing_ok=True)


@dataclass(frozen=True)
class Folder:
    """The folder at `path`."""

    path: Path

    @property
    def results(self) -> Path:
        """The table of results."""
        return self.path / "results"

    @property
    def failures(self) -> Path:
        """The table of inputs that failed."""
        return self.path / "failures"

    @property
    def checkpoint(self) -> Path:
        """Ray Data's."""
        return self.path / ".checkpoint"

    @property
    def partial(self) -> Path:
        """Where a part is before it is whole."""
        return self.path / ".partial"

    @property
    def attempts(self) -> Attempts:
        """The inputs that are being worked on."""
        return Attempts(self.path / ".attempts")

    @contextlib.contextmanager
    def opened(self, manifest: JobManifest) -> Iterator[None]:
        """Make the folder or go on with it, alone.

        Raises:
            InputError: it cannot be made, another job is at work in it, or it holds rows of something else.
        """
        with own_folder(self.path):
            for folder in (self.results, self.failures, self.checkpoint, self.partial, self.attempts.path):
                make_folder(folder)
            self._check(manifest)
            write_bytes(str(self.path / MANIFEST), (manifest.model_dump_json(indent=2) + "\n").encode())
            self.sweep()
            yield

    def manifest(self) -> JobManifest:
        """What the folder holds. Raises InputError when it is none of a job."""
        path = self.path / MANIFEST
        if not path.is_file():
            raise InputError(f"{self.path} is not the folder of a batch job: it has no {MANIFEST}")
        try:
            return JobManifest.model_validate_json(read_bytes(str(path)))
        except ValidationError as error:
            raise InputError(f"{path} is not the manifest of a batch job: give another folder") from error

    def check_made_by(self, network: SplitModel) -> None:
        """Refuse the bitstreams of another cut graph, where this is the folder of a job. Raises InputError."""
        if (self.path / MANIFEST).is_file() and (there := self.manifest()).cut != network.fingerprint:
            raise InputError(
                f"{self.path} holds the bitstreams of {there.model}, cut graph {there.cut[:16]}; {network.name} is "
                f"{network.fingerprint[:16]}: give that --model, with the same weights"
            )

    def _check(self, mine: JobManifest) -> None:
        if not (self.path / MANIFEST).exists():
            return
        there = self.manifest()
        for name in JobManifest.model_fields:
            if getattr(there, name) != getattr(mine, name):
                raise InputError(
                    f"{self.path} holds another job: its {name} is {getattr(there, name)}, this one's "
                    f"{getattr(mine, name)}; give another folder"
                )

    def write_part(self, name: str, rows: pa.Table) -> None:
        """Write what a worker returned as a part of each table; a part of that name is replaced."""
        failed = pc.is_valid(rows["error"])
        self._write(self.failures / name, rows.filter(failed).select(FAILURES.names))
        self._write(self.results / name, rows.filter(pc.invert(failed)).drop_columns("error"))

    def _write(self, target: Path, rows: pa.Table) -> None:
        if rows.num_rows:
            temporary = self.partial / f"{target.parent.name}-{target.name}"
            pq.write_table(rows, temporary, compression=_COMPRESSION)
            temporary.replace(target)

    def sweep(self) -> None:
        """Remove what an earlier run was killed at: parts without a checkpoint, and halves of parts.

        Ray Data removes its own uncommitted parts when it is started again; this also finds those that a process
        which outlived its driver put there afterwards.
        """
        for path in (*self.partial.iterdir(), *self.attempts.path.iterdir()):
            path.unlink(missing_ok=True)
        whole = {path.name for path in self.checkpoint.glob("*.parquet")}
        for path in (*self.results.glob("*.parquet"), *self.failures.glob("*.parquet")):
            if path.name not in whole:
                path.unlink(missing_ok=True)
        for path in self.failures.glob("*.parquet"):  # of `forget_failures`
            failed = pq.read_table(path, columns=[KEY])[KEY]
            if not pc.all(pc.is_in(failed, self._done(path.name)[KEY])).as_py():
                path.unlink()

    def forget_failures(self) -> int:
        """Let the inputs that failed be tried again; returns how many there are."""
        count = 0
        for path in self.failures.glob("*.parquet"):
            failed, done = pq.read_table(path, columns=[KEY])[KEY], self._done(path.name)
            count += len(failed)
            temporary = self.partial / path.name
            pq.write_table(done.filter(pc.invert(pc.is_in(done[KEY], failed))), temporary)
            temporary.replace(self.checkpoint / path.name)
            path.unlink()  # a kill just before leaves it to `sweep`
        return count

    def _done(self, name: str) -> pa.Table:
        return pq.read_table(self.checkpoint / name, columns=[KEY])

    def batches(self, which: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a table, a row group at a time. Raises InputError for a column that is not there."""
        for path in sorted(which.glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                for name in columns or []:
                    if name not in file.schema_arrow.names:
                        raise unknown("column", name, file.schema_arrow.names, limit=len(file.schema_arrow.names))
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns)

    def rows(self, which: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a table, one by one. Raises as `batches`."""
        for batch in self.batches(which, columns):
            for part in batch.to_batches(max_chunksize=1):
                yield from part.to_pylist()

    def count(self, which: Path) -> int:
        """Rows of a table."""
        return sum(pq.read_metadata(path).num_rows for path in which.glob("*.parquet"))

    def check_once(self) -> None:
        """Make sure that no input is there twice; holds some millions of keys at a time. Raises MidstreamError."""
        total = self.count(self.results) + self.count(self.failures)
        passes = min(total // _KEYS_AT_ONCE + 1, len(_PREFIXES))
        twice = sum(self._repeated(pa.array(_PREFIXES[i::passes])) for i in range(passes))
        if twice:
            raise MidstreamError(
                f"{self.path}: {twice} inputs of {total} are there twice; where the input is a table, every "
                "row needs an id of its own"
            )

    def _repeated(self, prefixes: pa.Array) -> int:
        """How many of the keys that begin so were there before."""
        keys = []
        for path in self.parts():
            there = pq.read_table(path, columns=[KEY])[KEY].combine_chunks()
            keys.append(there.filter(pc.is_in(pc.utf8_slice_codeunits(there, 0, 2), prefixes)))
        every = pa.chunked_array(keys, pa.string())
        return len(every) - len(pc.unique(every))

    def total_bytes(self) -> int:
        """Of all bitstreams in the table of results."""
        return sum(pc.sum(batch["bytes"]).as_py() or 0 for batch in self.batches(self.results, ["bytes"]))

    def frames(self) -> tuple[int, int]:
        """Frames of all groups in the table of results, and how many of them failed."""
        counts = [0, 0]
        for batch in self.batches(self.results, ["frame_count", "failed_frames"]):
            for place, column in enumerate(batch.columns):
                counts[place] += pc.sum(column).as_py() or 0
        return counts[0], counts[1]

    def parts(self) -> Iterator[Path]:
        """The files of both tables."""
        for folder in (self.results, self.failures):
            yield from sorted(folder.glob("*.parquet"))
