"""Suppression and masks of detectors beside torch's and torchvision's own."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import batched_nms, box_convert

from midstream.masks import decode_mask
from midstream.models.detector_heads import BoxesHead, YoloV8Head
from midstream.models.heads import decode_head
from midstream.models.heads.located import located
from midstream.models.heads.nms import Boxes, Candidates, PrototypeMasks, suppress
from midstream.models.heads.rcnn import pasted
from midstream.models.preprocess import Placement


def boxes_of(rng, count, extent=300):
    corners = rng.uniform(0, extent, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(10, 90, (count, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_torchvision_s(seed):
    rng = np.random.default_rng(seed)
    boxes, scores = boxes_of(rng, 400), rng.random((400, 5)).astype(np.float32)
    rows, labels = np.nonzero(scores > 0.3)
    values = [torch.from_numpy(each) for each in (boxes[rows], scores[rows, labels], labels)]
    kept = batched_nms(*values, 0.5)[:100].numpy()
    found = suppress(Candidates(boxes, scores), 0.3, 0.5, 100)
    np.testing.assert_array_equal(found.boxes, boxes[rows][kept])
    np.testing.assert_array_equal(found.labels, labels[kept])
    centres = box_convert(torch.from_numpy(boxes), "xyxy", "cxcywh").numpy()
    value = np.concatenate([centres, scores], axis=1).T[None]
    head = YoloV8Head(kind="yolov8", score_threshold=0.3, nms_iou=0.5, max_detections=100)
    np.testing.assert_allclose(decode_head(head, {"o": value}, (400, 400), 5).boxes, found.boxes, atol=1e-4)


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
def test_forms_of_boxes_are_torchvision_s(form):
    boxes = boxes_of(np.random.default_rng(0), 50)
    given = box_convert(torch.from_numpy(boxes), "xyxy", form).numpy()
    outputs = {"b": given, "s": np.linspace(1, 0.5, 50, dtype=np.float32), "l": np.zeros(50, np.int64)}
    head = BoxesHead(kind="boxes", boxes="b", scores="s", labels="l", format=form)
    np.testing.assert_allclose(decode_head(head, outputs, (400, 400), 1).boxes, boxes, atol=1e-4)


def test_masks_of_boxes_are_torchvision_s():
    rng = np.random.default_rng(0)
    for _ in range(50):
        size, mask = (120, 200), rng.random((1, 1, 28, 28)).astype(np.float32)
        sides = np.sort(rng.random((2, 2)), axis=0) * [200, 120]
        box = sides.reshape(1, 4).astype(np.float32)
        expected = paste_masks_in_image(torch.from_numpy(mask), torch.from_numpy(box), size)[0, 0] > 0.5
        np.testing.assert_array_equal(decode_mask(pasted(mask[0, 0], box[0], size)), expected.numpy())


def test_masks_of_prototypes_are_enlarged_as_torch_does_it():
    rng = np.random.default_rng(0)
    prototypes, weights = rng.normal(size=(8, 40, 40)).astype(np.float32), rng.normal(size=(6, 8)).astype(np.float32)
    boxes = boxes_of(rng, 6, 60)
    at, size = Placement(0.25, 0.25, 0, 20, 160, 120), (480, 640)  # the image's edges lie between pixels of 40 x 40
    masks = PrototypeMasks(weights, prototypes)
    found = Boxes(boxes + np.float32([0, 20, 0, 20]), np.ones(6, np.float32), np.zeros(6, np.int64), masks)
    logits = torch.einsum("nc,chw->nhw", torch.from_numpy(weights), torch.from_numpy(prototypes))[None, :, 5:35]
    whole = torch.nn.functional.interpolate(logits, size, mode="bilinear")[0].numpy() > 0
    detections = located(found, at, (160, 160), size)
    for rle, mask, (left, top, right, bottom) in zip(detections.masks, whole, np.ceil(detections.boxes), strict=True):
        expected = np.zeros(size, bool)
        inside = slice(int(top), int(bottom)), slice(int(left), int(right))
        expected[inside] = mask[inside]
        assert expected.any()
        assert (decode_mask(rle) != expected).sum() <= 2  # a logit of 0 within rounding
