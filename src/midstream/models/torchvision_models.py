"""torchvision's R-CNNs with a ResNet-50 feature pyramid, cut behind it: P2 to P6 are `0`, `1`, `2`, `3`, `pool`."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from safetensors import SafetensorError

from midstream.errors import InputError, MissingExtraError, unknown
from midstream.models.base import DerivedLevel, Detections, FloatPyramid, Picture
from midstream.models.torch_split import CutOutput, TorchSplit

try:
    import torch
    import torchvision
    from safetensors.torch import load_file
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
#: What `--model` knows of torchvision.
NAMES = tuple(_NETWORKS)
#: The levels, finest first: strides 4, 8, 16, 32 and 64.
LEVELS = ("0", "1", "2", "3", "pool")
#: In the place of a weights file: random weights, the same every time.
RANDOM = "random"
_SEED = 20


class TorchvisionModel:
    """A torchvision R-CNN as a `SplitModel`; made by `load_torchvision`."""

    def __init__(self, name: str, model: Any, classes: tuple[str, ...]) -> None:
        self.name = name
        self.classes = classes
        self.has_masks = isinstance(model, detection.MaskRCNN)
        self.derived: Mapping[str, DerivedLevel] = {"pool": DerivedLevel("3")}
        self._model = model.eval()
        channels = (int(model.backbone.out_channels),) * len(LEVELS)
        output = CutOutput(OrderedDict, LEVELS, channels, (torch.float32,) * len(LEVELS))
        self._split = TorchSplit(model, at=["backbone"], outputs={"backbone": output})

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights, the preprocessing and the library's version."""
        return hash_model(self._model, self.name, self._model.transform, torch.__version__, torchvision.__version__)

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the network works at for a picture of `size`, by torchvision's own rule, unpadded."""
        resized, _ = self._model.transform.resize(torch.empty(3, *size, device="meta"))
        return int(resized.shape[-2]), int(resized.shape[-1])

    def front(self, picture: Picture) -> FloatPyramid:
        """The levels `0`, `1`, `2`, `3`, `pool` of a picture (8-bit RGB [H, W, 3]): float32 [256, h, w] each."""
        pixels = torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))
        return to_float_pyramid(self._split.front([pixels.float() / 255]))

    def back(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        """Detections from a pyramid (`pool` included) of a picture of `size` (height, width).

        Raises:
            InputError: a level is missing, unknown, or has not 256 channels.
        """
        found = self._split.back(pyramid, [torch.zeros(3, *size)])[0]
        masks = encode_masks(mask[0] > 0.5 for mask in found["masks"]) if self.has_masks else None
        return Detections(found["boxes"].numpy(), found["scores"].numpy(), found["labels"].numpy(), masks)


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
        name: one of `NAMES`.
        weights: a state dict as `.pth` (also {"model": state dict}) or `.safetensors`; `RANDOM` for random weights,
            the same every time; None for torchvision's own COCO weights, downloaded into torch's cache. The number of
            classes is taken from the file. As in torchvision's COCO networks, batch normalisation is frozen and has
            no epsilon, which is how those weights, and all that were fine-tuned from them, were trained.
        min_size, max_size: pictures are resized to this shorter side, or less where the longer would exceed `max_size`.
            1024 and 2048 leave Cityscapes' pictures as they are.
        score_threshold: lowest score of a detection.

    Raises:
        InputError: unknown name; weights that cannot be downloaded or read, or that do not fit.
    """
    if name not in _NETWORKS:
        raise unknown("torchvision network", name, NAMES)
    categories: tuple[str, ...] = tuple(_NETWORKS[name][1].meta["categories"])
    state = None if str(weights) == RANDOM else _download(name) if weights is None else read_state_dict(Path(weights))
    count = len(categories)
    if state is not None and "roi_heads.box_predictor.cls_score.bias" in state:
        count = len(state["roi_heads.box_predictor.cls_score.bias"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = _build(name, count, min_size, max_size, score_threshold)
    if state is not None:
        load_state_dict(model, state, f"{weights or 'the downloaded weights'}", name)
    classes = categories if count == len(categories) else ("__background__", *(f"class {i}" for i in range(1, count)))
    return TorchvisionModel(name, model, classes)


def pyramid_shapes(height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """Level -> (channels, height, width) of the R50-FPN pyramid of a picture that the network works on at this size.

    The real network finds them, without computing anything (on torch's meta device); its two variants share them.
    """
    with torch.device("meta"):
        model = _build("fasterrcnn-r50-fpn", 91, min(height, width), max(height, width), 0.05)
        levels = TorchSplit(model, at=["backbone"]).front([torch.empty(3, height, width)])
    return {name: (level.shape[0], level.shape[1], level.shape[2]) for name, level in levels.items()}


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


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of a `.pth` or `.pt` file of tensors only, on the CPU.

    Raises:
        InputError: the file cannot be read, is of another kind, or holds objects other than tensors (which would
            have to be unpickled, and could then run code).
    """
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise InputError(f"weights {path}: unknown kind of file '{path.suffix}'; valid: .pth, .pt, .safetensors")
    content: Any
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on how the file was pickled
            content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"weights {path}: not a file of tensors only ({one_line(error)})") from error
    except (OSError, EOFError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"weights {path} cannot be read: {one_line(error)}") from error
    state = content["model"] if isinstance(content, dict) and isinstance(content.get("model"), dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"weights {path}: not a state dict (parameter name to tensor)")
    return state


def load_state_dict(model: torch.nn.Module, state: Mapping[str, torch.Tensor], source: str, name: str) -> None:
    """Load weights into a network, all of them.

    Raises:
        InputError: parameters are missing, left over or of another shape; the message names `source` and `name`.
    """
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # of another shape; the first line says nothing
        raise InputError(f"weights {source} do not fit {name}: {one_line(str(error).partition(':')[2])}") from error
    for what, keys in (("missing", missing), ("unexpected", unexpected)):
        if keys:
            raise InputError(f"weights {source} do not fit {name}: {len(keys)} {what}, such as {', '.join(keys[:3])}")


def one_line(error: object, limit: int = 160) -> str:
    """An error's text on one line, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def hash_model(model: torch.nn.Module, *facts: object) -> str:
    """A hash of all parameters and buffers, by name, and of the text of `facts`."""
    digest = hashlib.sha256(repr([str(fact) for fact in facts]).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(repr((name, str(tensor.dtype), list(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def to_float_pyramid(levels: Mapping[str, torch.Tensor]) -> FloatPyramid:
    """float32 arrays [C, H, W] of a pyramid's tensors."""
    pyramid: FloatPyramid = {name: level.float().cpu().contiguous().numpy() for name, level in levels.items()}
    return pyramid


def encode_masks(masks: Iterable[torch.Tensor]) -> list[dict[str, Any]]:
    """COCO run-length encodings of bool masks [H, W]; one after the other, since a hundred of them may be large."""
    encoded = []
    for mask in masks:
        pixels: NDArray[np.uint8] = mask.cpu().numpy().astype(np.uint8)
        encoded.append(coco_mask.encode(np.asfortranarray(pixels)))
    return encoded
