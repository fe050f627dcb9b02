"""What the rest of the project knows of a network: a front, a back, and what they exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from midstream.models.tasks.base import Image as Image
from midstream.models.tasks.base import Output, Task

if TYPE_CHECKING:
    from midstream.models.heads.nms import Candidates

#: Level name -> float32 [channels, height, width], finest first.
FloatPyramid = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class DerivedLevel:
    """A level that is recomputed instead of sent: `source` subsampled by `stride` from its first element on.

    The P6 of an R-CNN pyramid is such a level: P5 with every second row and column
    (torchvision `LastLevelMaxPool`, Detectron2 `LastLevelMaxPool`: a 1x1 max pooling with stride 2).
    """

    source: str
    stride: int = 2

    def compute(self, pyramid: FloatPyramid) -> NDArray[np.float32]:
        """The level, [C, ceil(H / stride), ceil(W / stride)], from the pyramid that holds `source`."""
        return np.ascontiguousarray(pyramid[self.source][:, :: self.stride, :: self.stride])


def shown(model: SplitModel, input: str, cut: str) -> str:
    """What `repr` says of a network: its task, its classes, its input and where it is cut."""
    first = ", ".join([*model.classes[:2], *(["..."] if len(model.classes) > 2 else [])])
    classes = f"{len(model.classes)} classes ({first}), " if model.classes else ""
    return f"<network {model.name}: {model.task.name}, {classes}input {input}, cut at {cut}>"


def takes_arrays(model: SplitModel) -> bool:
    """Whether a network takes arrays of one shape instead of images."""
    return getattr(model, "tensor_shape", None) is not None


class SplitModel(Protocol):
    """A network cut in two at its feature pyramid.

    Attributes:
        name: as listed by `midstream models`, or the description's file.
        task: what the outputs of `back` mean.
        classes: the class names that labels and scores index; empty where there are none.
        category_ids: the ids of these classes in the data set that the network was trained for; None where unknown.
        has_masks: whether `back` returns masks.
        derived: the levels that are recomputed from others instead of sent.
        fingerprint: a hash of all that determines the front's output (weights, cut, preprocessing); keys caches.
        identity: a hash of all that determines the outputs, back and head included; keys results.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> Task[Any]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def category_ids(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def has_masks(self) -> bool: ...  # noqa: D102
    @property
    def derived(self) -> Mapping[str, DerivedLevel]: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the network works at for an image of `size` (height, width)."""
        ...

    def resized(self, image: Image) -> Image:
        """The image at the size that it has within the network's input, padding left out: 8-bit RGB."""
        ...

    def front_resized(self, image: Image, size: tuple[int, int]) -> FloatPyramid:
        """What `front` returns, from what `resized` made of an image whose original size was (height, width)."""
        ...

    def front(self, image: Image) -> FloatPyramid:
        """All levels of the pyramid of one image, finest first, derived levels included."""
        ...

    def back(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Output:
        """The task's output from a pyramid (derived levels included) of an image of originally (height, width)."""
        ...


@runtime_checkable
class ProposingModel(SplitModel, Protocol):
    """A network whose head may be asked before suppression."""

    @property
    def proposes(self) -> bool:
        """Whether it can: a detector whose graph does not suppress by itself."""
        ...

    def candidates(self, pyramid: FloatPyramid) -> Candidates:
        """What the head proposes, boxes in pixels of the network's input."""
        ...


@runtime_checkable
class TransparentModel(SplitModel, Protocol):
    """A network whose first layers behind the cut can be looked at."""

    def first_weights(self) -> Mapping[str, NDArray[np.float64]]:
        """What multiplies the channels of a level first, [weights, C], of levels that only convolutions read."""
        ...


@runtime_checkable
class BatchingModel(SplitModel, Protocol):
    """A network whose back can take several images at once."""

    @property
    def batches(self) -> bool:
        """Whether the cut graph's first axis is free."""
        ...

    def back_batch(self, pyramids: Sequence[FloatPyramid], sizes: Sequence[tuple[int, int]]) -> list[Output]:
        """What `back` returns, of pyramids of equal shapes; the last bits may differ from those of single runs."""
        ...
