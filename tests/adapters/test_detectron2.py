"""The adapter of Detectron2, on the real one where it is installed."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from safetensors.torch import save_file

from midstream.errors import InputError
from midstream.models.detectron2_models import load_detectron2
from midstream.models.torch_common import RANDOM

CITYSCAPES = "Cityscapes/mask_rcnn_R_50_FPN.yaml"
SMALL = {"min_size": 160, "max_size": 256, "score_threshold": 0.0}
SIZE = (120, 197)

needs_detectron2 = [
    pytest.mark.skipif(importlib.util.find_spec("detectron2") is None, reason="Detectron2 is not installed"),
    pytest.mark.filterwarnings("ignore"),  # Detectron2's own, of newer versions of what it uses
]


def noise():
    pixels = np.random.default_rng(7).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    pixels[40:90, 30:120] //= 4
    return pixels


def load_tame(config):
    """A network with random weights whose pyramid is of the magnitude that its heads can tell apart.

    The images of Detectron2's older networks are not divided by their deviation, and random weights make them grow.
    """
    model = load_detectron2(config, RANDOM, **SMALL)
    backbone = model._model.backbone
    stem = getattr(backbone, "bottom_up", backbone).stem.conv1
    stem.weight.data.div_(float(np.std(list(model.front(noise()).values())[-1])))
    return model


@pytest.fixture(scope="module")
def model():
    return load_tame(CITYSCAPES)


@pytest.fixture(scope="module")
def image():
    return noise()


def predict(model, image):
    """What Detectron2's own DefaultPredictor finds with the same network."""
    from detectron2.data import transforms
    from detectron2.engine import DefaultPredictor

    predictor = object.__new__(DefaultPredictor)  # its __init__ would build a network and look for weights
    predictor.cfg, predictor.model, predictor.input_format = model._cfg, model._model, model._cfg.INPUT.FORMAT
    limits = model._cfg.INPUT
    predictor.aug = transforms.ResizeShortestEdge([limits.MIN_SIZE_TEST, limits.MIN_SIZE_TEST], limits.MAX_SIZE_TEST)
    return predictor(np.ascontiguousarray(image[:, :, ::-1]))["instances"]  # it takes BGR


def assert_same(found, expected):
    assert len(found) > 5, "the random network finds too little to compare"
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)
    np.testing.assert_array_equal(found.boxes, expected.pred_boxes.tensor.numpy())
    np.testing.assert_array_equal(found.scores, expected.scores.numpy())
    np.testing.assert_array_equal(found.labels, expected.pred_classes.numpy())
    assert (found.masks is not None) == expected.has("pred_masks")
    if found.masks is not None:
        pixels = expected.pred_masks.numpy().astype(np.uint8)
        assert pixels.shape[1:] == SIZE
        assert pixels.any()
        assert found.masks == coco_mask.encode(np.asfortranarray(pixels.transpose(1, 2, 0)))


