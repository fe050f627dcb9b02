"""Detectron2's networks by the names of their configurations, cut behind the backbone (P2 to P6 for an R-CNN with FPN).

Detectron2 is not on the package index and so is no extra of this project: it is found only if installed.
"""

from __future__ import annotations

import importlib.util
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
except ImportError as error:
    raise MissingExtraError("Detectron2's networks", "torch") from error

#: Meta-architecture -> the part of its configuration that holds the number of classes.
_HEADS = {"GeneralizedRCNN": "ROI_HEADS", "RetinaNet": "RETINANET"}


class Detectron2Model:
    """A Detectron2 detector as a `SplitModel`; made by `load_detectron2`."""

    def __init__(
        self, name: str, model: Any, cfg: Any, classes: tuple[str, ...], category_ids: tuple[int, ...] | None = None
    ) -> None:
        from detectron2.data.transforms import ResizeShortestEdge
        from detectron2.modeling.backbone.fpn import LastLevelMaxPool

        self.name = name
        self.classes = classes
        self.category_ids = category_ids
        self.has_masks = bool(cfg.MODEL.MASK_ON)
        self.task: Detection = InstanceSegmentation() if self.has_masks else Detection()
        top = getattr(model.backbone, "top_block", None)
        self.derived: Mapping[str, DerivedLevel] = {"p6": DerivedLevel("p5")} if type(top) is LastLevelMaxPool else {}
        self._cfg = cfg
        self._model = model.eval()
        self._resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
        shapes = model.backbone.output_shape()
        channels = tuple(int(shape.channels) for shape in shapes.values())
        output = CutOutput(dict, tuple(shapes), channels, (torch.float32,) * len(shapes))
        self._split = TorchSplit(model, at=["backbone"], outputs={"backbone": output})
        self._levels = tuple(shapes)

    def __repr__(self) -> str:
        return shown(self, "by config", " ".join(self._levels))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights, the configuration and the libraries' versions."""
        import detectron2

        return hash_model(self._model, self.name, self._cfg.dump(), torch.__version__, detectron2.__version__)

    @property
    def identity(self) -> str:
        """The fingerprint, which covers the whole network."""
        return self.fingerprint

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the network works at for an image of `size`, by Detectron2's own rule, unpadded."""
        height, width = self._resize.get_output_shape(
            *size, self._cfg.INPUT.MIN_SIZE_TEST, self._cfg.INPUT.MAX_SIZE_TEST
        )
        return int(height), int(width)

    def resized(self, image: Image) -> Image:
        """The image at `input_size`, uint8 RGB. Raises InputError for what is no image."""
        check_image(image)
        return np.ascontiguousarray(self._resize.get_transform(image).apply_image(image))

    def front_resized(self, image: Image, size: tuple[int, int]) -> FloatPyramid:
        """The front: an image of `input_size` is not resized again."""
        del size
        return self.front(image)

    def front(self, image: Image) -> FloatPyramid:
        """The levels of an image (8-bit RGB [H, W, 3]), float32 [C, h, w] each, named as the backbone names them."""
        check_image(image)
        ordered = image[:, :, ::-1] if self._cfg.INPUT.FORMAT == "BGR" else image
        resized = self._resize.get_transform(ordered).apply_image(np.ascontiguousarray(ordered))
        pixels = torch.from_numpy(np.array(resized.transpose(2, 0, 1), np.float32, order="C"))
        return to_float_pyramid(self._split.front(self._inputs(pixels, image.shape[:2])))

    def back(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        """Detections from a pyramid (derived levels included) of an image of `size` (height, width).

        Raises:
            InputError: a level is missing, unknown, or of another number of channels.
        """
        inputs = self._inputs(torch.zeros(3, *self.input_size(size)), size)
        found = self._split.back(pyramid, inputs)[0]["instances"]
        masks = encode_masks(found.pred_masks) if self.has_masks else None
        return Detections(found.pred_boxes.tensor.numpy(), found.scores.numpy(), found.pred_classes.numpy(), masks)

    @staticmethod
    def _inputs(pixels: torch.Tensor, size: tuple[int, ...]) -> list[dict[str, Any]]:
        return [{"image": pixels, "height": size[0], "width": size[1]}]


def load_detectron2(
    config_name: str,
    weights: Path | str | None = None,
    *,
    min_size: int | None = None,
    max_size: int | None = None,
    score_threshold: float | None = None,
) -> Detectron2Model:
    """A detector of Detectron2's model zoo, on the CPU, with the preprocessing of its `DefaultPredictor`.

    Args:
        config_name: as in the zoo, for example `Cityscapes/mask_rcnn_R_50_FPN.yaml`.
        weights: a state dict as `.pth` (also {"model": state dict}) or `.safetensors`; `RANDOM` for random weights,
            the same every time; None for the zoo's own, which Detectron2 downloads into its cache and reads.
        min_size, max_size: images are resized to this shorter side, or less where the longer would exceed
            `max_size`; the configuration's own when None.
        score_threshold: lowest score of a detection; the configuration's own when None.

    Raises:
        InputError: Detectron2 is not installed, or too broken to import; unknown configuration, or one of a network
            that finds no objects; weights that cannot be downloaded or read, or that do not fit.
    """
    zoo = _model_zoo()
    folder = Path(zoo.__file__).parent / "configs"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.yaml"))
    if config_name not in names:  # also: no file from elsewhere, since Detectron2 reads its YAML without restraint
        raise unknown("Detectron2 configuration", config_name, names)
    from detectron2.modeling import build_model

    cfg = zoo.get_config(config_name)
    if cfg.MODEL.META_ARCHITECTURE not in _HEADS:
        raise unknown(f"meta-architecture of {config_name}", cfg.MODEL.META_ARCHITECTURE, _HEADS)
    head = cfg.MODEL[_HEADS[cfg.MODEL.META_ARCHITECTURE]]
    cfg.MODEL.DEVICE = "cpu"
    if min_size is not None:
        cfg.INPUT.MIN_SIZE_TEST = min_size
    if max_size is not None:
        cfg.INPUT.MAX_SIZE_TEST = max_size
    if score_threshold is not None:
        head.SCORE_THRESH_TEST = score_threshold
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model(cfg)
    if weights is None:
        _load_zoo_weights(model, zoo, config_name)
    elif str(weights) != RANDOM:
        load_state_dict(model, _read_weights(Path(weights)), str(weights), config_name)
    return Detectron2Model(f"detectron2:{config_name}", model, cfg, *_classes(cfg, head.NUM_CLASSES))


def _model_zoo() -> Any:
    """Detectron2's `model_zoo`."""
    if importlib.util.find_spec("detectron2") is None:
        raise InputError(
            "Detectron2 is not installed; build it beside torch with: "
            "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2"
        )
    try:
        from detectron2 import model_zoo
    except ImportError as error:
        raise InputError(f"Detectron2 is installed but cannot be imported: {one_line(error)}") from error
    return model_zoo


def _classes(cfg: Any, count: int) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names and category ids of the objects that the network finds, as far as Detectron2 knows the data set."""
    from detectron2.data import MetadataCatalog

    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        data = MetadataCatalog.get(name)
        names = data.get("thing_classes", ())
        if len(names) == count:
            labels: Mapping[int, int] = data.get("thing_dataset_id_to_contiguous_id", {})
            ids = tuple(sorted(labels, key=lambda identity: labels[identity]))
            return tuple(str(each) for each in names), ids if len(ids) == count else None
    return tuple(f"class {index}" for index in range(count)), None


def _load_zoo_weights(model: torch.nn.Module, zoo: Any, config_name: str) -> None:
    """The zoo's own weights, from Detectron2's cache or the network, read by Detectron2's own reader."""
    from detectron2.checkpoint import DetectionCheckpointer

    try:
        DetectionCheckpointer(model).load(zoo.get_checkpoint_url(config_name))
    except (OSError, RuntimeError, AssertionError) as error:
        raise InputError(
            f"cannot download the weights of {config_name} ({one_line(error)}); give a local file with --weights FILE"
        ) from error


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict without what Detectron2 once saved and now takes from the configuration.

    The zoo's `.pkl` files are pickles, which can run code, and are not read. Detectron2 itself downloads and converts
    them: see the message.
    """
    if path.suffix == ".pkl":
        raise InputError(
            f"weights {path}: a pickle can run code and is not read; leave --weights out (Detectron2 fetches its own), "
            "or convert it: DetectionCheckpointer(model).load('FILE.pkl'); torch.save(model.state_dict(), 'FILE.pth')"
        )
    return {
        key: value
        for key, value in read_state_dict(path).items()
        if key not in ("pixel_mean", "pixel_std") and "anchor_generator.cell_anchors" not in key
    }
