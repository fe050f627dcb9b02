"""What tests of batch jobs share: a job, its inputs, its outcome and the folder that takes it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from midstream.batch import schema, sources
from midstream.batch.folder import KEY, Folder
from midstream.batch.job import Job, work
from midstream.codec.paper import Paper
from midstream.models import SplitModel
from midstream.models.reference import Reference

OPTIONS = Paper(symbols=4)


def a_job(network: SplitModel, kind: schema.JobKind, **more: object) -> Job:
    options = None if kind == "decode" else OPTIONS
    return Job(kind, Reference("toy", None, network.identity, network.fingerprint), options, **more)  # type: ignore[arg-type]


def inputs_of(*what: Path | str, kind: schema.JobKind = "encode") -> pa.Table:
    chunks = sources.find([str(each) for each in what], kind)
    return pa.concat_tables([table for chunk in chunks for table in chunk.read()])


def outcome(network: SplitModel, job: Job, inputs: pa.Table) -> pa.Table:
    return pa.concat_tables(list(work(network, job, inputs)))


def commit(folder: Folder, name: str, rows: pa.Table) -> None:
    """What Ray Data does: the keys, the part."""
    pq.write_table(rows.select([KEY]), folder.checkpoint / name)
    folder.write_part(name, rows)
