"""The images of a comparison, all read once before the work, so that every point is of the same ones."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from midstream.compare import worker
from midstream.data import Dataset
from midstream.data.reading import Skipped
from midstream.errors import InputError
from midstream.progress import Progress

#: Images that a worker reads at once.
_CHUNK = 8


@dataclass(frozen=True)
class Reading:
    """What came of reading.

    Attributes:
        sizes: id and (height, width), upright, of every image that can be read.
        skipped: the others.
    """

    sizes: tuple[tuple[int, tuple[int, int]], ...]
    skipped: tuple[Skipped, ...]


def read_all(pool: ProcessPoolExecutor, dataset: Dataset, strict: bool, progress: Progress) -> Reading:
    """Read all images; each that cannot be read is left out with a line.

    Raises:
        InputError: none can be read, with `strict` one cannot, or the frames of a clip differ in size.
    """
    sizes: list[tuple[int, tuple[int, int]]] = []
    skipped: list[Skipped] = []
    progress.stage("reading images", len(dataset.images))
    found = pool.map(worker.size, dataset.images, chunksize=_CHUNK)
    for image, (size, why) in zip(dataset.images, found, strict=True):
        if size is not None:
            sizes.append((image.id, size))
        elif strict:
            raise InputError(why)
        else:
            skipped.append((str(image.path), why))
            progress.warn(f"skipped: {why}")
        progress.step()
    if not sizes:
        raise InputError(f"none of the {len(skipped)} images can be read: {skipped[0][1]}")
    _check_clips(dataset, dict(sizes))
    return Reading(tuple(sizes), tuple(skipped))


def _check_clips(dataset: Dataset, sizes: dict[int, tuple[int, int]]) -> None:
    for part in dataset.parts:
        there = [image for image in part if image.id in sizes]
        for image in there[1:]:
            first, other = sizes[there[0].id], sizes[image.id]
            if other != first:
                raise InputError(
                    f"{image.path} is {other[1]}x{other[0]}, the clip's first frame {first[1]}x{first[0]}: a clip's "
                    "frames are of one size"
                )