class TestDetectron2:
    pytestmark = needs_detectron2

    def test_a_lossless_pyramid_changes_nothing(self, model, image):
        expected = predict(model, image)
        pyramid = model.front(image)
        assert list(pyramid) == ["p2", "p3", "p4", "p5", "p6"]
        received = {name: level.copy() for name, level in pyramid.items() if name not in model.derived}
        received |= {name: rule.compute(received) for name, rule in model.derived.items()}
        np.testing.assert_array_equal(received["p6"], pyramid["p6"])
        assert_same(model.back(received, SIZE), expected)
        server = load_tame(CITYSCAPES)
        assert server.fingerprint == model.fingerprint
        assert_same(server.back(received, SIZE), expected)

    @pytest.mark.parametrize(
        ("config", "levels", "derived", "has_masks"),
        [
            ("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", ["p2", "p3", "p4", "p5", "p6"], ["p6"], False),
            ("COCO-Detection/retinanet_R_50_FPN_1x.yaml", ["p3", "p4", "p5", "p6", "p7"], [], False),
            ("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml", ["res4"], [], True),
        ],
    )
    def test_other_networks(self, config, levels, derived, has_masks, image):
        model = load_tame(config)
        pyramid = model.front(image)
        assert (list(pyramid), list(model.derived), model.has_masks) == (levels, derived, has_masks)
        assert len(model.classes) == 80
        assert model.classes[0] == "person"
        assert model.category_ids is not None
        assert model.category_ids[model.classes.index("tv")] == 72
        assert_same(model.back(pyramid, SIZE), predict(model, image))

    def test_the_papers_shapes(self):
        model = load_detectron2(CITYSCAPES, RANDOM)
        assert model.input_size((1024, 2048)) == (1024, 2048)
        with torch.device("meta"):
            levels = model._model.backbone.to("meta")(torch.empty(1, 3, 1024, 2048))
        shapes = [tuple(level.shape[1:]) for level in levels.values()]
        assert shapes == [(256, 256 >> i, 512 >> i) for i in range(5)]
        assert sum(math.prod(shape) for shape in shapes) == 44_695_552

    def test_what_the_network_says_of_itself(self, model):
        assert model.name == f"detectron2:{CITYSCAPES}"
        assert model.classes == ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
        assert model.category_ids is None
        what = f"{model.task.name}, 8 classes (person, rider, ...)"
        assert repr(model) == f"<network {model.name}: {what}, input by config, cut at p2 p3 p4 p5 p6>"
        assert model.has_masks
        assert model.input_size(SIZE) == (156, 256)

    @pytest.mark.parametrize("kind", ["pth", "checkpoint", "safetensors"])
    def test_weights_files(self, kind, model, tmp_path):
        state = {name: value + 1 for name, value in model._model.state_dict().items()}
        path = tmp_path / {"checkpoint": "w.pth"}.get(kind, f"w.{kind}")
        if kind == "safetensors":
            save_file(state, path)
        else:
            torch.save({"model": state, "iteration": 4} if kind == "checkpoint" else state, path)
        loaded = load_detectron2(CITYSCAPES, path, **SMALL)
        for name, value in loaded._model.state_dict().items():
            assert torch.equal(value, state[name])
        assert loaded.fingerprint != model.fingerprint

    def test_what_older_releases_saved_is_left_out(self, model, tmp_path):
        state = {**model._model.state_dict(), "pixel_mean": torch.zeros(3, 1, 1)}
        torch.save(state | {"proposal_generator.anchor_generator.cell_anchors.0": torch.ones(4)}, tmp_path / "w.pth")
        load_detectron2(CITYSCAPES, tmp_path / "w.pth", **SMALL)

    def test_a_pickle_is_not_read(self, tmp_path):
        with pytest.raises(InputError, match=r"a pickle can run code and is not read.*DetectionCheckpointer"):
            load_detectron2(CITYSCAPES, tmp_path / "w.pkl")

    def test_weights_of_another_network(self, model, tmp_path):
        torch.save({k: v for k, v in model._model.state_dict().items() if "res5" not in k}, tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"do not fit Cityscapes.* missing, such as backbone.bottom_up.res5"):
            load_detectron2(CITYSCAPES, tmp_path / "w.pth")

    def test_unknown_names(self):
        with pytest.raises(InputError, match=r"unknown Detectron2 configuration.*mask_rcnn_R_50_FPN_1x\.yaml"):
            load_detectron2("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN.yaml", RANDOM)
        with pytest.raises(InputError, match=r"unknown Detectron2 configuration"):
            load_detectron2("../configs/Cityscapes/mask_rcnn_R_50_FPN.yaml", RANDOM)
        with pytest.raises(InputError, match=r"meta-architecture of .* 'ProposalNetwork'; valid: GeneralizedRCNN"):
            load_detectron2("COCO-Detection/rpn_R_50_FPN_1x.yaml", RANDOM)

    def test_a_failed_download_says_where_a_file_can_be_given(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(InputError, match=r"cannot download .*--weights FILE"):
            load_detectron2(CITYSCAPES)


@pytest.mark.skipif(importlib.util.find_spec("detectron2") is not None, reason="Detectron2 is installed")
def test_without_detectron2():
    with pytest.raises(InputError, match=r"Detectron2 is not installed.*pip install .*detectron2"):
        load_detectron2(CITYSCAPES)
