"""The adapters of torchvision's networks, on the real torchvision with random weights."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from safetensors.torch import save_file
from torchvision.models import detection

from midstream.errors import InputError
from midstream.models.registry import TORCHVISION
from midstream.models.torch_common import RANDOM, hash_model
from midstream.models.torch_split import TorchSplit
from midstream.models.torchvision_models import (
    LEVELS,
    TorchvisionModel,
    load_torchvision,
)

SMALL = {"min_size": 160, "max_size": 256, "score_threshold": 0.1}
SIZE = (120, 197)
#: The paper's Table 1, (width, height, channels).
PAPER = [(512, 256, 256), (256, 128, 256), (128, 64, 256), (64, 32, 256), (32, 16, 256)]


@pytest.fixture(scope="module")
def models() -> dict[str, TorchvisionModel]:
    return {name: load_torchvision(name, RANDOM, **SMALL) for name in TORCHVISION}


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(7).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    noise[40:90, 30:120] //= 4
    return noise


def tensor_of(image):
    return torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255


def assert_same(found, expected):
    """Detections of the adapter against torchvision's own, bit for bit."""
    assert len(found) > 5, "the random network finds too little to compare"
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)
    np.testing.assert_array_equal(found.boxes, expected["boxes"].numpy())
    np.testing.assert_array_equal(found.scores, expected["scores"].numpy())
    np.testing.assert_array_equal(found.labels, expected["labels"].numpy())
    assert (found.masks is not None) == ("masks" in expected)
    if found.masks is not None:
        pixels = (expected["masks"][:, 0] > 0.5).numpy().astype(np.uint8)
        assert pixels.shape[1:] == SIZE
        assert pixels.any()
        assert found.masks == coco_mask.encode(np.asfortranarray(pixels.transpose(1, 2, 0)))


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_lossless_pyramid_changes_nothing(name, models, image):
    model = models[name]
    with torch.inference_mode():
        expected = model._model([tensor_of(image)])[0]
    pyramid = model.front(image)
    assert list(pyramid) == list(LEVELS)
    assert {level.dtype for level in pyramid.values()} == {np.dtype(np.float32)}
    sent = {key: level for key, level in pyramid.items() if key not in model.derived}
    received = {key: np.frombuffer(level.tobytes(), np.float32).reshape(level.shape) for key, level in sent.items()}
    received |= {key: rule.compute(received) for key, rule in model.derived.items()}
    server = load_torchvision(name, RANDOM, **SMALL)  # one that never saw an image
    assert_same(server.back(received, SIZE), expected)
    assert_same(model.back(received, SIZE), expected)
    assert np.all(np.diff(model.back(received, SIZE).scores) <= 0)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_pyramid_decides(name, models, image):
    pyramid = models[name].front(image)
    zeroed = {key: np.zeros_like(level) for key, level in pyramid.items()}
    assert not np.array_equal(models[name].back(zeroed, SIZE).scores, models[name].back(pyramid, SIZE).scores)


def test_p6_is_every_second_row_and_column_of_p5(models, image):
    for model in models.values():
        pyramid = model.front(image)
        assert list(model.derived) == ["pool"]
        np.testing.assert_array_equal(model.derived["pool"].compute(pyramid), pyramid["pool"])


def pyramid_shapes(height, width):
    """[C, H, W] by level of an image that the real network works on at this size, on torch's meta device."""
    with torch.device("meta"):
        network = detection.fasterrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, min_size=min(height, width), max_size=max(height, width)
        )
        levels = TorchSplit(network, at=["backbone"]).front([torch.empty(3, height, width)])
    return {name: tuple(level.shape) for name, level in levels.items()}


def test_the_papers_shapes():
    shapes = pyramid_shapes(1024, 2048)
    assert [(width, height, channels) for channels, height, width in shapes.values()] == PAPER
    assert sum(math.prod(shape) for shape in shapes.values()) == 44_695_552
    assert list(shapes) == list(LEVELS)


