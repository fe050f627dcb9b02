"""Files of arrays, for networks of something else than images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from midstream.data import load, read_image
from midstream.errors import InputError


def test_a_folder_of_arrays_is_a_data_set(tmp_path: Path) -> None:
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.full(512, i, np.float32))
    found = load(str(tmp_path))
    assert [image.path.name for image in found.images] == ["0.npy", "1.npy", "2.npy"]
    values = read_image(found.images[2].path)
    assert (values.shape, values.dtype) == ((1, 512), np.float32)
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((4, 4, 3), np.uint8))
    assert [image.path.name for image in load(str(tmp_path)).images] == ["photo.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.array([1.0, np.nan]), "holds a NaN"),
        (np.array(["a"]), "holds no numbers"),
        (np.zeros((0, 4)), "holds no numbers"),
        (np.array([{}], object), "cannot read the array"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(tmp_path: Path, content: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "x.npy")


def test_a_broken_file_of_an_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"\\x93NUMPY")
    with pytest.raises(InputError, match=r"cannot read the array .*x\.npy"):
        read_image(tmp_path / "x.npy")
