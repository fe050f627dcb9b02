"""A described ONNX detector, cut at its pyramid and run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.models.base import DerivedLevel, FloatPyramid, Image, shown
from midstream.models.constants import check_names, constants_of
from midstream.models.description import Description
from midstream.models.detector_heads import DetectorHead
from midstream.models.first_layers import first_weights
from midstream.models.graph import cut_graph, graph_hash, load_graph, with_input_shape
from midstream.models.heads import (
    Candidates,
    batched,
    candidates,
    decode_head,
    has_keypoints,
    has_masks,
    output_names,
    proposes,
)
from midstream.models.heads.located import located
from midstream.models.heads.maps import TASKS, decode_outputs, known_tensors
from midstream.models.heads.metadata import refuse_oriented
from midstream.models.levels import to_levels, to_value
from midstream.models.plausible import check_levels, check_outputs
from midstream.models.preprocess import as_type, fitted, layout_of, place, to_tensor
from midstream.models.quantised import check_floats
from midstream.models.running import CPU, session
from midstream.models.task_heads import TensorsHead
from midstream.models.tasks.base import Output, Task
from midstream.models.tasks.detection import Detection, InstanceSegmentation, Keypoints
from midstream.models.tasks.tensors import KnownTensor

#: With so many images the outputs are looked at, or until the network has been sure of something.
_IMAGES = 4


@contextmanager
def _naming(network: Path) -> Iterator[None]:
    """Have errors say which file does not fit its description."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{network}: {error}") from error


