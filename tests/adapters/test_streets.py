"""The project's own network: the pyramid that training leaves out, and the graph beside torch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from midstream.data.scenes import generate
from midstream.masks import decode_mask
from midstream.models.description import parse_description
from midstream.models.heads.rcnn import pasted
from midstream.models.onnx_model import OnnxModel

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import export  # noqa: E402
import network  # noqa: E402
import scenes  # noqa: E402


@pytest.fixture(scope="module")
def built():
    """Random weights, but normalised by what the layers see, so that signals neither vanish nor explode."""
    torch.manual_seed(0)
    model = network.build()
    images, targets, _ = scenes.collate([scenes.sample(seed, False, False) for seed in (1, 2)])
    with torch.no_grad():
        for _ in range(6):
            model(list(images.float() / 255), targets)
    return model.eval()


def test_training_sees_what_the_whole_pyramid_gives(built):
    images = torch.randn(1, 3, *network.SIZE)
    backbone = built.backbone
    with torch.no_grad():
        whole = backbone(images)
        backbone.training = True  # of itself alone: its normalisations stay as they are
        short = backbone(images)
        backbone.training = False
    assert list(whole) == list(short) == list(network.LEVELS)
    for name, level in whole.items():
        assert level.std() > 1e-3
        torch.testing.assert_close(short[name], level, rtol=1e-4, atol=1e-5)


def test_the_pyramid_is_the_papers(built):
    with torch.no_grad():
        levels = built.backbone.pyramid(torch.randn(1, 3, *network.SIZE))
    assert [tuple(level.shape) for level in levels] == [
        (1, 256, network.SIZE[0] // stride, network.SIZE[1] // stride) for stride in (4, 8, 16, 32)
    ]


def test_the_graph_is_the_network(built, tmp_path):
    path = tmp_path / "streets.onnx"
    path.write_bytes(export.export(built).SerializeToString())
    assert path.stat().st_size < 2.2 * sum(weight.numel() for weight in built.parameters())
    text = export.DESCRIPTION.read_text("utf-8")
    model = OnnxModel(parse_description(text, export.DESCRIPTION.name), path)
    pyramid = model.front(generate(3).image)
    assert list(pyramid) == list(network.LEVELS)
    worst = export.differences(export.halved(built), model, 2)
    assert worst["pyramid, of its deviation"] < 0.02
    assert worst["detections"] == 0 or worst["unpaired"] / worst["detections"] < 0.1


def test_masks_are_pasted_as_torchvision_does():
    rng = np.random.default_rng(0)
    differing = total = 0
    for _ in range(40):
        smooth = torch.nn.functional.interpolate(torch.tensor(rng.random((1, 1, 5, 5), np.float32)), size=28)
        x, y = np.sort(rng.uniform(0, 150, 2)), np.sort(rng.uniform(0, 100, 2))
        box = np.array([x[0], y[0], x[1] + 4, y[1] + 4], np.float32)
        theirs = paste_masks_in_image(smooth, torch.tensor(box[None]), (120, 170))[0, 0].numpy() > 0.5
        ours = decode_mask(pasted(smooth[0, 0].numpy(), box, (120, 170)))
        differing += int((ours != theirs).sum())
        total += int(theirs.sum())
    assert differing < 0.001 * total


def test_batches_hold_every_instance_of_their_scenes():
    plan = scenes.Plan(batch=2, small=1, bands=2)
    batches = iter(scenes.Scenes(0, plan))
    first, second, third = next(batches), next(batches), next(batches)
    assert first[0].shape == (4, 3, 96, 256)
    assert second[0].shape == (2, 3, 160, 512)
    assert third[0].shape == (2, 3, 256, 512)
    again = next(iter(scenes.Scenes(2, plan)))
    torch.testing.assert_close(again[0], third[0])
    for images, targets, classes in (first, second, third):
        assert classes.shape == (len(images), *images.shape[2:])
        for target, labelled in zip(targets, classes, strict=True):
            for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
                assert (labelled[mask.bool()] == label).all()
                assert mask.any(0).sum() <= box[2] - box[0]
                assert mask.any(1).sum() <= box[3] - box[1]
