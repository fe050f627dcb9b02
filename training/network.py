"""The network: torchvision's Mask R-CNN on a thin residual network with a feature pyramid of 256 channels.

All is thin but the pyramid, which is as wide as the founding paper's: P2 to P5 of 256 channels, and P6, which is P5
subsampled. The heads read it through one 1 x 1 convolution, the bridge, that all levels share.

From the stages of the backbone to the bridge all is linear, and what smooths a level is the same for all its channels.
So in training the bridge is moved before the pyramid: the product of the two matrices is used, and the 256 channels,
which cost half of the time, need not be computed. The result is the same up to rounding, and a test says so.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.resnet import BasicBlock
from torchvision.ops import MultiScaleRoIAlign

from midstream.data.cityscapes import CLASSES

#: (height, width) of the input.
SIZE = (256, 512)
#: What images from 0 to 1 are normalised with, each colour.
MEAN, STD = (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)
LEVELS = ("p2", "p3", "p4", "p5", "p6")
#: torchvision's label i is the class NAMES[i].
NAMES = ("__background__", *CLASSES)
PYRAMID_CHANNELS = 256
_STEM, _WIDTHS, _BLOCKS = 32, (32, 64, 128, 256), (1, 2, 2, 2)
_BRIDGE = 96
_ANCHORS = ((16,), (32,), (64,), (128,), (256,))
_RATIOS = ((0.5, 1.0, 2.0),) * len(_ANCHORS)


class Pyramid(nn.Module):
    """Images [n, 3, H, W], normalised, to the levels p2 to p5: float32 [n, 256, H / 4, W / 4] and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, _STEM, 7, stride=4, padding=3, bias=False), nn.BatchNorm2d(_STEM), nn.ReLU(inplace=True)
        )
        stages, inputs = [], _STEM
        for index, (width, blocks) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True)):
            stages.append(
                nn.Sequential(
                    *(_block(width if b else inputs, width, 2 if index and not b else 1) for b in range(blocks))
                )
            )
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(nn.Conv2d(width, PYRAMID_CHANNELS, 1) for width in _WIDTHS)

    def stages_of(self, images: Tensor) -> list[Tensor]:
        """What the stages give, finest first."""
        value, found = self.stem(images), []
        for stage in self.stages:
            value = stage(value)
            found.append(value)
        return found

    def forward(self, images: Tensor) -> list[Tensor]:
        """The levels, finest first."""
        found = self.stages_of(images)
        return top_down([lateral(value) for lateral, value in zip(self.lateral, found, strict=True)])


def top_down(levels: list[Tensor]) -> list[Tensor]:
    """Each level plus all coarser ones, repeated to its size and smoothed against the steps that this makes."""
    summed = levels[-1:]
    for level in reversed(levels[:-1]):
        summed.insert(0, level + functional.interpolate(summed[0], scale_factor=2.0, mode="nearest"))
    return [smoothed(level) for level in summed]


def smoothed(level: Tensor) -> Tensor:
    """The kernel 1 2 1 both ways, the edge repeated: means of 2 x 2, twice."""
    padded = functional.pad(level, (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(functional.avg_pool2d(padded, 2, stride=1), 2, stride=1)


def _block(inputs: int, width: int, stride: int) -> BasicBlock:
    fits = stride == 1 and inputs == width
    down = None if fits else nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    return BasicBlock(inputs, width, stride, down)


def subsampled(level: Tensor) -> Tensor:
    """P6 from P5: every second row and column (torchvision's LastLevelMaxPool)."""
    return functional.max_pool2d(level, kernel_size=1, stride=2)


class Backbone(nn.Module):
    """What torchvision's Mask R-CNN calls its backbone: the pyramid, then the bridge on each of its levels."""

    out_channels = _BRIDGE

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()
        self.bridge = nn.Conv2d(PYRAMID_CHANNELS, _BRIDGE, 1)
        nn.init.kaiming_normal_(self.bridge.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The bridged levels."""
        if not self.training:
            levels = self.pyramid(images)
            return self.bridged([*levels, subsampled(levels[-1])])
        found, matrix = self.pyramid.stages_of(images), self.bridge.weight[:, :, 0, 0]
        narrow = []
        for lateral, value in zip(self.pyramid.lateral, found, strict=True):
            product = matrix @ lateral.weight[:, :, 0, 0]
            narrow.append(functional.conv2d(value, product[:, :, None, None], matrix @ lateral.bias))
        levels = [functional.relu(level + self.bridge.bias[:, None, None]) for level in top_down(narrow)]
        return OrderedDict(zip(LEVELS, [*levels, subsampled(levels[-1])], strict=True))

    def bridged(self, levels: list[Tensor]) -> dict[str, Tensor]:
        """What the heads see of the levels."""
        return OrderedDict(
            (name, functional.relu(self.bridge(level))) for name, level in zip(LEVELS, levels, strict=True)
        )


class ProposalHead(nn.Module):
    """Objectness and box of each anchor by one 3 x 3 convolution."""

    def __init__(self, anchors: int) -> None:
        super().__init__()
        self.anchors = anchors
        self.out = nn.Conv2d(_BRIDGE, 5 * anchors, 3, padding=1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits [n, anchors, h, w] and box offsets [n, 4 * anchors, h, w] of each level."""
        outputs = [self.out(level) for level in levels]
        return [o[:, : self.anchors] for o in outputs], [o[:, self.anchors :] for o in outputs]


class _Unresized(GeneralizedRCNNTransform):
    """Normalises and batches; images come at the size that they are wanted at."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


def build() -> Any:
    """The network with random weights, in training mode."""
    backbone = Backbone()
    anchors = AnchorGenerator(_ANCHORS, _RATIOS)
    levels = list(LEVELS[:-1])
    model = MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=ProposalHead(anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=300,
        rpn_post_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_test=200,
        rpn_batch_size_per_image=128,
        # One sample a bin: the bins are about as large as the features are apart. Objects of 112 pixels come from P4,
        # as in images of twice the size those of 224.
        box_roi_pool=MultiScaleRoIAlign(levels, 7, 1, canonical_scale=112),
        box_head=FastRCNNConvFCHead((_BRIDGE, 7, 7), [64], [256]),
        box_predictor=FastRCNNPredictor(256, len(NAMES)),
        box_batch_size_per_image=32,
        box_positive_fraction=0.5,
        box_score_thresh=0.02,
        box_detections_per_img=60,
        mask_roi_pool=MultiScaleRoIAlign(levels, 14, 1, canonical_scale=224),
        mask_head=MaskRCNNHeads(_BRIDGE, [64, 64], 1),
        mask_predictor=MaskRCNNPredictor(64, 64, len(NAMES)),
    )
    model.transform = _Unresized(*SIZE, list(MEAN), list(STD), size_divisible=32)
    return model
