"""Names for networks: the descriptions in the package, description files, and the torch adapters."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from midstream.errors import InputError, unknown
from midstream.models.base import SplitModel
from midstream.models.description import Description, parse_description, read_description
from midstream.models.onnx_model import OnnxModel
from midstream.models.plausible import try_out
from midstream.models.running import CPU

#: Networks of torchvision, in the adapter midstream.models.torchvision_models.
TORCHVISION = ("maskrcnn-r50-fpn", "fasterrcnn-r50-fpn")
DETECTRON2_PREFIX = "detectron2:"
ASSETS_VARIABLE = "MIDSTREAM_ASSETS"
#: Where a checkout of the project has real material beside it.
_DEFAULT_ASSETS = "../shared/assets"


#: What comes with the package: weights of the project's own network, and its profile.
SHIPPED = Path(str(resources.files("midstream.models"))) / "weights"


@dataclass(frozen=True)
class ModelInfo:
    """One line of `midstream models`; `weights` is the file that would be used, None when it is nowhere."""

    name: str
    kind: str
    input: str
    pyramid: str
    weights: str | None
    source: str


def descriptions() -> dict[str, Description]:
    """The descriptions that ship with the package, by name."""
    folder = resources.files("midstream.models").joinpath("descriptions")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    found = [parse_description(f.read_text("utf-8"), f.name) for f in files]
    return {description.name: description for description in found}


def known_models() -> list[ModelInfo]:
    """All that `--model` knows by name."""
    infos = []
    for name, description in descriptions().items():
        path = next((p for p in _places(description) if p.is_file()), None)
        infos.append(
            ModelInfo(
                name, description.head.kind, description.input.text, description.levels, str(path) if path else None,
                f"{description.weights.file}: {description.weights.source}",
            )
        )  # fmt: skip
    levels = "0/4 1/8 2/16 3/32 pool/64 (derived)"
    infos += [ModelInfo(name, "torch", "800..1333", levels, None, "torchvision") for name in TORCHVISION]
    source = "Detectron2, by config name: detectron2:Cityscapes/mask_rcnn_R_50_FPN.yaml"
    infos.append(ModelInfo(f"{DETECTRON2_PREFIX}CONFIG", "torch", "by config", "p2/4 .. p6/64 (derived)", None, source))
    return infos


_LOG = logging.getLogger("midstream")


def load_model(
    name: str | Path, weights: str | Path | None = None, threads: int | None = None, device: str = CPU
) -> SplitModel:
    """A network by name, by the path of a description file ending in .toml, or by that of an ONNX file whose input,
    head and cut are recognised as `midstream init` does it; it is tried out once.

    >>> model = ms.load_model("streets-r16")                     # see `midstream models`
    >>> model
    <network streets-r16: instance segmentation, 8 classes (person, rider, ...), input 512x256, cut at p2/4 ... p6/64>
    >>> pyramid = model.front(image)                             # uint8 RGB [H, W, 3] -> {"p2": float32 [C, h, w], ...}
    >>> found = model.back(pyramid, image.shape[:2])             # what its task is about: boxes, scores, labels, masks

    Args:
        name: see `midstream models`.
        weights: the ONNX file (or torch state dict) to use instead of looking for it.
        threads: how many the network uses, all cores by default. torch has one such number for the whole process.
        device: of an ONNX network, cpu or cuda; results differ in the last bits.

    Raises:
        InputError: an unknown name, a bad description, weights that are nowhere (the message says where it looked), or
            a network whose outputs cannot be what the description says (see models.plausible).
        MissingExtraError: a torch network without torch.
    """
    network = _load(str(name), None if weights is None else Path(weights), threads, device)
    try_out(network)
    return network


#: By its name within `midstream.models`.
load = load_model


def _load(name: str, weights: Path | None, threads: int | None, device: str) -> SplitModel:
    if device != CPU and (name in TORCHVISION or name.startswith(DETECTRON2_PREFIX)):
        raise InputError(f"{name} runs on the CPU; {device} is for ONNX networks")
    if name in TORCHVISION:
        from midstream.models.torchvision_models import load_torchvision

        _use_torch_threads(threads)
        return load_torchvision(name, weights)
    if name.startswith(DETECTRON2_PREFIX):
        from midstream.models.detectron2_models import load_detectron2

        _use_torch_threads(threads)
        return load_detectron2(name.removeprefix(DETECTRON2_PREFIX), weights)
    if name.lower().endswith(".onnx"):
        if weights is not None:
            raise InputError(f"{name} has its weights in it: leave --weights out")
        from midstream.models.recognition import draft  # analyses graphs, which nothing else here does

        drafted = draft(Path(name), estimate=False)
        for line in drafted.worth_knowing():
            _LOG.warning("%s: %s", name, line)
        return drafted.model(threads, device)
    if name.endswith(".toml"):
        description, beside = read_description(Path(name)), Path(name).parent
        return OnnxModel(description, find_weights(description, weights, beside), threads, device)
    shipped = descriptions()
    if name not in shipped:
        raise unknown(
            "model", name, [*shipped, *TORCHVISION, f"{DETECTRON2_PREFIX}CONFIG", "FILE.toml", "FILE.onnx"], limit=12
        )
    return OnnxModel(shipped[name], find_weights(shipped[name], weights), threads, device)


def _use_torch_threads(threads: int | None) -> None:
    from midstream.models.torch_common import use_threads

    use_threads(threads)


def find_weights(description: Description, weights: Path | None, beside: Path | None = None) -> Path:
    """The ONNX file: as given, else beside its description file, in the package, in $MIDSTREAM_ASSETS/models or the
    user's cache."""
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"{weights}: no such file")
        return weights
    places = _places(description, beside)
    for place in places:
        if place.is_file():
            return place
    source = description.weights.source
    raise InputError(
        f"the weights of {description.name} are nowhere: looked for {', '.join(str(p) for p in places)}; "
        + (f"the file comes from {source}; " if source else "")
        + "give it with --weights FILE"
    )


def _places(description: Description, beside: Path | None = None) -> list[Path]:
    file = description.weights.file
    folders = [
        SHIPPED,
        Path(os.environ.get(ASSETS_VARIABLE) or _DEFAULT_ASSETS) / "models",
        Path.home() / ".cache" / "midstream" / "models",
    ]
    return [*([beside / file] if beside is not None else []), *(folder / Path(file).name for folder in folders)]
