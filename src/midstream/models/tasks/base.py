"""What a task is: what outputs are, how far two of them are apart, where a network looks, how outputs are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from midstream.models.detections import Detections
    from midstream.models.tasks.tensors import Tensors

Output: TypeAlias = "Detections | Tensors"
#: 8-bit RGB, [height, width, 3].
Image = NDArray[np.uint8]
Vector = NDArray[np.float32]
OutputT = TypeVar("OutputT")


class Task(ABC, Generic[OutputT]):
    """The meaning of a network's outputs. A task knows nothing of codecs, and no parameters.

    Attributes:
        name: in descriptions, results and messages.
        looks: whether `importance` says anything.
        directed: whether what `moved` returns are vectors of one space, whose angles say something.
    """

    name: ClassVar[str]
    looks: ClassVar[bool] = False
    directed: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @abstractmethod
    def moved(self, reference: OutputT, now: OutputT) -> Vector:
        """How an output differs from the undisturbed one, as a vector whose squared length is the distance."""

    @abstractmethod
    def disagreement(self, references: Sequence[OutputT], now: Sequence[OutputT]) -> float:
        """How far the outputs of several images are from the undisturbed ones together: 0 for equal ones, to 1."""

    def importance(self, output: OutputT, size: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.float32] | None:
        """How much there is in each cell of a grid over an image of (height, width), 0 to 1, [rows, columns].

        None where the task does not say.
        """
        del output, size, grid
        return None

    @abstractmethod
    def fault(self, output: OutputT, classes: int) -> str:
        """What makes an output impossible for a network of so many classes; empty if nothing does."""

    @abstractmethod
    def pack(self, output: OutputT) -> dict[str, NDArray[Any]]:
        """The output as named arrays, to be sent or kept; what scores do not need may be left out."""

    @abstractmethod
    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> OutputT:
        """The output from what `pack` made. Raises InputError for arrays that it cannot have made."""

    def kept(self, output: OutputT) -> OutputT:
        """What of an output has to be held in memory, of many images, to compare it with another one."""
        return self.unpack(self.pack(output))

    @abstractmethod
    def annotate(self, image: Image, output: OutputT, classes: Sequence[str]) -> Image:
        """The image with the output drawn into it, or beside it where it has no place."""

    @abstractmethod
    def listed(self, output: OutputT, classes: Sequence[str], ids: Sequence[int] | None) -> dict[str, Any]:
        """The output for a line of JSON; `ids` are the classes' in the data set, where the network knows them."""
