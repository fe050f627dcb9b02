"""Processor time and memory of a batch job's function, without Ray, on one core.

    python benchmarks/batch_work.py --input IMAGES --images 60

Processor time does not depend on what else a machine does. Memory is the largest of the process: libraries, network,
the tensors of one image, and the inputs, which are all read first.
"""

from __future__ import annotations

import argparse
import resource
import time

import cv2
import pyarrow as pa

from midstream import models
from midstream.batch import inputs, schema, sources
from midstream.batch.job import Job, work
from midstream.codec.paper import Paper
from midstream.models.reference import Reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", action="append", required=True)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--model", default="picodet-s-416")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    network = models.load(arguments.model, threads=1)
    reference = Reference.of(network, arguments.model, None)
    encode, decode = (
        Job("encode", reference, Paper(symbols=4)),
        Job("decode", reference, None),
    )
    chunks = sources.find(arguments.input, "encode")
    images = pa.concat_tables([table for chunk in chunks for table in chunk.read()])[: arguments.images]
    list(work(network, encode, images[:3]))
    start = time.process_time()
    coded = pa.concat_tables(list(work(network, encode, images))).to_pylist()
    encoded = time.process_time()
    rows = [inputs.content_row(row["id"], row["bitstream"], (row["height"], row["width"])) for row in coded]
    bitstreams = pa.Table.from_pylist(rows, schema.INPUT)
    before = time.process_time()
    list(work(network, decode, bitstreams))
    decoded = time.process_time()
    print(f"encode {1e3 * (encoded - start) / len(rows):.1f} ms, decode {1e3 * (decoded - before) / len(rows):.1f} ms")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
