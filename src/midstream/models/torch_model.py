"""A torch network of anybody's, cut at its submodules, as the rest of the project knows networks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError
from midstream.images import check_image
from midstream.layout import Layout, Tensor
from midstream.models.base import DerivedLevel, FloatPyramid, Image, shown
from midstream.models.input_description import Input
from midstream.models.plausible import natural_image
from midstream.models.preprocess import fitted, place, to_tensor
from midstream.models.tasks.base import Output, Task
from midstream.models.tasks.detection import InstanceSegmentation
from midstream.models.tasks.function import FunctionTask
from midstream.models.torch_common import hash_model
from midstream.models.torch_outputs import read_output
from midstream.models.torch_split import TorchSplit

try:
    import torch
except ImportError as error:
    raise MissingExtraError("a torch network", "torch") from error

Size = tuple[int, int]
#: From an image, uint8 RGB [H, W, 3], to what the network's forward takes: a tensor, a tuple of arguments, a dict of
#: named ones.
Preprocess = Callable[[Image], Any]
#: From what the network returns, and the image's (height, width), to Detections, an array, or arrays by name.
Postprocess = Callable[[Any, Size], Any]
#: By which preprocessing is known again: (height, width) of an image, and numbers that are drawn from what it becomes.
_KNOWN_BY, _DRAWN = (96, 128), 4
#: Of the inputs for images of different sizes, whose shapes the back is told.
_MOST_SIZES = 64


class TorchModel:
    """A SplitModel (see models.base) made of a torch module; `midstream.split` makes it."""

    has_masks: bool
    category_ids: tuple[int, ...] | None = None
    derived: Mapping[str, DerivedLevel] = {}

    def __init__(
        self,
        split: TorchSplit,
        module: torch.nn.Module,
        preprocess: Input | Preprocess,
        task: Task[Any],
        postprocess: Postprocess | None,
        classes: Sequence[str],
        name: str,
    ) -> None:
        """Around a split of the module; the other arguments are `midstream.split`'s."""
        self.name, self.task, self.classes = name, task, tuple(classes)
        self.has_masks = isinstance(task, InstanceSegmentation)
        self._split, self._module = split, module
        self._preprocess, self._postprocess = preprocess, postprocess
        self._shapes: dict[Size, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self._layouts: dict[str, Layout | None] = {}
        #: Of the first image, which `midstream.split` makes: the same one for everybody.
        self._at: dict[str, str] = {}

    def __repr__(self) -> str:
        if isinstance(self._preprocess, Input):
            text = self._preprocess.text
        else:
            text = f"by {getattr(self._preprocess, '__name__', type(self._preprocess).__name__)}"
        return shown(self, text, " ".join(f"{name}{shape}" for name, shape in self._at.items()))

    @property
    def tensor_shape(self) -> tuple[int, ...] | None:
        """The shape of the arrays that the network takes instead of images; None for one of images."""
        return self._preprocess.shape if isinstance(self._preprocess, Input) else None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights, the cut, and what preprocessing makes of an image.

        The latter are weighted sums to four digits, which do not depend on the last bits, and so on the machine.
        """
        facts: list[object] = [self._split, sorted(self._at.items())]
        if isinstance(self._preprocess, Input):
            facts.append(self._preprocess.model_dump_json())
        else:
            inputs, named = self._inputs(natural_image(*_KNOWN_BY))
            for value in (*inputs, *(named[key] for key in sorted(named))):
                facts += _about(value)
        return hash_model(self._module, *facts)

    @cached_property
    def identity(self) -> str:
        """The fingerprint and the task. Functions are not known again: with them nobody resumes a calibration."""
        own = self._postprocess is not None or isinstance(self.task, FunctionTask)
        return f"{self.fingerprint} {self.task.name} {uuid.uuid4().hex if own else ''}"

    def input_size(self, size: Size) -> Size:
        """(height, width) of the network's first input with four axes for an image of `size`; else that size."""
        if isinstance(self._preprocess, Input):
            return self._preprocess.sides(size)
        inputs, named = self._blank(size)
        sides = (value.shape[-2:] for value in (*inputs, *named.values()) if getattr(value, "ndim", 0) == 4)
        found = next(sides, size)
        return int(found[0]), int(found[1])

    def resized(self, image: Image) -> Image:
        """The image within the network's input; as it is where only a function knows how. Raises InputError."""
        return fitted(self._preprocess, image) if isinstance(self._preprocess, Input) else check_image(image)

    def front(self, image: Image) -> FloatPyramid:
        """Levels, float32 [C, h, w], of a uint8 RGB image [H, W, 3]; tokens are maps, or rows of positions."""
        return self.front_resized(self.resized(image), (image.shape[0], image.shape[1]))

    def front_resized(self, image: Image, size: Size) -> FloatPyramid:
        """See SplitModel."""
        inputs, named = self._inputs(image, size)
        pyramid: FloatPyramid = {}
        for name, value in self._split.front(*inputs, **named).items():
            layout = value.named(name) if isinstance(value, Tensor) else None
            levels = value.levels() if isinstance(value, Tensor) else [value]
            names = (name,) if layout is None else layout.level_names
            self._layouts[name] = layout
            pyramid |= {each: _array(level) for each, level in zip(names, levels, strict=True)}
        if not self._at:
            self._at = {name: str(list(values.shape)).replace(" ", "") for name, values in pyramid.items()}
        return pyramid

    def back(self, pyramid: FloatPyramid, size: Size) -> Output:
        """The task's output for an image of (height, width) from its pyramid."""
        inputs, named = self._blank(size)
        arrays = {name: self._joined(name, pyramid) for name in self._layouts}
        return self._read(self._split.back(arrays, *inputs, **named), size)

    def whole(self, image: Image) -> Output:
        """What the network gives in one piece."""
        size = (image.shape[0], image.shape[1])
        inputs, named = self._inputs(self.resized(image), size)
        return self._read(self._split.whole(*inputs, **named), size)

    def _read(self, output: Any, size: Size) -> Output:
        if self._postprocess is not None:
            output = self._postprocess(output, size)
        at = None
        if isinstance(self._preprocess, Input) and self._preprocess.shape is None:
            at = place(self._preprocess, size)
        return read_output(self.task, output, self.input_size(size) if at is not None else size, at)

    def _joined(self, name: str, pyramid: Mapping[str, Any]) -> NDArray[Any]:
        layout = self._layouts[name]
        names = (name,) if layout is None else layout.level_names
        if missing := [each for each in names if each not in pyramid]:
            raise InputError(f"the pyramid has no level '{missing[0]}'; it has {', '.join(pyramid)}")
        levels = [np.asarray(pyramid[each]) for each in names]
        if layout is None:
            return levels[0]
        if fault := layout.fault([level.shape if level.ndim == 3 else None for level in levels]):
            raise InputError(fault)
        return np.asarray(layout.array(levels))

    def _blank(self, size: Size) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs for an image of this size, whose content nobody looks at."""
        if size not in self._shapes:
            if len(self._shapes) >= _MOST_SIZES:
                self._shapes.clear()
            shape = self.tensor_shape
            nothing = np.zeros((*size, 3) if shape is None else shape, np.uint8)
            self._shapes[size] = self._inputs(self.resized(nothing), size)
        return self._shapes[size]

    def _inputs(self, image: Image, size: Size | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the network's forward, by position and by name, where the network is."""
        first = next(iter(self._module.parameters()), torch.zeros(0))
        if isinstance(self._preprocess, Input):
            values = torch.from_numpy(to_tensor(self._preprocess, image, size or (image.shape[0], image.shape[1])))
            return (values.to(first.device, first.dtype),), {}
        made = self._preprocess(image)
        if isinstance(made, Mapping):
            return (), {str(name): _placed(value, first.device) for name, value in made.items()}
        return tuple(_placed(value, first.device) for value in (made if isinstance(made, tuple) else (made,))), {}


def _placed(value: Any, device: torch.device) -> Any:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, list):
        return [_placed(each, device) for each in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _array(level: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(level.detach().float().cpu().contiguous().numpy())


def _about(value: Any) -> list[object]:
    """An input's shape, type and a few weighted sums of it."""
    if isinstance(value, list):
        return [each for one in value for each in _about(one)]
    if not isinstance(value, torch.Tensor):
        return [value]
    numbers = _array(value).reshape(-1).astype(np.float64)
    weights = np.random.default_rng(len(numbers)).normal(size=(_DRAWN, len(numbers)))
    scale = max(float(np.linalg.norm(numbers)), 1e-30)
    return [list(value.shape), str(value.dtype), f"{scale:.3e}", [f"{each:.3f}" for each in weights @ numbers / scale]]
