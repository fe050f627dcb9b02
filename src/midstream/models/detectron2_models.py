"""Detectron2's networks by the names of their configurations, cut behind the backbone (P2 to P6 for an R-CNN with FPN).

Detectron2 is not on the package index and so is no extra of this project: it is found only if installed.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError, unknown
from midstream.models.base import DerivedLevel, Detections, FloatPyramid, Picture
from midstream.models.torch_split import CutOutput, TorchSplit
from midstream.models.torchvision_models import (
    RANDOM,
    encode_masks,
    hash_model,
    load_state_dict,
    one_line,
    read_state_dict,
    to_float_pyramid,
)

try:
    import torch
except ImportError as error:
    raise MissingExtraError("Detectron2's networks", "torch") from error

_SEED = 20
#: Meta-architecture -> the part of its configuration that holds the number of classes.
_HEADS = {"GeneralizedRCNN": "ROI_HEADS", "RetinaNet": "RETINANET"}


class Detectron2Model:
    """A Detectron2 detector as a `SplitModel`; made by `load_detectron2`."""

    def __init__(self, name: str, model: Any, cfg: Any, classes: tuple[str, ...]) -> None:
        from detectron2.data.transforms import ResizeShortestEdge
        from detectron2.modeling.backbone.fpn import LastLevelMaxPool

        self.name = name
        self.classes = classes
        self.has_masks = bool(cfg.MODEL.MASK_ON)
        top = getattr(model.backbone, "top_block", None)
        self.derived: Mapping[str, DerivedLevel] = {"p6": DerivedLevel("p5")} if type(top) is LastLevelMaxPool else {}
        self._cfg = cfg
        self._model = model.eval()
        self._resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
        shapes = model.backbone.output_shape()
        channels = tuple(int(shape.channels) for shape in shapes.values())
        output = CutOutput(dict, tuple(shapes), channels, (torch.float32,) * len(shapes))
        self._split = TorchSplit(model, at=["backbone"], outputs={"backbone": output})

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights, the configuration and the libraries' versions."""
        import detectron2

        return hash_model(self._model, self.name, self._cfg.dump(), torch.__version__, detectron2.__version__)

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the network works at for a picture of `size`, by Detectron2's own rule, unpadded."""
        height, width = self._resize.get_output_shape(
            *size, self._cfg.INPUT.MIN_SIZE_TEST, self._cfg.INPUT.MAX_SIZE_TEST
        )
        return int(height), int(width)

    def front(self, picture: Picture) -> FloatPyramid:
        """The levels of a picture (8-bit RGB [H, W, 3]), float32 [C, h, w] each, named as the backbone names them."""
        ordered = picture[:, :, ::-1] if self._cfg.INPUT.FORMAT == "BGR" else picture
        resized = self._resize.get_transform(ordered).apply_image(np.ascontiguousarray(ordered))
        pixels = torch.from_numpy(np.array(resized.transpose(2, 0, 1), np.float32, order="C"))
        return to_float_pyramid(self._split.front(self._inputs(pixels, picture.shape[:2])))

    def back(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        """Detections from a pyramid (derived levels included) of a picture of `size` (height, width).

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
        weights: a state dict as `.pth` (also {"model": state dict}) or `.safetensors`; a `.pkl` of the model zoo
            (`model_final_af9cb5.pkl` is the network above), see `read_zoo_file`; `RANDOM` for random weights, the same
            every time; None for the zoo's own, downloaded into Detectron2's cache.
        min_size, max_size: pictures are resized to this shorter side, or less where the longer would exceed
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
        torch.manual_seed(_SEED)
        model = build_model(cfg)
    if str(weights) != RANDOM:
        source = Path(weights) if weights is not None else _download(zoo, config_name)
        load_state_dict(model, _read_weights(source), str(source), config_name)
    return Detectron2Model(f"detectron2:{config_name}", model, cfg, _classes(cfg, head.NUM_CLASSES))


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


def _classes(cfg: Any, count: int) -> tuple[str, ...]:
    """The names of the objects that the network finds; numbers where Detectron2 does not know the data set."""
    from detectron2.data import MetadataCatalog

    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        names = MetadataCatalog.get(name).get("thing_classes", ())
        if len(names) == count:
            return tuple(str(each) for each in names)
    return tuple(f"class {index}" for index in range(count))


def _download(zoo: Any, config_name: str) -> Path:
    """The zoo's own weights, from Detectron2's cache or the network."""
    from detectron2.utils.file_io import PathManager

    try:
        return Path(PathManager.get_local_path(zoo.get_checkpoint_url(config_name)))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"cannot download the weights of {config_name} ({one_line(error)}); give a local file with --weights FILE"
        ) from error


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict without what Detectron2 once saved and now takes from the configuration."""
    state = read_zoo_file(path) if path.suffix == ".pkl" else read_state_dict(path)
    return {
        key: value
        for key, value in state.items()
        if key not in ("pixel_mean", "pixel_std") and "anchor_generator.cell_anchors" not in key
    }


def read_zoo_file(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a `.pkl` file of Detectron2's model zoo, read without trusting it.

    Such a file is a pickle of {"model": {name: numpy array}, "__author__": ...}. A pickle can call anything that its
    reader lets it import. This reader imports nothing: the five names that a pickled array consists of stand for small
    classes of this module, every other name is refused, and so only containers, text, numbers and arrays of numbers
    can come out.

    Raises:
        InputError: the file cannot be read, or holds anything else; the message says how to convert it.
    """
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
        state = {str(name): torch.from_numpy(array.value.copy()) for name, array in content["model"].items()}
    except OSError as error:
        raise InputError(f"weights {path} cannot be read: {one_line(error)}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise InputError(
            f"weights {path}: not a file of Detectron2's model zoo ({type(error).__name__}: {one_line(error, 80)}); "
            "if you trust it, load it with Detectron2's DetectionCheckpointer and "
            "torch.save(model.state_dict(), 'FILE.pth')"
        ) from error
    return state


class _PickledDtype:
    """Stands for numpy.dtype in a pickle: numbers in little-endian order only."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"):
            raise pickle.UnpicklingError(f"array of type {code!r}")
        self.value = np.dtype(f"<{code}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError(f"array in byte order {state[1]!r}")


class _PickledArray:
    """Stands for numpy.ndarray in a pickle."""

    value: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        content = data.encode("latin1") if isinstance(data, str) else data  # text where Python 2 wrote it
        self.value = np.frombuffer(content, dtype.value).reshape(shape, order="F" if fortran else "C")


def _empty_array(*_: object) -> _PickledArray:
    """Stands for numpy's function that makes the array whose content follows in the pickle."""
    return _PickledArray()


def _encode(text: str, encoding: str) -> bytes:
    """Stands for codecs.encode, with which old pickles write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """See `read_zoo_file`."""

    _STANDS_FOR = {  # noqa: RUF012
        ("numpy", "dtype"): _PickledDtype,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy._core.multiarray", "_reconstruct"): _empty_array,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name; nothing is imported."""
        if (module, name) not in self._STANDS_FOR:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._STANDS_FOR[module, name]
