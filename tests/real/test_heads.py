"""Real networks with heads of other kinds: what they find in photographs is what can be in them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.coco import COCO

from midstream import data, models
from midstream.models import Detections
from midstream.models.onnx_model import OnnxModel

INPUT = """
[input]
size = [{size}]
resize = "{resize}"
anchor = "{anchor}"
scale = {scale}
mean = [{mean}, {mean}, {mean}]
std = [{std}, {std}, {std}]
"""
LETTERBOX = {"size": "320, 320", "resize": "letterbox", "anchor": "center", "scale": 1 / 255, "mean": 0.0, "std": 1.0}
NETWORKS = {
    "yolo11n_int8": (
        LETTERBOX,
        ["/model.16/cv2/act/Mul_output_0", "/model.19/cv2/act/Mul_output_0", "/model.22/cv2/act/Mul_output_0"],
        'kind = "yolov8"\nscore_threshold = 0.25\nnms_iou = 0.65\n',
    ),
    "v5lite_e": (
        LETTERBOX,
        ["537", "550", "563"],
        'kind = "yolov5"\nstrides = [8, 16, 32]\ndecoded = false\nscore_threshold = 0.25\nnms_iou = 0.65\n',
    ),
    "rfb320": (
        {**LETTERBOX, "size": "240, 320", "resize": "stretch", "scale": 1.0, "mean": 127.0, "std": 128.0},
        ["314", "360", "400", "434"],
        'kind = "boxes"\nscores = "scores"\nnormalised = true\nbackground = true\nscore_threshold = 0.7\n'
        "nms_iou = 0.3\n",
    ),
    "scrfd_500m": (
        {**LETTERBOX, "size": "640, 640", "anchor": "top-left", "scale": 1.0, "mean": 127.5, "std": 128.0},
        ["416", "423", "424"],
        'kind = "scrfd"\nscore_threshold = 0.5\nnms_iou = 0.4\n',
    ),
    "deimv2_atto_int8": (
        {**LETTERBOX, "resize": "stretch"},
        ["/encoder/fpn_block/cv4/act/Mul_output_0", "/encoder/pan_block/cv4/act/Mul_output_0"],
        'kind = "boxes"\nscores = "scores"\nlabels = "labels"\nscore_threshold = 0.25\n',
    ),
}
FACES = ("rfb320", "scrfd_500m")
Found = dict[str, list[Detections]]


@pytest.fixture(scope="module")
def found(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Detections of each network in the same few images."""
    images = [data.read_image(path) for path in few(assets)]
    return {
        name: [network.back(network.front(image), image.shape[:2]) for image in images]
        for name in NETWORKS
        for network in [loaded(name, assets, tmp_path_factory.mktemp(name))]
    }


def few(assets: Path) -> list[Path]:
    return sorted((assets / "coco" / "eval").iterdir())[:12]


def loaded(name: str, assets: Path, folder: Path) -> OnnxModel:
    given, tensors, head = NETWORKS[name]
    classes = '["face"]' if name in FACES else '"coco"'
    levels = "".join(f'[[pyramid]]\nname = "p{i}"\ntensor = "{tensor}"\n' for i, tensor in enumerate(tensors))
    several = "[constants]\norig_target_sizes = [[320, 320]]\n" if name.startswith("deim") else ""
    text = f'name = "{name}"\nclasses = {classes}\n{INPUT.format(**given)}{levels}[head]\n{head}{several}'
    if several:
        text = text.replace("[input]", '[input]\nname = "images"')
    path = folder / f"{name}.toml"
    path.write_text(f'{text}[weights]\nfile = "{name}.onnx"\n')
    network = models.load(str(path), assets / "networks" / f"{name}.onnx")
    assert isinstance(network, OnnxModel)
    return network


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1))


def shared(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The area that a box has in common with each of the others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return area(np.concatenate([low, high], axis=1))


def iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    common = shared(box, others)
    return common / (area(others) + area(box) - common)


def truth(assets: Path) -> list[dict[int, NDArray[np.float32]]]:
    """Boxes by class index of each of the few images."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(assets / "coco" / "instances_eval.json"))
    numbers = {image["file_name"]: number for number, image in coco.imgs.items()}
    out = []
    for path in few(assets):
        boxes: dict[int, list[list[float]]] = {}
        for each in coco.loadAnns(coco.getAnnIds(numbers[path.name])):
            x, y, w, h = each["bbox"]
            boxes.setdefault(sorted(coco.getCatIds()).index(each["category_id"]), []).append([x, y, x + w, y + h])
        out.append({label: np.array(sides, np.float32) for label, sides in boxes.items()})
    return out


@pytest.mark.parametrize(("name", "right"), [("yolo11n_int8", 0.85), ("v5lite_e", 0.75), ("deimv2_atto_int8", 0.4)])
def test_what_a_detector_is_sure_of_is_there(name: str, right: float, found: Found, assets: Path) -> None:
    sure, hits = 0, 0
    for seen, there in zip(found[name], truth(assets), strict=True):
        assert seen.fault(80) == ""
        for box, score, label in zip(seen.boxes, seen.scores, seen.labels, strict=True):
            if score < 0.4:
                continue
            sure += 1
            others = there.get(int(label), np.zeros((0, 4), np.float32))
            hits += bool((iou(box, others) > 0.5).any())
    assert sure >= 10
    assert hits >= right * sure


@pytest.mark.parametrize("name", FACES)
def test_faces_are_those_of_people(name: str, found: Found, assets: Path) -> None:
    faces = 0
    for seen, there in zip(found[name], truth(assets), strict=True):
        assert seen.fault(1) == ""
        people = there.get(0, np.zeros((0, 4), np.float32))
        for box in seen.boxes:
            assert shared(box, people).max(initial=0) > 0.8 * area(box)
        faces += len(seen)
    assert faces >= 10


def test_both_face_detectors_see_the_same_faces_and_landmarks_lie_in_them(found: Found) -> None:
    matched, seen = 0, 0
    for one, other in zip(found["rfb320"], found["scrfd_500m"], strict=True):
        for box in one.boxes:
            matched += bool((iou(box, other.boxes) > 0.4).any())
        seen += len(one)
        assert other.keypoints is not None
        assert other.keypoints.shape[1:] == (5, 3)
        places = other.keypoints[:, :, :2]
        low, high = other.boxes[:, None, :2], other.boxes[:, None, 2:]
        slack = 0.2 * (high - low)
        assert ((places >= low - slack) & (places <= high + slack)).all()
        assert (places[:, 0, 0] <= places[:, 1, 0]).mean() >= 0.7 if len(other) else True  # its left eye first
    assert matched >= 0.7 * seen


def test_which_of_them_can_be_asked_before_suppression(assets: Path, tmp_path: Path) -> None:
    asked = {}
    for name in NETWORKS:
        (tmp_path / name).mkdir()
        network = loaded(name, assets, tmp_path / name)
        asked[name] = network.proposes
        assert not network.batches
    assert [name for name, can in asked.items() if not can] == ["deimv2_atto_int8"]