@pytest.mark.parametrize("size", [(1024, 2048), (800, 1333), (427, 640), (1333, 750), (33, 64), (32, 32), (1, 1)])
def test_shapes_by_formula(size):
    padded = [math.ceil(side / 32) * 32 for side in size]
    expected = {str(i): (256, padded[0] // stride, padded[1] // stride) for i, stride in enumerate((4, 8, 16, 32))}
    expected["pool"] = (256, math.ceil(padded[0] / 64), math.ceil(padded[1] / 64))
    assert pyramid_shapes(*size) == expected


def test_shapes_are_those_of_a_image(models, image):
    model = models["fasterrcnn-r50-fpn"]
    got = {key: level.shape for key, level in model.front(image).items()}
    assert got == pyramid_shapes(*model.input_size(SIZE))


@pytest.mark.parametrize(
    ("limits", "size", "expected"),
    [
        ((800, 1333), (480, 640), (800, 1066)),
        ((800, 1333), (1024, 2048), (666, 1333)),
        ((1024, 2048), (1024, 2048), (1024, 2048)),
    ],
)
def test_input_size(limits, size, expected):
    model = load_torchvision("fasterrcnn-r50-fpn", RANDOM, min_size=limits[0], max_size=limits[1])
    assert model.input_size(size) == expected


def test_a_image_at_the_networks_size(models, image):
    """What pipelines that code the image send: the pyramid differs by the rounding to 8 bits alone."""
    model = models["fasterrcnn-r50-fpn"]
    size = image.shape[:2]
    small = model.resized(image)
    assert small.dtype == np.uint8
    assert small.shape[:2] == model.input_size(size)
    again, whole = model.front_resized(small, size), model.front(image)
    for name, values in whole.items():
        assert again[name].shape == values.shape
        assert np.abs(again[name] - values).mean() < 0.1 * values.std()
    assert model.identity == model.fingerprint


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone(models):
    state = torch.random.get_rng_state()
    again = load_torchvision("fasterrcnn-r50-fpn", Path(RANDOM), **SMALL)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert again.fingerprint == models["fasterrcnn-r50-fpn"].fingerprint
    assert again.fingerprint != models["maskrcnn-r50-fpn"].fingerprint
    other = load_torchvision("fasterrcnn-r50-fpn", RANDOM, **{**SMALL, "min_size": 192})
    assert again.fingerprint != other.fingerprint
    again._model.backbone.body.conv1.weight.data[0, 0, 0, 0] += 1
    assert again.fingerprint != hash_model(again._model), "a fingerprint is more than the weights"
    del again.fingerprint
    assert again.fingerprint != models["fasterrcnn-r50-fpn"].fingerprint


def test_what_a_network_says_of_itself(models):
    assert {name: model.has_masks for name, model in models.items()} == {
        "fasterrcnn-r50-fpn": False,
        "maskrcnn-r50-fpn": True,
    }
    for name, model in models.items():
        assert model.name == name
        assert len(model.classes) == 91
        assert model.classes[:2] == ("__background__", "person")
        assert model.classes[90] == "toothbrush"
        assert "N/A" in model.classes
        assert model.category_ids is not None
        assert model.category_ids[model.classes.index("tv")] == 72
        what = f"{model.task.name}, 91 classes (__background__, person, ...)"
        sides = f"{SMALL['min_size']}..{SMALL['max_size']}"
        assert repr(model) == f"<network {name}: {what}, input {sides}, cut at 0 1 2 3 pool>"


@pytest.fixture(scope="module")
def state(models):
    """Weights with batch normalisation that is not trivial, so that its form and epsilon matter."""
    generator = torch.Generator().manual_seed(3)
    found = {key: value.clone() for key, value in models["maskrcnn-r50-fpn"]._model.state_dict().items()}
    for key, value in found.items():
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif key.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return found


def under_published_names(state):
    """As torchvision's published files name them, which are older than today's modules."""
    renamed = {}
    for key, value in state.items():
        old = key
        if key.startswith("backbone.fpn."):
            old = key.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        elif key.startswith("rpn.head.conv.0.0"):
            old = key.replace("conv.0.0", "conv")
        elif key.startswith("roi_heads.mask_head."):
            number, _, part = key.removeprefix("roi_heads.mask_head.").split(".")
            old = f"roi_heads.mask_head.mask_fcn{int(number) + 1}.{part}"
        renamed[old] = value
    assert len(set(renamed) - set(state)) == 16 + 2 + 8
    return renamed


@pytest.mark.parametrize("kind", ["pth", "checkpoint", "published", "safetensors"])
def test_a_local_file_gives_torchvisions_own_network(kind, state, image, tmp_path, monkeypatch):
    monkeypatch.setattr(detection.MaskRCNN_ResNet50_FPN_Weights, "get_state_dict", lambda self, **options: {**state})
    real = detection.maskrcnn_resnet50_fpn(
        weights=detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1, min_size=160, max_size=256, box_score_thresh=0.1
    ).eval()
    with torch.inference_mode():
        expected = real([tensor_of(image)])[0]
    path = tmp_path / f"weights.{'safetensors' if kind == 'safetensors' else 'pth'}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(
            {"checkpoint": {"model": state, "epoch": 3}, "published": under_published_names(state)}.get(kind, state),
            path,
        )
    model = load_torchvision("maskrcnn-r50-fpn", path, **SMALL)
    assert_same(model.back(model.front(image), SIZE), expected)
    downloaded = load_torchvision("maskrcnn-r50-fpn", **SMALL)
    assert downloaded.fingerprint == model.fingerprint


def test_another_number_of_classes(state, tmp_path):
    fewer = {
        key: value[: {91: 3, 364: 12}[len(value)]] if "predictor" in key and len(value) in (91, 364) else value
        for key, value in state.items()
    }
    torch.save(fewer, tmp_path / "three.pth")
    model = load_torchvision("maskrcnn-r50-fpn", tmp_path / "three.pth")
    assert model.classes == ("__background__", "class 1", "class 2")
    assert model.category_ids is None


def test_an_unknown_name():
    with pytest.raises(InputError, match="unknown torchvision network 'maskrcnn-r101'; valid: fasterrcnn-r50-fpn"):
        load_torchvision("maskrcnn-r101", RANDOM)


def test_a_failed_download_says_where_a_file_can_be_given(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(
        InputError, match=r"cannot download .* https://download\.pytorch\.org/.*--weights FILE"
    ) as caught:
        load_torchvision("maskrcnn-r50-fpn")
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("code in a weights file was run",))


def test_weights_that_cannot_be_used(state, tmp_path):
    def refused(path, text):
        with pytest.raises(InputError, match=text) as caught:
            load_torchvision("fasterrcnn-r50-fpn", path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    path = tmp_path / "w.pth"
    refused(tmp_path / "none.pth", "No such file")
    refused(tmp_path / "none.safetensors", "No such file|not found")
    refused(tmp_path / "w.onnx", r"unknown kind of file '\.onnx'; valid: \.pth")
    for content in (b"", b"PK\3\4nothing", b"\x80\4nothing"):
        path.write_bytes(content)
        refused(path, "cannot be read")
        path.with_suffix(".safetensors").write_bytes(content)
        refused(path.with_suffix(".safetensors"), "cannot be read")
    torch.save({"model": Evil()}, path)
    refused(path, "hold more than tensors")
    torch.save(Evil(), path, _use_new_zipfile_serialization=False)
    refused(path, "hold more than tensors")
    torch.save([1, 2], path)
    refused(path, "not a state dict")
    torch.save(state, path)
    refused(path, r"do not fit fasterrcnn-r50-fpn: \d+ unexpected, such as roi_heads\.mask")
    box_only = {key: value for key, value in state.items() if "mask" not in key}
    torch.save({key: value for key, value in box_only.items() if "conv1" not in key}, path)
    refused(path, "17 missing, such as backbone")
    torch.save({**box_only, "backbone.body.conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
    refused(path, r"size mismatch for backbone\.body\.conv1\.weight")


def test_wrong_pyramids_say_both(models, image):
    model = models["fasterrcnn-r50-fpn"]
    pyramid = model.front(image)
    with pytest.raises(InputError, match=r"lacks pool: the network needs the levels 0, 1, 2, 3, pool"):
        model.back({key: level for key, level in pyramid.items() if key != "pool"}, SIZE)
    with pytest.raises(InputError, match=r"'0' has the shape \[128, .*the network needs \[256, H, W\]"):
        model.back({**pyramid, "0": pyramid["0"][:128]}, SIZE)
