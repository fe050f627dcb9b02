"""torchvision's R-CNNs with a ResNet-50 feature pyramid, cut behind it: P2 to P6 are `0`, `1`, `2`, `3`, `pool`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from midstream.errors import InputError, MissingExtraError, unknown
from midstream.images import check_image
from midstream.models.base import DerivedLevel, FloatPyramid, Image, shown
from midstream.models.detections import Detections
from midstream.models.tasks.detection import Detection, InstanceSegmentation
from midstream.models.torch_common import (
    RANDOM,
    SEED,
    encode_masks,
    hash_model,
    load_state_dict,
    one_line,
    read_state_dict,
    to_float_pyramid,
)
from midstream.models.torch_split import CutOutput, TorchSplit

try:
    import torch
    import torchvision
    from torchvision.models import detection
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d
except ImportError as error:
    raise MissingExtraError("torchvision's networks", "torch") from error

#: Name -> torchvision's class and its published weights.
_NETWORKS: dict[str, tuple[Any, Any]] = {
    "fasterrcnn-r50-fpn": (detection.FasterRCNN, detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1),
    "maskrcnn-r50-fpn": (detection.MaskRCNN, detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
}
#: The levels, finest first: strides 4, 8, 16, 32 and 64.
LEVELS = ("0", "1", "2", "3", "pool")


class TorchvisionModel:
    """A torchvision R-CNN as a `SplitModel`; made by `load_torchvision`."""

    def __init__(
        self, name: str, model: Any, classes: tuple[str, ...], category_ids: tuple[int, ...] | None = None
    ) -> None:
        self.name = name
        self.classes = classes
        self.category_ids = category_ids
        self.has_masks = isinstance(model, detection.MaskRCNN)
        self.task: Detection = InstanceSegmentation() if self.has_masks else Detection()
        self.derived: Mapping[str, DerivedLevel] = {"pool": DerivedLevel("3")}
        self._model = model.eval()
        channels = (int(model.backbone.out_channels),) * len(LEVELS)
        output = CutOutput(OrderedDict, LEVELS, channels, (torch.float32,) * len(LEVELS))
        self._split = TorchSplit(model, at=["backbone"], outputs={"backbone": output})

    def __repr__(self) -> str:
        sides = self._model.transform.min_size[-1], self._model.transform.max_size
        return shown(self, f"{sides[0]}..{sides[1]}", " ".join(LEVELS))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights, the preprocessing and the library's version."""
        return hash_model(self._model, self.name, self._model.transform, torch.__version__, torchvision.__version__)

    @property
    def identity(self) -> str:
        """The fingerprint, which covers the whole network."""
        return self.fingerprint

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the network works at for an image of `size`, by torchvision's own rule, unpadded."""
        resized, _ = self._model.transform.resize(torch.empty(3, *size, device="meta"))
        return int(resized.shape[-2]), int(resized.shape[-1])

    def resized(self, image: Image) -> Image:
        """The image at `input_size`, uint8 RGB; torchvision itself would not round it to 8 bits."""
        pixels, _ = self._model.transform.resize(_to_tensor(image))
        return np.ascontiguousarray((pixels * 255).round().clamp(0, 255).byte().numpy().transpose(1, 2, 0))

    def front_resized(self, image: Image, size: tuple[int, int]) -> FloatPyramid:
        """The front: an image of `input_size` is not resized again."""
        del size
        return self.front(image)

    def front(self, image: Image) -> FloatPyramid:
        """The levels `0`, `1`, `2`, `3`, `pool` of an image (8-bit RGB [H, W, 3]): float32 [256, h, w] each."""
        return to_float_pyramid(self._split.front([_to_tensor(image)]))

    def back(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        """Detections from a pyramid (`pool` included) of an image of `size` (height, width).

        Raises:
            InputError: a level is missing, unknown, or has not 256 channels.
        """
        found = self._split.back(pyramid, [torch.zeros(3, *size)])[0]
        masks = encode_masks(mask[0] > 0.5 for mask in found["masks"]) if self.has_masks else None
        return Detections(found["boxes"].numpy(), found["scores"].numpy(), found["labels"].numpy(), masks)


def _to_tensor(image: Image) -> torch.Tensor:
    """float32 [3, H, W], 0 to 1. Raises InputError for what is no image."""
    return torch.from_numpy(np.array(check_image(image).transpose(2, 0, 1), order="C")).float() / 255


def load_torchvision(
    name: str,
    weights: Path | str | None = None,
    *,
    min_size: int = 800,
    max_size: int = 1333,
    score_threshold: float = 0.05,
) -> TorchvisionModel:
    """One of torchvision's R-CNNs, on the CPU.

    Args:
        name: `maskrcnn-r50-fpn` or `fasterrcnn-r50-fpn`.
        weights: a state dict as `.pth` (also {"model": state dict}) or `.safetensors`; `RANDOM` for random weights,
            the same every time; None for torchvision's own COCO weights, downloaded into torch's cache. The number of
            classes is taken from the file. As in torchvision's COCO networks, batch normalisation is frozen and has
            no epsilon, which is how those weights, and all that were fine-tuned from them, were trained.
        min_size, max_size: images are resized to this shorter side, or less where the longer would exceed `max_size`.
            1024 and 2048 leave Cityscapes' images as they are.
        score_threshold: lowest score of a detection.

    Raises:
        InputError: unknown name; weights that cannot be downloaded or read, or that do not fit.
    """
    if name not in _NETWORKS:
        raise unknown("torchvision network", name, _NETWORKS)
    categories: tuple[str, ...] = tuple(_NETWORKS[name][1].meta["categories"])
    state = None if str(weights) == RANDOM else _download(name) if weights is None else read_state_dict(Path(weights))
    count = len(categories)
    if state is not None and "roi_heads.box_predictor.cls_score.bias" in state:
        count = len(state["roi_heads.box_predictor.cls_score.bias"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = _build(name, count, min_size, max_size, score_threshold)
    if state is not None:
        load_state_dict(model, state, f"{weights or 'the downloaded weights'}", name)
    if count == len(categories):  # COCO's, holes in its numbering included: a label is a category id
        return TorchvisionModel(name, model, categories, tuple(range(count)))
    return TorchvisionModel(name, model, ("__background__", *(f"class {i}" for i in range(1, count))))


def _build(name: str, classes: int, min_size: int, max_size: int, score_threshold: float) -> Any:
    """The network as torchvision's own function builds it for its COCO weights."""
    model = _NETWORKS[name][0](
        resnet_fpn_backbone(backbone_name="resnet50", weights=None),
        num_classes=classes,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=score_threshold,
    )
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return model


def _download(name: str) -> dict[str, torch.Tensor]:
    """torchvision's published weights, from torch's cache or the network."""
    weights = _NETWORKS[name][1]
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"cannot download the weights of {name} from {weights.url} ({one_line(error)}); "
            "give a local file with --weights FILE"
        ) from error
    return state
