"""Torch modules of anybody's, cut by `ms.split`, through all that takes a network."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import midstream as ms
from midstream.errors import InputError
from midstream.halves.edge import Edge

SIDE = 64
INPUT = ms.models.Input(size=(SIDE, SIDE), scale=1 / 255, mean=(0.5,), std=(0.25,))
MAPS = {"preprocess": INPUT, "task": "classification"}


def tensor(image):
    """A preprocessing of one's own: float32 [1, 3, 64, 64]."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return nn.functional.interpolate(pixels, (SIDE, SIDE))


def turned(before, now):
    return 1 - float(before @ now / np.linalg.norm(before) / np.linalg.norm(now))


class Vit(nn.Module):
    """A vision transformer: a class token and 8 x 8 patches of 32 numbers."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, 8)
        self.start = nn.Parameter(torch.randn(1, 1, 32))
        self.place = nn.Parameter(torch.randn(1, 65, 32) / 2)
        layers = [nn.TransformerEncoderLayer(32, 4, 64, batch_first=True) for _ in range(3)]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        patches = self.patch(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.start.expand(len(patches), -1, -1), patches], 1) + self.place
        return self.head(self.blocks(tokens)[:, 0])


TOKENS = {"preprocess": tensor, "task": turned, "grid": (8, 8), "extra": 1}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(1)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (24, 10, 12, 3), np.uint8)
    return [np.ascontiguousarray(each.repeat(8, 0).repeat(8, 1)) for each in coarse]


def resnet():
    return torchvision.models.resnet18(weights=None)


@pytest.mark.parametrize(
    ("make", "at", "options", "levels"),
    [
        (resnet, ["layer3"], MAPS, {"layer3": (256, 4, 4)}),
        (resnet, ["layer2"], {**MAPS, "preprocess": tensor}, {"layer2": (128, 8, 8)}),
        (Vit, ["blocks.1"], TOKENS, {"blocks.1": (32, 8, 8), "blocks.1+extra": (32, 1, 1)}),
        (Vit, ["blocks.1"], {"preprocess": tensor}, {"blocks.1": (32, 1, 65)}),
    ],
)
def test_a_module_goes_wherever_a_network_does(make, at, options, levels, images):
    module = make().train()
    model = ms.split(module, at=at, **options)
    assert module.training
    pyramid = model.front(images[0])
    assert {name: level.shape for name, level in pyramid.items()} == levels
    assert {level.dtype for level in pyramid.values()} == {np.dtype(np.float32)}
    whole = model.whole(images[0])
    for name, values in model.back(pyramid, (80, 96)).values.items():
        np.testing.assert_allclose(values, whole.values[name], rtol=1e-4, atol=1e-5)

    profile = ms.calibrate(model, images, passes=1, without=["power"])
    small = ms.evaluate(model, images[:4], "calibrated", profile=profile, quality=20)
    large = ms.evaluate(model, images[:4], "calibrated", profile=profile, quality=100)
    plain = ms.evaluate(model, images[:4], symbols=256, thresholds="range")
    assert small.bytes_per_image <= large.bytes_per_image < plain.bytes_per_image
    assert min(plain.scores.values()) > 99
    data = Edge(model, ms.Calibrated(profile=profile, quality=60)).encode(images[0])
    assert model.back(ms.decode(data, profile=profile), (80, 96)).values.keys() == whole.values.keys()
    with pytest.raises(InputError, match=r"was made for \w+, cut graph"):
        ms.evaluate(ms.split(make(), at=at, **options), images[:2], "calibrated", profile=profile, quality=60)


def test_what_a_model_says_of_itself():
    three = torchvision.models.resnet18(weights=None, num_classes=3)
    model = ms.split(three, at=["layer3"], **MAPS, classes=("cat", "dog", "cow"), name="mine")
    assert repr(model) == (
        "<network mine: classification, 3 classes (cat, dog, ...), input 64x64, cut at layer3[256,4,4]>"
    )
    other = ms.split(Vit(), at=["blocks.0"], **TOKENS)
    assert repr(other) == "<network Vit: function, input by tensor, cut at blocks.0[32,8,8] blocks.0+extra[32,1,1]>"
    assert model.task.name == "classification"
    assert model.input_size((80, 96)) == other.input_size((80, 96)) == (SIDE, SIDE)
    assert other.resized(np.zeros((80, 96, 3), np.uint8)).shape == (80, 96, 3)


def test_scores_are_chances_whatever_the_network_gives():
    chances = nn.Sequential(resnet(), nn.Softmax(dim=1)).eval()
    one, other = ms.split(chances, at=["0.layer3"], **MAPS), ms.split(chances[0], at=["layer3"], **MAPS)
    image = np.random.default_rng(2).integers(0, 255, (80, 96, 3), np.uint8)
    np.testing.assert_allclose(one.whole(image).values["scores"], other.whole(image).values["scores"], rtol=1e-4)


def test_the_fingerprint_is_of_weights_cut_and_preprocessing():
    module = resnet()
    base = ms.split(module, at=["layer3"], **MAPS)
    assert ms.split(module, at=["layer3"], **MAPS).fingerprint == base.fingerprint
    own = ms.split(module, at=["layer3"], preprocess=tensor)
    assert ms.split(module, at=["layer3"], preprocess=lambda image: tensor(image)).fingerprint == own.fingerprint
    others = [
        ms.split(module, at=["layer2"], **MAPS),
        ms.split(module, at=["layer3"], preprocess=INPUT.model_copy(update={"scale": 1.0})),
        ms.split(module, at=["layer3"], preprocess=lambda image: tensor(image[:, :, ::-1])),
        ms.split(module, at=["layer3"], preprocess=lambda image: tensor(image) * 1.01),
        ms.split(resnet(), at=["layer3"], **MAPS),
    ]
    found = [base.fingerprint, own.fingerprint, *(each.fingerprint for each in others)]
    assert len(set(found)) == len(found)
    assert base.identity == ms.split(module, at=["layer3"], **MAPS).identity
    assert ms.split(module, at=["layer3"], preprocess=tensor, task=turned).identity != own.identity


def test_images_of_any_size_are_of_one_network(images):
    def whole(image):
        return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255

    module = resnet()
    model, other = (ms.split(module, at=["layer3"], preprocess=whole) for _ in range(2))
    small = np.ascontiguousarray(images[1][:64, :64])
    assert model.front(images[0])["layer3"].shape == (256, 5, 6)
    assert model.front(small)["layer3"].shape == (256, 4, 4)
    assert model.fingerprint == other.fingerprint
    assert ms.evaluate(model, [images[0], small], symbols=256, thresholds="range").scores["fidelity"] > 99


class Pair(NamedTuple):
    scores: torch.Tensor
    more: dict


@dataclass
class Record:
    loss: None
    logits: torch.Tensor


@pytest.mark.parametrize(
    ("wrap", "names"),
    [
        (lambda y: y, ["output"]),
        (lambda y: Pair(y, {"a": y, "b": [y, y]}), ["scores", "more.a", "more.b.0", "more.b.1"]),
        (lambda y: [y, None, y], ["0", "2"]),
        (lambda y: Record(None, y), ["logits"]),
    ],
)
def test_outputs_have_names(wrap, names):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 4, 8, 8), nn.Flatten()

        def forward(self, x):
            return wrap(self.head(self.body(x)))

    model = ms.split(Wrapped(), at=["body"], preprocess=tensor)
    image = np.zeros((80, 96, 3), np.uint8)
    found = model.back(model.front(image), (80, 96)).values
    assert list(found) == names
    assert {values.shape for values in found.values()} == {(4 * 64,)}


class Boxes(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return self.head(self.body(x)).flatten().sigmoid()


def test_a_detector_s_output_is_made_by_its_postprocessing():
    def found(output, size):
        box = (output * torch.tensor([0.1, 0.1, size[1], size[0]])).numpy()[None]
        return ms.models.Detections(box, np.array([0.9], np.float32), np.array([0]))

    model = ms.split(Boxes(), at=["body"], preprocess=tensor, task="detection", postprocess=found, classes=["thing"])
    image = np.zeros((80, 96, 3), np.uint8)
    assert len(model.back(model.front(image), (80, 96))) == 1
    assert ms.evaluate(model, [image] * 2, symbols=256).scores["ap"] == pytest.approx(100)
    with pytest.raises(InputError, match="needs `postprocess`"):
        ms.split(Boxes(), at=["body"], preprocess=tensor, task="detection")


def test_a_metric_of_one_s_own(images):
    near = lambda before, now: float(np.abs(before - now).max() < 10)  # noqa: E731
    model = ms.split(resnet(), at=["layer3"], preprocess=tensor, task=turned, metric=near)
    assert ms.evaluate(model, images[:2], symbols=4).scores == {"agreement": 100.0}


def test_arguments_by_name_and_by_position():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 4, 8, 8)

        def forward(self, x, scale):
            return self.body(x).mean(dim=(2, 3)) * scale.sum() * 0 + self.body.bias

    image = np.zeros((80, 96, 3), np.uint8)
    for preprocess in (lambda i: {"x": tensor(i), "scale": np.ones(1)}, lambda i: (tensor(i), torch.ones(1))):
        model = ms.split(Two(), at=["body"], preprocess=preprocess)
        assert model.back(model.front(image), (80, 96)).values["output"].shape == (4,)


def test_a_cut_beside_which_something_crosses_is_refused():
    class Skipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.early, self.late = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)

        def forward(self, x):
            early = self.early(x)
            return self.late(early).mean(dim=(2, 3)) + early.mean(dim=(2, 3))

    with pytest.raises(InputError, match="the two halves do not give what the whole network gives"):
        ms.split(Skipping(), at=["late"], preprocess=tensor)
    assert ms.split(Skipping(), at=["early", "late"], preprocess=tensor).front(np.zeros((80, 96, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": ["layr3"]}, "unknown submodule 'layr3'"),
        ({"at": ["layer3"], "axes": "1CWQ"}, "axes '1CWQ'"),
        ({"at": ["layer3"], "preprocess": tensor, "postprocess": lambda y, size: None}, "without a tensor"),
        ({"at": ["layer3"], "preprocess": tensor, "task": "semantic segmentation"}, "expects .1, classes, h, w"),
        ({"at": ["layer3"], "task": lambda before, now: -1.0}, "the task's function"),
    ],
)
def test_what_cannot_be_split(options, message, images):
    def measured():
        return ms.evaluate(ms.split(resnet(), **{"preprocess": INPUT, **options}), images[:1], symbols=4)

    with pytest.raises(InputError, match=message):
        measured()


def test_only_modules_are_cut():
    with pytest.raises(InputError, match=r"a torch\.nn\.Module can be cut, not a int"):
        ms.split(3, at=["x"], preprocess=tensor)
    with pytest.raises(InputError, match=r"output 0 of submodule 'body' is \[4, 8, 8\]; cut where .* a batch of one"):
        ms.split(Boxes(), at=["body"], preprocess=lambda image: tensor(image)[0])


def test_tokens_go_through_a_torch_split_and_the_codec():
    module = Vit().eval()
    x = torch.rand(1, 3, SIDE, SIDE)
    split = ms.models.TorchSplit(module, at=["blocks.1"], grid=(8, 8), extra=1)
    pyramid = split.front(x)
    assert repr(pyramid["blocks.1"]) == "Tensor([1, 65, 32], axes='1NC', grid=(8, 8), extra=1)"
    torch.testing.assert_close(split.back(pyramid, x), split.whole(x))
    data = ms.encode(pyramid, symbols=256, thresholds="range")
    for like in ("torch", "numpy"):
        decoded = ms.decode(data, like=like)
        assert decoded["blocks.1"].shape == (1, 65, 32)
        torch.testing.assert_close(split.back(decoded, x), split.whole(x), rtol=0.05, atol=0.05)
    with pytest.raises(InputError, match=r"has the shape \[65, 32\]; the network needs \[1, N, 32\]"):
        split.back({"blocks.1": decoded["blocks.1"][0]}, x)
    last = ms.models.TorchSplit(nn.Sequential(Last(), nn.Flatten()), at=["0"], axes="1HWC").front(x)
    assert repr(last["0"]) == f"Tensor([1, {SIDE}, {SIDE}, 3], axes='1HWC')"


class Last(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def test_the_tutorial_does_what_it_says(images, capsys):
    text = (Path(__file__).parents[2] / "docs" / "tutorials" / "torch.md").read_text()
    first, second = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names = {"module": resnet(), "transformer": Vit(), "transform": lambda image: tensor(image)[0], "images": images}
    first = first.replace('ms.calibrate(model, "photos")', "ms.calibrate(model, images, passes=1)")
    exec(first.replace('"photos"', "images[:2]"), names)
    assert capsys.readouterr().out.startswith("ResNet, 2 images: codec calibrated")
    exec(second.replace("blocks.5", "blocks.1").replace("(14, 14)", "(8, 8)"), names)
    assert list(names["model"].front(images[0])) == ["blocks.1", "blocks.1+extra"]


def test_a_network_of_sound():
    class Sound(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv1d(1, 4, 8, 8), nn.Linear(4 * 16, 3)

        def forward(self, x):
            return self.head(self.body(x).flatten(1))

    model = ms.split(Sound(), at=["body"], preprocess=ms.models.Input(shape=(1, 1, 128)), axes="1CT")
    sounds = list(np.random.default_rng(0).normal(size=(24, 1, 128)).astype(np.float32))
    assert {name: level.shape for name, level in model.front(sounds[0]).items()} == {"body": (4, 1, 16)}
    profile = ms.calibrate(model, sounds, passes=1)
    assert ms.evaluate(model, sounds[:3], "calibrated", profile=profile, quality=100).scores["fidelity"] > 90


@pytest.mark.parametrize("preprocess", [INPUT, tensor])
def test_what_is_no_image_is_refused(preprocess):
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(256, 3))
    model = ms.split(network, at=["0"], preprocess=preprocess, task="classification")
    for bad in (torch.zeros(3, 64, 64), np.zeros((64, 64)), np.zeros((64, 64, 3), np.float32), "image.png"):
        with pytest.raises(InputError, match="an image is a uint8 array of RGB"):
            model.front(bad)


def test_splitting_does_what_its_docstring_shows(images, caplog):
    text = re.findall(r"^ *(?:>>>|\.\.\.) ?(.*)$", ms.split.__doc__, re.MULTILINE)
    shown = "\n".join(text[:-1]).replace('"photos"', "images, passes=1").replace("(14, 14)", "(8, 8)")
    names = {
        "ms": ms,
        "module": resnet(),
        "transformer": Vit(),
        "transform": lambda image: tensor(image)[0],
        "image": images[0],
        "images": images,
    }
    assert "transform(image)[None]" in shown
    with caplog.at_level(logging.INFO, "midstream"):
        exec(shown.replace("blocks.5", "blocks.1"), names)
    assert names["scores"].shape == (1000,)
    assert names["profile"].about.network == "ResNet"
    assert names["model"].task.name == "function"
    assert "reading images" in caplog.text
