"""Cityscapes on a miniature in its own folder layout, and the benchmark's AP on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask
import pytest
from numpy.typing import NDArray

from midstream.data import Dataset, load
from midstream.data.cityscapes import CLASSES, INSTANCE_IDS, read_instance_ids
from midstream.errors import InputError, MissingExtraError
from midstream.masks import decode_mask
from midstream.metrics.accuracy import accuracy_of
from midstream.metrics.case import Case
from midstream.metrics.cityscapes import InstanceState, require_program
from midstream.models import Detections

NAMES = tuple(CLASSES)
HEIGHT, WIDTH = 160, 320
ROAD, VOID = 7, 4
#: value -> top, bottom, left, right
FIRST = {26000: (40, 80, 20, 90), 26001: (60, 120, 100, 180), 26: (40, 80, 200, 300), 24000: (90, 150, 20, 50)}
SECOND = {33012: (10, 50, 10, 60), 25000: (60, 120, 10, 60), 24003: (100, 108, 100, 108), 28000: (10, 100, 200, 300)}


def _ids(areas: dict[int, tuple[int, int, int, int]]) -> NDArray[np.uint16]:
    ids = np.full((HEIGHT, WIDTH), ROAD, np.uint16)
    ids[:30, 100:190] = VOID
    for value, (top, bottom, left, right) in areas.items():
        ids[top:bottom, left:right] = value
    return ids


def _add(root: Path, city: str, frame: int, ids: NDArray[np.uint16], split: str = "val") -> None:
    name = f"{city}_000000_{frame:06d}"
    for kind, suffix, data in (
        ("leftImg8bit", "leftImg8bit", np.zeros((*ids.shape, 3), np.uint8)),
        ("gtFine", "gtFine_instanceIds", ids),
    ):
        folder = root / kind / split / city
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}_{suffix}.png").write_bytes(cv2.imencode(".png", data)[1].tobytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a folder, with a comma"
    _add(root, "frankfurt", 294, _ids(FIRST))
    _add(root, "frankfurt", 1016, _ids({}))
    _add(root, "lindau", 19, _ids(SECOND))
    _add(root, "aachen", 7, _ids({}), split="train")
    for name in ("leftImg8bit/val/lindau/._lindau_000000_000019_leftImg8bit.png", "leftImg8bit/.DS_Store"):
        (root / name).write_bytes(b"what macOS leaves in archives")
    return root


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return load(f"cityscapes:{root}")


def _detections(masks: list[NDArray[np.bool_]], labels: list[int], scores: list[float]) -> Detections:
    codes = [pycocotools.mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    boxes = np.array([pycocotools.mask.toBbox(code) for code in codes], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64), codes)


def _perfect(dataset: Dataset, change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] = lambda m: m) -> dict:
    """Every single instance found, groups not, each mask `change`d."""
    found = {}
    for image in dataset.ground_truth["images"]:
        own = [a for a in dataset.ground_truth["annotations"] if a["image_id"] == image["id"] and not a["iscrowd"]]
        masks = [change(decode_mask(a["segmentation"])) for a in own]
        labels = [list(CLASSES.values()).index(a["category_id"]) for a in own]
        found[image["id"]] = _detections(masks, labels, [0.9 - 0.01 * i for i in range(len(own))])
    return found


def _with(found: dict, identity: int, mask: NDArray[np.bool_], name: str, score: float) -> dict:
    """The same and one detection more in one image."""
    old, new = found[identity], _detections([mask], [NAMES.index(name)], [score])
    both = Detections(
        np.concatenate((new.boxes, old.boxes)),
        np.concatenate((new.scores, old.scores)),
        np.concatenate((new.labels, old.labels)),
        [*new.masks, *old.masks],
    )
    return {**found, identity: both}


def _area(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_layout(dataset: Dataset, root: Path) -> None:
    assert dataset.labels == "cityscapes"
    assert [(p.id, p.path.name) for p in dataset.images] == [
        (1, "frankfurt_000000_000294_leftImg8bit.png"),
        (2, "frankfurt_000000_001016_leftImg8bit.png"),
        (3, "lindau_000000_000019_leftImg8bit.png"),
    ]
    truth = dataset.ground_truth
    assert {c["name"]: c["id"] for c in truth["categories"]} == CLASSES
    assert [(a["image_id"], a["category_id"], a["iscrowd"]) for a in truth["annotations"]] == [
        (1, 26, 1), (1, 24, 0), (1, 26, 0), (1, 26, 0), (3, 24, 0), (3, 25, 0), (3, 28, 0), (3, 33, 0),
    ]  # fmt: skip
    car = truth["annotations"][2]
    assert car["bbox"] == [20, 40, 70, 40]
    assert car["area"] == 70 * 40
    assert [a["id"] for a in truth["annotations"]] == list(range(1, 9))
    assert len(load(f"cityscapes:{root},train").images) == 1


def test_masks_are_those_of_the_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    values = np.array([0, 7, 24, 24000, 24001, 26, 26007, 29001, 33, 33999], np.uint16)
    ids = values[rng.integers(0, len(values), (37, 53))]
    ids[0, 0] = ids[-1, -1] = 26007
    _add(tmp_path, "ulm", 1, ids)
    annotations = load(f"cityscapes:{tmp_path}").ground_truth["annotations"]
    assert len(annotations) == 7
    for annotation, value in zip(annotations, (24, 26, 33, 24000, 24001, 26007, 33999), strict=True):
        expected = pycocotools.mask.encode(np.asfortranarray(ids == value, dtype=np.uint8))
        assert annotation["segmentation"] == expected
        assert annotation["area"] == (ids == value).sum()
        assert annotation["bbox"] == pycocotools.mask.toBbox(expected).tolist()
        assert annotation["iscrowd"] == (value < 1000)


def test_bad_layouts(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown split .* 'vall'; valid: train, val"):
        load(f"cityscapes:{root},vall")
    with pytest.raises(InputError, match=r"no folder .*leftImg8bit"):
        load(f"cityscapes:{tmp_path / 'absent'}")
    label = next((root / "gtFine").rglob("lindau*.png"))
    whole = label.read_bytes()
    label.write_bytes(whole[:60])
    with pytest.raises(InputError, match=r"cannot read .*lindau_000000_000019_gtFine_instanceIds.png"):
        load(f"cityscapes:{root}")
    label.write_bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    with pytest.raises(InputError, match="3 channels"):
        load(f"cityscapes:{root}")
    label.unlink()
    with pytest.raises(InputError, match="has no labels"):
        load(f"cityscapes:{root}")


def test_perfect_and_shifted(dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cityscapesscripts")
    result = accuracy_of(dataset, _perfect(dataset), NAMES)
    assert (result.ap, result.ap50, result.segm_ap, result.segm_ap50) == pytest.approx((100, 100, 100, 100))
    assert "cityscapesscripts" in result.metric
    shifted = _perfect(dataset, lambda mask: np.roll(mask, 6, axis=1))
    worse = accuracy_of(dataset, shifted, NAMES)
    assert worse.segm_ap50 > worse.segm_ap
    assert 20 < worse.segm_ap < 90
    as_coco = accuracy_of(replace(dataset, labels="coco"), shifted, NAMES)
    assert "cityscapesscripts" not in as_coco.metric
    # The two metrics agree on the classes that both count alike; the person of 64 pixels is COCO's alone.
    assert abs(as_coco.segm_ap - worse.segm_ap) < 20
    assert as_coco.segm_ap != worse.segm_ap
    assert capfd.readouterr() == ("", "")


def test_the_states_of_parts_add_up(dataset: Dataset) -> None:
    pytest.importorskip("cityscapesscripts")
    case = Case.of(dataset, _perfect(dataset, lambda mask: np.roll(mask, 6, axis=1)), NAMES)
    parts = [case.only(ids) for ids in ({3}, {1, 2})]
    whole, one, other = (InstanceState.of(each.dataset, each.found, each.categories) for each in (case, *parts))
    assert (one + other).average_precision() == (other + one).average_precision() == whole.average_precision()
    assert one.average_precision() != whole.average_precision()
    with pytest.raises(ValueError, match="different images"):
        whole + one


def test_what_the_benchmark_ignores(dataset: Dataset) -> None:
    pytest.importorskip("cityscapesscripts")
    perfect = _perfect(dataset)
    on_group = _with(perfect, 1, _area(45, 75, 210, 290), "car", 0.99)
    assert accuracy_of(dataset, on_group, NAMES).segm_ap == pytest.approx(100)
    on_void = _with(perfect, 1, _area(0, 28, 100, 190), "car", 0.99)
    assert accuracy_of(dataset, on_void, NAMES).segm_ap == pytest.approx(100)
    assert accuracy_of(replace(dataset, labels="coco"), on_void, NAMES).segm_ap < 99
    on_road = _with(perfect, 1, _area(130, 155, 100, 190), "car", 0.99)
    assert accuracy_of(dataset, on_road, NAMES).segm_ap < 95
    empty = _with(perfect, 1, _area(0, 0, 0, 0), "car", 0.99)
    assert accuracy_of(dataset, empty, NAMES).segm_ap == pytest.approx(100)

    small = [len(d.scores) for d in perfect.values()]
    without = {k: _keep(d, np.array([pycocotools.mask.area(m) >= 100 for m in d.masks])) for k, d in perfect.items()}
    assert sum(len(d.scores) for d in without.values()) == sum(small) - 1
    assert accuracy_of(dataset, without, NAMES).segm_ap == pytest.approx(100)
    assert accuracy_of(replace(dataset, labels="coco"), without, NAMES).segm_ap < 100


def _keep(found: Detections, which: NDArray[np.bool_]) -> Detections:
    masks = [mask for mask, kept in zip(found.masks, which, strict=True) if kept]
    which = which.astype(bool)
    return Detections(found.boxes[which], found.scores[which], found.labels[which], masks)


def test_nothing_matched_and_all_ignored(dataset: Dataset) -> None:
    pytest.importorskip("cityscapesscripts")
    found = {1: _detections([_area(45, 75, 210, 290)], [NAMES.index("car")], [0.9])}
    assert accuracy_of(dataset, found, NAMES).segm_ap == 0


def test_only_the_images_asked_for(dataset: Dataset) -> None:
    pytest.importorskip("cityscapesscripts")
    found = _perfect(dataset)
    first = {1: found[1]}
    assert accuracy_of(dataset, first, NAMES).segm_ap == pytest.approx(100 * 2 / 5)
    assert accuracy_of(dataset.head(1), found, NAMES).segm_ap == pytest.approx(100)


def test_no_instance_large_enough(tmp_path: Path) -> None:
    pytest.importorskip("cityscapesscripts")
    _add(tmp_path, "ulm", 1, _ids({24000: (0, 5, 0, 5)}))
    dataset = load(f"cityscapes:{tmp_path}")
    with pytest.raises(InputError, match="large enough"):
        accuracy_of(dataset, _perfect(dataset), NAMES)


def test_classes_by_name(dataset: Dataset) -> None:
    pytest.importorskip("cityscapesscripts")
    classes = ("unrelated", *reversed(NAMES))
    found = {
        k: replace(d, labels=np.array([classes.index(NAMES[i]) for i in d.labels], np.int64))
        for k, d in _perfect(dataset).items()
    }
    assert accuracy_of(dataset, found, classes).segm_ap == pytest.approx(100)
    stray = {k: replace(d, labels=np.zeros_like(d.labels)) for k, d in found.items()}
    assert accuracy_of(dataset, stray, classes).segm_ap == 0


def test_absent_package(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cityscapesscripts.evaluation", None)
    with pytest.raises(MissingExtraError, match="needs the extra 'cityscapes'"):
        accuracy_of(dataset, _perfect(dataset), NAMES)
    with pytest.raises(MissingExtraError):
        require_program()


def test_the_extra_does_not_bring_the_package_typing() -> None:
    """In whose place Python's own is not found where site-packages come first: nothing starts then, torch included."""
    assert "typing" not in (metadata.requires("cityscapesscripts") or [])


