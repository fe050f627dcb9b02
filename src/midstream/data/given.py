"""Images in whatever form somebody has them: a data set, what names one, or a list of files and arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset, ImageFile
from midstream.data.images import ARRAY_SUFFIX, read_image
from midstream.errors import InputError
from midstream.files import expanded, write_bytes
from midstream.images import check_image

#: A data set; what `data.load` takes; or files and arrays in a list: images, uint8 RGB [H, W, 3], or arrays of numbers
#: for networks of something else.
Images: TypeAlias = "Dataset | str | Path | Sequence[str | Path | NDArray[Any]]"


@contextmanager
def given(images: Images, limit: int | None = None, arrays: bool = True) -> Iterator[Dataset]:
    """The data set that `images` are; arrays are files while the context lasts.

    Args:
        images: see Images; those of a list are numbered from 1 and have no labels.
        limit: the first so many.
        arrays: whether others than images may be in a list: for a network that takes arrays.

    Raises:
        InputError: what `data.load` raises; an empty list, or something else than images in it.
    """
    if isinstance(images, Dataset):
        yield images.head(limit)
    elif isinstance(images, str | Path):
        from midstream.data import load  # which knows all kinds, and imports this module

        yield load(str(images), limit)
    else:
        with tempfile.TemporaryDirectory(prefix="midstream-") as folder:
            chosen = list(images)[:limit]
            files = tuple(
                ImageFile(number, _file(each, number, Path(folder), arrays)) for number, each in enumerate(chosen, 1)
            )
            if not files:
                raise InputError("there are no images in the list")
            yield Dataset(f"a list of {len(files)}", None, files, None)


def _file(image: Any, number: int, folder: Path, arrays: bool) -> Path:
    if isinstance(image, str | Path):
        return expanded(str(image))
    values = np.asarray(image)
    path = folder / f"{number:06}.png"
    try:
        if arrays and (values.ndim != 3 or values.shape[2] not in (1, 3, 4)):
            path = path.with_suffix(ARRAY_SUFFIX)
            np.save(path, values, allow_pickle=False)
            read_image(path)  # which says what is wrong with it, by entry and before any work
        else:
            write_bytes(str(path), cv2.imencode(".png", check_image(values)[:, :, ::-1])[1].tobytes())
    except (InputError, ValueError) as error:
        why = str(error).replace(str(path), "").replace("  ", " ")
        raise InputError(f"entry {number} of the images: {why}") from error
    return path
