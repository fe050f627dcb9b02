"""What the adapters of torchvision and Detectron2 share: weights files, fingerprints, pyramids and masks as arrays."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from midstream.errors import InputError, MissingExtraError
from midstream.models.base import FloatPyramid

try:
    import torch
    from safetensors.torch import load_file
except ImportError as error:
    raise MissingExtraError("a torch network", "torch") from error

#: In the place of a weights file: random weights, the same every time.
RANDOM = "random"
#: What makes them the same.
SEED = 20


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of a `.pth` or `.pt` file of tensors only, on the CPU.

    Raises:
        InputError: the file cannot be read, is of another kind, or holds objects other than tensors (reading which
            could run code).
    """
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise InputError(f"weights {path}: unknown kind of file '{path.suffix}'; valid: .pth, .pt, .safetensors")
    content: Any
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on how the file was pickled
            content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch's own errors have no common base
        raise InputError(f"weights {path} cannot be read, or hold more than tensors: {one_line(error)}") from error
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


def use_threads(threads: int | None) -> None:
    """Let torch use so many threads in the whole process; None leaves it as it is."""
    if threads is not None:
        torch.set_num_threads(threads)


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
