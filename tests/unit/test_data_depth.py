"""Maps of depths as a data set, and what networks are scored by with them."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.helpers import toy_tasks
from tests.helpers.commands import midstream, mistake

import midstream as ms
from midstream.data import load
from midstream.data.depth import depth_map
from midstream.errors import InputError
from midstream.metrics.depth import aligned
from midstream.metrics.scores import main_metric, score
from midstream.models.tasks.depth import Depth
from midstream.models.tasks.tensors import Tensors

SIDES = (12, 16)
NAMES = ("a", "b", "c")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in NAMES:
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), rng.integers(0, 256, (*SIDES, 3), dtype=np.uint8))
    (tmp_path / "maps").mkdir()
    return tmp_path / "images"


def write_png(folder: Path, name: str, values: np.ndarray) -> None:
    (folder / name).write_bytes(cv2.imencode(".png", values)[1].tobytes())


def of(images: Path, rest: str = "") -> Any:
    return load(f"depth:{images},{images.parent / 'maps'}{rest}")


def test_16_bit_pngs_are_metres_by_their_scale(images: Path) -> None:
    values = np.full(SIDES, 2560, np.uint16)
    values[0] = 0
    for name in NAMES[:2]:
        write_png(images.parent / "maps", f"{name}_depth.png", values)
    dataset = of(images, ",256")
    assert (dataset.labels, len(dataset.images)) == ("depth", 2)
    assert dataset.notes == (
        "maps are the files NAME_depth.*",
        "1 of 3 images have no map and are left out: c.jpg, ...",
    )
    found = depth_map(dataset.ground_truth["annotations"][0])
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], np.full((SIDES[0] - 1, SIDES[1]), 10.0))
    assert depth_map(of(images, ",1000").ground_truth["annotations"][1])[1, 0] == 2.56


@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32])
def test_arrays_are_metres_and_what_is_no_depth_does_not_count(images: Path, ending: str, kind: Any) -> None:
    values = np.full((1, *SIDES, 1), 3, kind)
    values[0, 0, 0], values[0, 1, 0] = 0, -1
    if kind != np.int32:
        values[0, 2, :2, 0] = np.nan, np.inf
    (np.save if ending == "npy" else np.savez)(images.parent / "maps" / f"a.{ending}", values)  # type: ignore[operator]
    found = depth_map(of(images).ground_truth["annotations"][0])
    assert int(np.isnan(found).sum()) == (2 if kind == np.int32 else 4)
    assert set(found[np.isfinite(found)]) == {3.0}


def archive(**members: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def hollow() -> bytes:
    """An archive whose member unpacks to more than a map has."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("d.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "rest", "message"),
    [
        ("a.png", cv2.imencode(".png", np.zeros(SIDES, np.uint16))[1].tobytes(), "", "1000 for millimetres .* or 256"),
        ("a.png", cv2.imencode(".png", np.zeros(SIDES, np.uint8))[1].tobytes(), ",256", "16 bits .* not 8 bits, 1"),
        (
            "a.png", cv2.imencode(".png", np.zeros((*SIDES, 3), np.uint16))[1].tobytes(), ",256",
            "16 bits and one channel, not 16 bits, 3 channels",
        ),
        ("a.png", b"\x89PNG", ",256", "cannot read the image"),
        ("a.npy", b"\x93NUMPY", "", "cannot read the array"),
        ("a.npy", b"", "", "cannot read the array"),
        ("a.npz", b"PK\3\4", "", "cannot read the array"),
        ("a.npz", archive(x=np.ones(SIDES), y=np.ones(SIDES)), "", r"it has 2 arrays \(x, y, ...\)"),
        ("a.npz", archive(x=np.ones(5)), "", r"its shape is \[5\], not \[height, width\]"),
        ("a.npz", archive(x=np.array(["a"])), "", "it holds no numbers"),
        ("a.npz", archive(x=np.ones((3, *SIDES))), "", r"its shape is \[3, 12, 16\]"),
        ("a.npz", archive(x=np.array([[None]])), "", "cannot read the array"),  # objects, which are never unpickled
        ("a.npz", hollow(), "", "holds more than 268,435,456 bytes"),
        ("a.npy", None, "", "no image in .* has a map of its name"),
        ("a.npz", archive(x=np.full(SIDES, 1e9)), "", "depths up to 1e.09 m: is its scale right"),
        ("a.npz", archive(x=np.ones(SIDES)), ",0", "a scale is how many values are a metre"),
        ("a.npz", archive(x=np.ones(SIDES)), ",1e-320", "a scale is how many values are a metre.* not '1e-320'"),
        ("a.npz", archive(x=np.full(SIDES, 1e307)), ",1e-6", "depths up to inf m: is its scale right"),
        ("a.npz", archive(x=np.ones(SIDES)), ",nan", "not 'nan'"),
        ("a.npz", archive(x=np.ones(SIDES)), ",1e300", "a scale is how many"),
        ("a.npz", archive(x=np.ones(SIDES)), ",mm", "not 'mm'"),
        ("a.npz", archive(x=np.ones(SIDES)), ",1,inverted", "did you mean 'inverse'|unknown relation .* 'inverted'"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_of_depths(images: Path, name: str, content: bytes | None, rest: str, message: str) -> None:
    if content is not None:
        (images.parent / "maps" / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        of(images, rest)


def test_folders_that_are_not_there(images: Path) -> None:
    with pytest.raises(InputError, match="there is no folder of maps"):
        load(f"depth:{images},{images}-none,1")
    with pytest.raises(InputError, match=r"is not what this kind of data set needs: depth:IMAGES_DIR,MAPS_DIR\[,SCALE"):
        load(f"depth:{images}")


def scores_of(images: Path, relation: str, found: dict[int, np.ndarray]) -> dict[str, float]:
    dataset = of(images, f",1,{relation}")
    outputs = {key: Tensors({"values": values.astype(np.float32)}) for key, values in found.items()}
    return score(Depth(), dataset, (), outputs, outputs).values


def test_scores_are_those_of_their_definitions(images: Path) -> None:
    rng = np.random.default_rng(1)
    true = {i: rng.uniform(1, 20, SIDES) for i in (1, 2, 3)}
    found = {i: values * rng.uniform(0.7, 1.4, SIDES) for i, values in true.items()}
    for (identity, values), name in zip(true.items(), NAMES, strict=True):
        holes = values.copy()
        holes[: identity + 1] = 0
        np.save(images.parent / "maps" / f"{name}.npy", holes)
    relative, near, squares = [], [], []
    for identity, values in true.items():
        at = slice(identity + 1, None)
        d, t = found[identity][at].astype(np.float32).astype(np.float64), values[at]
        relative.append(np.mean(np.abs(d - t) / t))
        near.append(np.mean(np.maximum(d / t, t / d) < 1.25))
        squares.append(np.mean((d - t) ** 2))
    values = scores_of(images, "metric", found)
    assert list(values) == ["relative", "delta1", "rmse"]
    assert values["relative"] == pytest.approx(100 * (1 - np.mean(relative)))
    assert values["delta1"] == pytest.approx(100 * np.mean(near))
    assert values["rmse"] == pytest.approx(math.sqrt(np.mean(squares)))
    assert main_metric(Depth()) == "relative"


@pytest.mark.parametrize("relation", ["affine", "inverse"])
def test_relative_depths_are_right_but_for_scale_and_shift(images: Path, relation: str) -> None:
    rng = np.random.default_rng(2)
    true = {i: rng.uniform(1, 20, SIDES) for i in (1, 2, 3)}
    for values, name in zip(true.values(), NAMES, strict=True):
        np.save(images.parent / "maps" / f"{name}.npy", values)
    seen = {i: 3 * i + 7 * i * (1 / values if relation == "inverse" else values) for i, values in true.items()}
    values = scores_of(images, relation, seen)
    assert values["relative"] == pytest.approx(100, abs=1e-3)
    assert values["delta1"] == 100
    assert values["rmse"] < 1e-3
    assert scores_of(images, "metric", seen)["relative"] < 50


def test_a_fit_without_slope_or_beyond_the_furthest_is_finite() -> None:
    depths = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(aligned(np.full(3, 5.0), depths, "affine"), [7 / 3] * 3)
    found = aligned(np.array([1.0, 0.5, -9.0]), depths, "inverse")
    assert (found > 0).all()
    assert found.max() <= 4.0


def test_images_without_any_depth_do_not_count_and_none_at_all_is_an_error(images: Path) -> None:
    np.save(images.parent / "maps" / "a.npy", np.ones(SIDES))
    np.save(images.parent / "maps" / "b.npy", np.zeros(SIDES))
    found = {1: np.ones(SIDES), 2: np.full(SIDES, 50.0)}
    assert scores_of(images, "metric", found) == {"relative": 100.0, "delta1": 100.0, "rmse": 0.0}
    np.save(images.parent / "maps" / "a.npy", np.zeros(SIDES))
    with pytest.raises(InputError, match="has a depth above 0"):
        scores_of(images, "metric", found)


def test_a_network_is_measured_by_depths_or_by_agreement(images: Path, tmp_path: Path) -> None:
    for name in NAMES:
        np.save(images.parent / "maps" / f"{name}.npy", np.full((5, 7), 2.0))  # of another size than image and output
    for folder in ("n", "m"):
        (tmp_path / folder).mkdir()
    network = toy_tasks.write_network(tmp_path / "n", "depth")
    spec = f"depth:{images},{images.parent / 'maps'},1,affine"
    done = midstream("eval", "-m", network, "--data", spec, "--symbols", 256)
    shown = done.stdout.decode()
    assert "RMSE in metres" in shown
    assert "agreement" not in shown
    result = ms.evaluate(str(network), str(images), symbols=256)
    assert list(result.scores) == ["relative", "delta1"]
    other = toy_tasks.write_network(tmp_path / "m", "classification")
    found = ms.evaluate(str(other), spec, symbols=256)
    assert any("are none of classification" in line for line in found.notes)
    (images.parent / "maps" / "b.npy").write_bytes(b"gone")
    assert "cannot read the array" in mistake("eval", "-q", "-m", network, "--data", spec, "--symbols", 256)