class OnnxModel:
    """A SplitModel (see models.base) made of a description and an ONNX file."""

    def __init__(self, description: Description, weights: Path, threads: int | None = None, device: str = CPU) -> None:
        """Read and cut the graph; `threads` and `device` as `load` takes them.

        Raises:
            InputError: an unreadable file, or tensors, inputs or outputs that the graph does not have.
        """
        self.description = description
        self.weights = weights
        graph = load_graph(weights)
        outputs = [output.name for output in graph.graph.output]
        tensors = [level.tensor for level in description.pyramid]
        with _naming(weights):
            refuse_oriented(graph)
            for name in output_names(description.head):
                if name not in outputs:
                    raise unknown("output", name, outputs)
            cut = cut_graph(graph, tensors)
            inputs = [value.name for value in (*cut.front.graph.input, *cut.back.graph.input)]
            asked = [name for name in inputs if name not in {*tensors, *cut.shapes}]
            self._input = check_names(description.constants, description.input.name, list(dict.fromkeys(asked)))
            shape = [dim.dim_value for dim in self._image(cut.front).type.tensor_type.shape.dim]
            self._layout = description.input.layout or layout_of(shape, description.input.channels)
            self._one_shape = bool(cut.shapes)
            if self._one_shape:  # the back asks for shapes, which the description's size fixes
                cut = cut_graph(with_input_shape(graph, self._input, self._shape()), tensors)
            if cut.shapes:
                raise InputError(
                    f"the back asks for a shape of the front, {', '.join(cut.shapes)}, which is not known before an "
                    "image is: give a size, or cut further on"
                )
        self._front_hash = graph_hash(cut.front)
        self._front = session(cut.front, threads, device)
        with _naming(weights):
            check_floats(graph, self._front.get_outputs())
        self._back_hash = graph_hash(cut.back)
        self._back = session(cut.back, threads, device)
        self._unproven = _IMAGES

    def _image(self, front: Any) -> Any:
        """The input that takes the image. Raises InputError where the front has none."""
        found = [value for value in front.graph.input if value.name == self._input]
        if not found:
            raise InputError(f"the tensors of the pyramid do not come from the input '{self._input}'")
        return found[0]

    def _shape(self) -> list[int]:
        """Of the input: [1, 3, height, width], or [1, height, width, 3] where the graph has it so."""
        about = self.description.input
        if about.shape is not None:
            return list(about.shape)
        if not isinstance(about.size, tuple):
            raise InputError('the back asks for the shape of the image: size = "any" is not for this cut')
        return [1, *about.size, about.channels] if self._layout == "NHWC" else [1, about.channels, *about.size]

    def __repr__(self) -> str:
        return shown(self, self.description.input.text, self.description.levels)

    @property
    def name(self) -> str:
        """The description's name."""
        return self.description.name

    @property
    def task(self) -> Task[Any]:
        """What the outputs mean, by the description's head."""
        head = self.description.head
        if not isinstance(head, DetectorHead):
            return TASKS[type(head)]
        if self.has_masks:
            return InstanceSegmentation()
        names = [value.name for value in self._back.get_outputs()]
        return Keypoints() if has_keypoints(head, names) else Detection()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self.description.class_names

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """The classes' ids in the data set, where the description knows them."""
        return self.description.class_ids

    @property
    def has_masks(self) -> bool:
        """Whether the head is one with masks."""
        head = self.description.head
        return isinstance(head, DetectorHead) and has_masks(head)

    @property
    def derived(self) -> Mapping[str, DerivedLevel]:
        """Levels that the description derives from others."""
        strides = {level.name: level.stride or 1 for level in self.description.pyramid}
        return {
            level.name: DerivedLevel(level.derived_from, strides[level.name] // strides[level.derived_from])
            for level in self.description.pyramid
            if level.derived_from is not None
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the front's graph and weights and all of the description that it depends on."""
        parts = {"input", "pyramid", *(["constants"] if self.description.constants else [])}
        described = self.description.model_dump_json(include=parts)
        return hashlib.sha256((self._front_hash + described).encode()).hexdigest()

    @cached_property
    def identity(self) -> str:
        """SHA-256 over both graphs and the whole description."""
        described = self.description.model_dump_json(exclude={"weights"})
        return hashlib.sha256((self._front_hash + self._back_hash + described).encode()).hexdigest()

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the network's input for an image of `size`; of other tensors, see Input.sides."""
        return self.description.input.sides(size)

    @property
    def tensor_shape(self) -> tuple[int, ...] | None:
        """The shape of the arrays that the network takes instead of images; None for one of images."""
        return self.description.input.shape

    @property
    def takes_whole(self) -> bool:
        """Whether what the network takes is whole numbers, as pixels or the ids of tokens."""
        return any("int" in value.type for value in self._front.get_inputs() if value.name == self._input)

    def resized(self, image: Image) -> Image:
        """The image within the network's input, uint8 RGB [h, w, 3]."""
        return fitted(self.description.input, image)

    def front(self, image: Image) -> FloatPyramid:
        """Pyramid of a uint8 RGB image [H, W, 3]."""
        return self.front_resized(self.resized(image), (image.shape[0], image.shape[1]))

    def front_resized(self, image: Image, size: tuple[int, int]) -> FloatPyramid:
        """Pyramid from what `resized` made of an image of (height, width).

        Raises:
            InputError: the network does not run or, with one of the first images, its levels or outputs cannot be
                what the description says (see models.plausible).
        """
        pyramid = self._pyramid(image, size)
        if self._unproven:
            self._unproven = 0 if self._proven(pyramid, size) else self._unproven - 1
        return pyramid

    def _proven(self, pyramid: FloatPyramid, of: tuple[int, int]) -> bool:
        """Whether an image's levels and outputs bear the description out; InputError if they contradict it."""
        outputs, size = self._outputs([pyramid], [of]), self.input_size(of)
        with _naming(self.weights):
            check_levels(self.description.pyramid, pyramid, size)
            if isinstance(self.description.head, DetectorHead):
                return check_outputs(self.description.head, outputs, size, len(self.classes), self.category_ids)
        return True

    def _pyramid(self, image: Image, size: tuple[int, int]) -> FloatPyramid:
        tensor = to_tensor(self.description.input, image, size, self._layout)
        tensors = [level.tensor for level in self.description.pyramid]
        values = self._run(self._front, tensors, {self._input: tensor}, [size])
        pyramid: FloatPyramid = {}
        with _naming(self.weights):
            for level, value in zip(self.description.pyramid, values, strict=True):
                pyramid |= to_levels(level, value)
        for name, derived in self.derived.items():
            if not np.array_equal(derived.compute(pyramid), pyramid[name]):
                raise InputError(
                    f"{self.weights}: level '{name}' is not '{derived.source}' subsampled by {derived.stride}"
                )
        return pyramid

    def back(self, pyramid: FloatPyramid, size: tuple[int, int]) -> Output:
        """The task's output for an image of (height, width) from its pyramid."""
        return self._output(self._outputs([pyramid], [size]), size)

    @property
    def batches(self) -> bool:
        """Whether the first axis of all that enters and leaves the back is free."""
        if self._one_shape:
            return False
        inputs = [value for value in self._back.get_inputs() if value.name not in self.description.constants]
        values = [*inputs, *self._back.get_outputs()]
        shapes = {value.name: value.shape for value in self._back.get_outputs()}
        head = self.description.head
        one_each = batched(head, shapes) if isinstance(head, DetectorHead) else not isinstance(head, TensorsHead)
        return one_each and all(value.shape and not isinstance(value.shape[0], int) for value in values)

    def back_batch(self, pyramids: Sequence[FloatPyramid], sizes: Sequence[tuple[int, int]]) -> list[Output]:
        """Outputs for several images at once, where the graph `batches`."""
        outputs = self._outputs(pyramids, sizes)
        ones = ({name: values[i : i + 1] for name, values in outputs.items()} for i in range(len(pyramids)))
        return [self._output(one, size) for one, size in zip(ones, sizes, strict=True)]

    @property
    def tensors(self) -> tuple[KnownTensor, ...]:
        """Of the task `tensors`, what is known of every output: see `heads.maps.known_tensors`."""
        head = self.description.head
        return known_tensors(head, self._back.get_outputs()) if isinstance(head, TensorsHead) else ()

    def _output(self, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int]) -> Output:
        head, input_size = self.description.head, self.input_size(size)
        if not isinstance(head, DetectorHead):
            at = None if self.tensor_shape is not None else place(self.description.input, size)
            with _naming(self.weights):
                return decode_outputs(head, outputs, input_size, at)
        found = decode_head(head, outputs, input_size, len(self.classes), self.category_ids)
        return located(found, place(self.description.input, size), input_size, size)

    @property
    def proposes(self) -> bool:
        """Whether `candidates` can be asked: a detector whose graph does not select its boxes by itself."""
        names = [value.name for value in self._back.get_outputs()]
        return isinstance(self.description.head, DetectorHead) and proposes(self.description.head, names)

    def candidates(self, pyramid: FloatPyramid) -> Candidates:
        """What a head that `proposes` has before suppression, boxes in pixels of the network's input."""
        size = self._size_of(pyramid)
        assert isinstance(self.description.head, DetectorHead)
        return candidates(self.description.head, self.outputs(pyramid), size, len(self.classes), self.category_ids)

    def back_graph(self) -> onnx.ModelProto:
        """The graph behind the cut, as the file has it."""
        graph = load_graph(self.weights)
        if self._one_shape:
            graph = with_input_shape(graph, self._input, self._shape())
        return cut_graph(graph, [level.tensor for level in self.description.pyramid]).back

    def outputs(self, pyramid: FloatPyramid) -> dict[str, NDArray[Any]]:
        """The graph's outputs by name, as they are."""
        return self._outputs([pyramid], [self._size_of(pyramid)])

    def first_weights(self) -> dict[str, NDArray[np.float64]]:
        """Of each level that only convolutions read first, what multiplies its channels: see `first_layers`."""
        described, back = self.description.pyramid, self.back_graph()
        tensors: dict[str, list[str]] = {}
        for level in described:
            if level.axes is None:  # what is derived from a level is read of that level
                tensors.setdefault(level.derived_from or level.name, []).append(level.tensor)
        found = {name: first_weights(back, of_level) for name, of_level in tensors.items()}
        return {name: weights for name, weights in found.items() if weights is not None}

    def _size_of(self, pyramid: FloatPyramid) -> tuple[int, int]:
        """(height, width) of the input that a pyramid is of."""
        for level in self.description.pyramid:
            if self.description.input.size == "any" and level.stride is not None:
                rows, columns = pyramid[level.name].shape[-2:]
                return rows * level.stride, columns * level.stride
        return self.input_size((1, 1))

    def _outputs(self, pyramids: Sequence[FloatPyramid], sizes: Sequence[tuple[int, int]]) -> dict[str, NDArray[Any]]:
        feeds = {}
        for level in self.description.pyramid:
            values = [to_value(level, pyramid) for pyramid in pyramids]
            feeds[level.tensor] = values[0] if len(values) == 1 else np.concatenate(values)  # one need not be copied
        names = [output.name for output in self._back.get_outputs()]
        found = dict(zip(names, self._run(self._back, names, feeds, sizes), strict=True))
        # Some releases of ONNX Runtime return an input that is also an output without copying it.
        return {name: value.copy() if name in feeds else value for name, value in found.items()}

    def _run(
        self, part: Any, names: list[str], feeds: Mapping[str, NDArray[np.float32]], sizes: Sequence[tuple[int, int]]
    ) -> list[NDArray[Any]]:
        expected = {value.name: value.shape for value in part.get_inputs()}
        for name, value in feeds.items():
            wanted = expected[name]
            fits = len(wanted) == value.ndim and all(
                not isinstance(w, int) or w == g for w, g in zip(wanted, value.shape, strict=True)
            )
            if wanted and not fits:
                raise InputError(f"tensor '{name}' has shape {list(value.shape)}, the network expects {wanted}")
        types = {value.name: value.type for value in part.get_inputs()}
        typed = {name: as_type(value, types[name], name) for name, value in feeds.items()}
        typed |= constants_of(part, self.description.constants, sizes)
        try:
            values: list[NDArray[Any]] = part.run(names, typed)
        except Exception as error:  # ONNX Runtime's exceptions have no common public base
            raise InputError(f"{self.weights}: the network does not run: {str(error).splitlines()[0]}") from error
        return values
