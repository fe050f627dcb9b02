"""Cutting a network of one's own: an ONNX file, or a torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midstream.errors import InputError
from midstream.models.base import SplitModel
from midstream.models.input_description import Input
from midstream.models.plausible import trial, try_out
from midstream.models.tasks import Tensors, task_named
from midstream.models.tasks.function import Compared, FunctionTask
from midstream.models.tasks.tensors import squared_errors

if TYPE_CHECKING:
    from midstream.models.torch_model import Postprocess, Preprocess, TorchModel

#: Squared error over squared length that two halves may have beside the whole: other orders of the same sums.
_ROUNDING = 1e-6


def split(
    model: Any,
    at: Sequence[str] = (),
    *,
    preprocess: Input | Preprocess | None = None,
    task: str | Compared | None = None,
    metric: Compared | None = None,
    postprocess: Postprocess | None = None,
    classes: Sequence[str] = (),
    axes: str | Mapping[str, str] = "",
    grid: tuple[int, int] | None = None,
    extra: int = 0,
    name: str | None = None,
) -> SplitModel:
    """Cut a network in two; the result goes wherever a network does: `calibrate`, `evaluate`, `serve.Edge`.

    A torch module is cut at submodules. Its front runs up to them, and its back runs the same module with what was
    decoded in their place (see `models.TorchSplit`); the module itself stays as it is.

    >>> model = ms.split(
    ...     module,                                            # any torch.nn.Module
    ...     at=["layer3"],                                     # as in module.named_modules()
    ...     preprocess=ms.models.Input(size=(224, 224), scale=1 / 255),
    ...     task="classification",
    ... )
    >>> pyramid = model.front(image)                           # uint8 RGB [H, W, 3] -> {"layer3": float32 [C, h, w]}
    >>> scores = model.back(pyramid, image.shape[:2]).values["scores"]              # float32 [classes]
    >>> profile = ms.calibrate(model, "photos")

    Tokens [1, N, C] of a transformer, whose distance is measured by a function:

    >>> model = ms.split(
    ...     transformer,
    ...     at=["blocks.5"],
    ...     grid=(14, 14), extra=1,                            # a class token, then 14 x 14 patches
    ...     preprocess=lambda image: transform(image)[None],   # -> what the module's forward takes
    ...     task=lambda before, now: 1 - float(before @ now),  # 0 for equal outputs, to 1
    ... )

    An ONNX file is cut at tensors. Its input and its outputs are recognised as `midstream init` does it:

    >>> model = ms.split("best.onnx", at=["p3", "p4", "p5"])

    Args:
        model: a torch.nn.Module, or the path of an ONNX file.
        at: submodules that run once an image, none inside another, each returning a tensor with a batch of one (maps,
            tokens, a vector), or a dict, list or tuple of them; of an ONNX file tensors, or nothing for the first of
            the cuts that `midstream split` lists.
        preprocess: of a torch module: `models.Input`, or a function from an image, uint8 RGB [H, W, 3], to what its
            forward takes: a tensor or array, a tuple of arguments, a dict of named ones, each with a batch of one.
        task: what the outputs are: `tensors` (of any meaning), `classification`, `semantic segmentation`, `depth`,
            `embedding`, or, with `postprocess`, a detector's; of a torch module also a function of two outputs, the
            one before and the one now, that says how far they are apart, from 0 to 1. Each is an array without the
            batch's axis, or a dict of such where there are several. By default `tensors`; of an ONNX file what is
            recognised.
        metric: with a function for the task, what evaluations report: a function of two outputs, 1 for equal ones; by
            default 1 less the task's.
        postprocess: a function from what the module returns, and the image's (height, width), to what counts: an array,
            a dict of arrays, or `models.Detections`.
        classes: names, by index.
        axes: what the axes of levels are, a letter each as `midstream.Tensor` has them, where they are not maps
            [1, C, H, W], tokens [1, N, C] or vectors [1, C]: "1HWC", or by level.
        grid: (rows, columns) of tokens that are patches of an image.
        extra: so many tokens come before these.
        name: of the network, which its profile tells; by default that of the module's class.

    Returns:
        The network. Maps are coded as they are; tokens are a map where there is a grid, the extra ones beside it, and
        a row of positions where there is none.

    Raises:
        InputError: there is nothing of the name to cut at, more crosses the cut than what is cut (the two halves do not
            give what the whole gives), or outputs that are not the task's.
        MissingExtraError: a torch module without the extra `torch`.
    """
    about = {"metric": metric, "postprocess": postprocess, "classes": classes, "axes": axes, "grid": grid,
             "extra": extra, "name": name, "preprocess": preprocess}  # fmt: skip
    if isinstance(model, str | Path):
        return _of_onnx(Path(model), at, task, [key for key, value in about.items() if value])
    if preprocess is None:
        raise InputError(
            "say with `preprocess` how an image becomes the network's input: midstream.models.Input(...), or a "
            "function from uint8 RGB [H, W, 3]"
        )
    if metric is not None and not callable(task):
        raise InputError("a metric goes with a function for the task")
    from midstream.models.torch_model import TorchModel
    from midstream.models.torch_split import TorchSplit

    meant = FunctionTask(task, metric) if callable(task) else task_named(task or "tensors")
    cut = TorchSplit(model, at, axes=axes, grid=grid, extra=extra)
    network = TorchModel(cut, model, preprocess, meant, postprocess, classes, name or type(model).__name__)
    try_out(network)
    _check_halves(network)
    return network


def _of_onnx(path: Path, at: Sequence[str], task: str | Compared | None, others: Sequence[str]) -> SplitModel:
    """The cut graph; `others` are arguments that are not for it."""
    if others:
        raise InputError(f"{others[0]} is for torch modules: of an ONNX file a description says it (midstream init)")
    if callable(task):
        raise InputError("a function for the task is for torch modules: name the task of an ONNX file")
    from midstream.models.recognition import draft  # analyses graphs, which nothing else here does

    return draft(path, [at] if isinstance(at, str) else at, task, estimate=False).model()


def _check_halves(network: TorchModel) -> None:
    """Refuse a cut beside which something else crosses. Raises InputError."""
    image = trial(network)
    whole, halves = network.whole(image), network.back(network.front(image), image.shape[:2])
    if isinstance(whole, Tensors) and isinstance(halves, Tensors):
        errors = squared_errors(whole, halves)
        apart = float(np.max(errors[:, 0] / np.maximum(errors[:, 1], 1e-30), initial=0))
    else:
        apart = network.task.disagreement([whole], [halves])
    if apart > _ROUNDING:
        raise InputError(
            "the two halves do not give what the whole network gives: behind the cut it uses the input itself, or what "
            "was computed of it before the cut; cut further on, or at more submodules"
        )