@pytest.mark.parametrize("seed", range(4))
def test_same_as_the_program_run_on_files(
    seed: int, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole program, driven by PNG files as Detectron2 drives it, gives the same AP to the last digit."""
    program = pytest.importorskip("cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling")
    rng = np.random.default_rng(seed)
    found = _perfect(dataset, lambda mask: np.roll(mask, rng.integers(-9, 10, 2), axis=(0, 1)))
    for _ in range(12):
        top, left = int(rng.integers(0, 120)), int(rng.integers(0, 250))
        mask = _area(top, top + int(rng.integers(5, 60)), left, left + int(rng.integers(5, 60)))
        found = _with(found, int(rng.integers(1, 4)), mask, NAMES[rng.integers(8)], round(float(rng.random()), 1))
    before = dict(vars(program.args))
    ours = accuracy_of(dataset, found, NAMES)
    assert vars(program.args) == before

    folder = tmp_path / "predictions"
    folder.mkdir()
    lists = []
    truths = [image[INSTANCE_IDS] for image in dataset.ground_truth["images"]]
    for image in dataset.images:
        there = found[image.id]
        lines = []
        for number, (mask, label, score) in enumerate(zip(there.masks, there.labels, there.scores, strict=True)):
            data = cv2.imencode(".png", decode_mask(mask) * np.uint8(255))[1].tobytes()
            (folder / f"{image.id}_{number}.png").write_bytes(data)
            lines.append(f"{image.id}_{number}.png {CLASSES[NAMES[label]]} {float(score)!r}\n")
        lists.append(str(folder / f"{image.id}.txt"))
        Path(lists[-1]).write_text("".join(lines))
    # With numpy 2.4 the program alone no longer runs: `in1d` is gone, and its report of all matches cannot be written.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    monkeypatch.setattr(program, "writeDict2JSON", lambda content, file: None)
    for name, value in {
        "predictionPath": str(folder),
        "gtInstancesFile": str(tmp_path / "gtInstances.json"),
        "JSONOutput": False,
        "quiet": True,
        "instLabels": [],
    }.items():
        monkeypatch.setattr(program.args, name, value)
    theirs = program.evaluateImgLists(lists, truths, program.args)["averages"]
    assert ours.segm_ap == 100 * theirs["allAp"]
    assert ours.segm_ap50 == 100 * theirs["allAp50%"]
    assert 0 < ours.segm_ap < 100


def test_instance_ids_keep_16_bits(dataset: Dataset) -> None:
    ids = read_instance_ids(Path(dataset.ground_truth["images"][2][INSTANCE_IDS]))
    assert ids.dtype == np.uint16
    assert ids.max() == 33012
