"""Read the tables that `midstream batch` writes: plain Parquet, one row an image.

midstream scenes --count 20 -o scenes
midstream batch encode -i 'scenes/leftImg8bit/**/*.png' -o coded -m streets-r16 --symbols 4
midstream batch decode -i coded -o found -m streets-r16
python examples/read_batch.py coded found   # needs pyarrow alone; pandas and DuckDB read the same files
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

import midstream as ms


def rates(results: Path) -> None:
    """What the bitstreams of an encoding job cost, and what is in one of them."""
    table = pq.read_table(results, columns=["id", "bytes", "elements", "encode_ms", "bitstream"])
    bytes_each = table["bytes"]
    print(f"{len(table)} images, {pc.mean(bytes_each).as_py():,.0f} bytes on average")
    print(f"  99 % take at most {pc.quantile(bytes_each, 0.99)[0].as_py():,.0f} bytes")
    print(f"  {8 * pc.sum(bytes_each).as_py() / pc.sum(table['elements']).as_py():.3f} bits an element")
    largest = table.sort_by([("bytes", "descending")]).slice(0, 1).to_pylist()[0]
    pyramid = ms.decode(largest["bitstream"])
    shapes = ", ".join(f"{name} {list(level.shape)}" for name, level in pyramid.items())
    print(f"  the largest is of {Path(largest['id']).name}: {shapes}")


def detections(results: Path) -> None:
    """What a decoding job has found, by class."""
    table = pq.read_table(results, columns=["detections"])
    found = pc.list_flatten(table["detections"])
    sure = pc.filter(pc.struct_field(found, "name"), pc.greater(pc.struct_field(found, "score"), 0.5))
    counts = ", ".join(f"{count} {name}" for name, count in Counter(sure.to_pylist()).most_common())
    print(f"detections with a score above 0.5 in {len(table)} images: {counts or 'none'}")


def main() -> None:
    for folder in map(Path, sys.argv[1:]):
        print(folder)
        for failure in pq.read_table(folder / "failures").to_pylist() if any((folder / "failures").iterdir()) else []:
            print(f"  failed: {failure['id']}: {failure['error']}")
        columns = pq.read_schema(next((folder / "results").glob("*.parquet"))).names
        if "bitstream" in columns:
            rates(folder / "results")
        if "detections" in columns:
            detections(folder / "results")


if __name__ == "__main__":
    main()
