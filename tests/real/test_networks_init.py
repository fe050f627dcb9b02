"""Real networks of ten kinds go from their file to a description that loads, and to a cut that is as good as known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midstream import data, models
from midstream.models.cuts import CutPoint
from midstream.models.graph import cut_graph, load_graph, recomposition_error
from midstream.models.random_inputs import random_inputs
from midstream.models.recognition import Draft, draft
from midstream.models.recognition.trial import on_images

#: File, --shape, task, kind of head, elements of the cut that is known to work at the size that is taken (the assets'
#: README; those of the pyramid of a network of open size are four times those at half of it).
NETWORKS: dict[str, tuple[dict[str, list[int]], str, str, int]] = {
    "networks/yolo11n_int8": ({}, "detection", "yolov8", 179_200),
    "networks/v5lite_e": ({}, "detection", "yolov5", 201_600),
    "networks/nanodet": ({}, "detection", "gfl", 201_600),
    "networks/nanodet_fp16_io16": ({}, "detection", "gfl", 201_600),
    "networks/deimv2_atto_int8": ({}, "detection", "boxes", 32_000),
    "networks/rfb320": ({}, "detection", "boxes", 140_800),
    "networks/scrfd_500m": ({}, "keypoints", "scrfd", 134_400),
    "networks/ppocrv4_det": ({}, "semantic segmentation", "segmentation", 2_457_600),
    "networks/mobilenetv3_small": ({}, "tensors", "tensors", 1_536),
    "networks/silero_vad_half": ({"input": [1, 512]}, "tensors", "tensors", 128),
    "models/picodet_s_416_coco": ({}, "detection", "gfl", 345_408),
    "models/yolox_nano": ({}, "detection", "yolox", 302_848),
}
_DRAFTS: dict[str, Draft] = {}


def drafted(name: str, assets: Path) -> Draft:
    if name not in _DRAFTS:
        _DRAFTS[name] = draft(assets / f"{name}.onnx", shapes=NETWORKS[name][0])
    return _DRAFTS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_described_from_its_file(name: str, assets: Path, tmp_path: Path) -> None:
    found = drafted(name, assets)
    _, task, kind, elements = NETWORKS[name]
    assert (found.task, found.description.head.kind) == (task, kind)
    assert not found.notes.warnings
    cut = found.proposals[0].cut
    assert cut.elements <= elements
    assert 0.3 < cut.share < 0.99
    assert cut.bytes is not None
    assert 0 < cut.bytes < cut.elements * 2
    path = tmp_path / "x.toml"
    path.write_text(found.text)
    model = models.load(str(path), found.path)
    pyramid = model.front(_something(found, assets))
    assert sum(level.size for level in pyramid.values()) == cut.elements
    assert all(level.ndim == 3 for level in pyramid.values())
    output: Any = model.back(pyramid, (60, 80))
    assert not model.task.fault(output, len(model.classes))


def _something(found: Draft, assets: Path) -> Any:
    shape = found.description.input.shape
    if shape is not None:
        return np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return data.read_image(sorted((assets / "coco" / "calib").iterdir())[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_proposed_cuts_are_complete(name: str, assets: Path) -> None:
    """The two halves give what the whole network gives; where rounding decides what is listed first, up to order."""
    found = drafted(name, assets)
    graph = load_graph(found.path)
    about = found.description.input
    shape = list(about.shape) if about.shape is not None else [1, about.channels, *(about.size or ())]
    fixed = {value.name for value in graph.graph.input if all(d.dim_value for d in value.type.tensor_type.shape.dim)}
    image = about.name or ""
    shapes = {} if image in fixed else {image: shape}
    feeds = random_inputs(graph, shapes | ({"state": [2, 1, 128]} if "state" in found.description.constants else {}))
    assert len(found.proposals) == 3
    for proposal in found.proposals:
        halves = cut_graph(graph, proposal.cut.names)
        error = recomposition_error(graph, halves, feeds)
        assert error < (0.05 if "fp16" in name else 1e-3), proposal.cut.names


@pytest.mark.parametrize("name", ["networks/yolo11n_int8", "networks/nanodet", "models/picodet_s_416_coco"])
def test_the_known_cut_is_among_those_found(name: str, assets: Path) -> None:
    known = {
        "networks/yolo11n_int8": [f"/model.{i}/cv2/act/Mul_output_0" for i in (16, 19, 22)],
        "networks/nanodet": ["733", "753", "773"],
        "models/picodet_s_416_coco": ["hardswish_14.tmp_0", "hardswish_22.tmp_0", "hardswish_30.tmp_0", "tmp_0"],
    }
    found: CutPoint = drafted(name, assets).proposals[0].cut
    assert list(found.names) == known[name]


def test_preprocessing_is_looked_at_on_images(assets: Path) -> None:
    images = [data.read_image(path) for path in sorted((assets / "coco" / "calib").iterdir())[:4]]
    found = drafted("networks/yolo11n_int8", assets)
    assert on_images(found, images) == []
    dark = found.description.input.model_copy(update={"scale": 1e-5})
    wrong = Draft(found.path, found.description.model_copy(update={"input": dark}), found.text, found.task, found.notes)
    (said,) = on_images(wrong, images)
    assert "sure of nothing" in said
    assert "with scale = 1/255" in said or "with pixels from 0 to 255" in said
