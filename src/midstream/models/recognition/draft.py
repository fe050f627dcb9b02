"""A description of a network made from its ONNX file alone, with all that was found on the way."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from midstream.errors import InputError
from midstream.models.constants import constants_of
from midstream.models.cuts import CutPoint, CutTensor, find_cuts
from midstream.models.description import Description, parse_description
from midstream.models.graph import cut_graph, load_graph
from midstream.models.heads.metadata import Metadata, from_metadata
from midstream.models.input_description import Input
from midstream.models.onnx_model import OnnxModel
from midstream.models.plausible import natural_image, noise, try_out
from midstream.models.preprocess import as_type, fitted, layout_of, to_tensor
from midstream.models.proposals import Proposal, propose, with_bytes, worth_listing
from midstream.models.recognition.anchors import origin_of
from midstream.models.recognition.inputs import Inputs, fixed_batch, recognise_inputs
from midstream.models.recognition.notes import Notes
from midstream.models.recognition.outputs import Outputs, recognise_outputs
from midstream.models.recognition.preprocessing import preprocessing
from midstream.models.recognition.single import endings
from midstream.models.recognition.toml import to_toml
from midstream.models.room import check_room
from midstream.models.running import EndlessError, session
from midstream.models.survey import Survey, survey
from midstream.progress import SILENT, Progress

#: Of a stride, in pixels: what maps of networks have.
_LARGEST_STRIDE = 256
#: Sides of patches of transformers, and tokens that they have besides: of the class, and registers.
_PATCHES = (16, 14, 8, 32, 4)
_MOST_EXTRA = 5
_NAME_CHARACTERS = 200
#: How the note about a guessed size begins.
_OPEN = "the graph leaves its size open"


@dataclass
class Draft:
    """A description, and how it came about.

    Attributes:
        path: of the ONNX file.
        description: what `init` writes.
        task: in words.
        notes: what was recognised, what was guessed, what looks wrong.
        cuts: all complete cuts that were found, those worth a line with an estimate of their bytes.
        proposals: up to three of them; the first is taken where none is asked for.
    """

    path: Path
    description: Description
    text: str
    task: str
    notes: Notes
    cuts: list[CutPoint] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)

    def worth_knowing(self) -> list[str]:
        """What somebody who asked for no description has to know of one that was made in passing."""
        lines = list(self.notes.warnings)
        if self.task == "tensors":
            lines.append("its outputs are of no head that is recognised: what is measured is how far they move")
        return lines + [line for line in self.notes.guessed if line.startswith(_OPEN)]

    def model(self, threads: int | None = None, device: str = "cpu") -> OnnxModel:
        """The network, cut; `threads` and `device` as `models.load` has them."""
        return OnnxModel(self.description, self.path, threads, device)


def draft(
    path: Path,
    at: Sequence[str] = (),
    task: str | None = None,
    size: tuple[int, int] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    estimate: bool = True,
    progress: Progress = SILENT,
    home: Path | None = None,
) -> Draft:
    """Look at an ONNX file and describe it. The network runs a few times on a made image.

    Args:
        path: of the file.
        at: tensors to cut at; the first proposal by default.
        task: one of recognition.outputs.TASKS; what the outputs look like by default.
        size: (height, width) of the input, for a graph that leaves it open.
        shapes: input name -> shape, for a network of something else than images.
        estimate: whether to estimate the bytes of the cuts.
        progress: hears of the stages, which take minutes with large networks.
        home: the folder that the description is for; that of the file by default.

    Raises:
        InputError: no ONNX file, a network that does not run, one without a complete cut, an `at`, a `task` or a `size`
            that does not fit.
    """
    looking = _Look(path, task, size, shapes or {}, progress, home)
    proposals = [] if at and not estimate else propose(looking.cuts)
    cuts = looking.cuts
    if estimate:
        listed = with_bytes(looking.seen, worth_listing(cuts, proposals), looking.feeds, progress)
        sizes = {cut: cut for cut in listed}
        cuts = [sizes.get(cut, cut) for cut in cuts]
        proposals = [Proposal(sizes[each.cut], each.why) for each in proposals]
    if at:
        cut_graph(looking.graph, at)
        tensors = _in_order(looking.seen, at)
    elif proposals:
        tensors = proposals[0].cut.tensors
        looking.notes.warnings += looking.dearer_than_input(proposals[0].cut)
    else:
        why = fixed_batch(looking.inputs.image) or "name one with --at"
        raise InputError(f"{path}: no complete cut of up to six float tensors was found: {why}")
    progress.stage("running its two halves")
    outputs, notes = looking.outputs, looking.notes
    description, text = looking.described(tensors, outputs)
    if outputs.head is not None:
        try:
            try_out(OnnxModel(description, path))
        except InputError as error:
            if task is not None:
                raise
            outputs = Outputs()
            notes.remove(looking.outputs.notes)
            notes.warnings.append(f"the outputs look like {looking.outputs.task}, but {error}: they are `tensors` now")
            description, text = looking.described(tensors, outputs)
    if outputs.head is None:
        try_out(OnnxModel(description, path))
    return Draft(path, description, text, outputs.task, notes, cuts, proposals)


def _in_order(seen: Survey, names: Sequence[str]) -> tuple[CutTensor, ...]:
    tensors = [CutTensor(name, seen.tensors[name].shape) for name in dict.fromkeys(names)]
    return tuple(sorted(tensors, key=lambda tensor: -int(np.prod(tensor.sides or (0, 0)))))


class _Look:
    """One network as it runs on a made image."""

    def __init__(
        self,
        path: Path,
        task: str | None,
        size: tuple[int, int] | None,
        shapes: Mapping[str, Sequence[int]],
        progress: Progress,
        home: Path | None,
    ) -> None:
        progress.stage("running the network")
        self.path, self._home = path, home
        self._progress = progress
        self.graph = load_graph(path)
        self.notes = Notes()
        self.about = self._metadata()
        known = size or (self.about.size if self.about is not None and self._open() else None)
        try:
            self.inputs: Inputs = recognise_inputs(self.graph, known, shapes)
            check_room(self.graph)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        ends, origin = endings(self.graph), origin_of(self.graph, path.stem)
        self.notes.add(self.inputs.notes)
        self._runner = session(self.graph)
        self.fields: dict[str, Any] = {}
        self.size, values = self._running()
        outputs = recognise_outputs(values, self._image_size, self.about, task, ends, origin)
        if self._image_size is not None:  # once more with the image as such a network wants it
            self.fields, notes = self._preprocessing(outputs)
            self.feeds = self._feeds(self.size)
            values = self._run(self.feeds)
            outputs = recognise_outputs(values, self._image_size, self.about, task, ends, origin)
            self.fields, notes = self._preprocessing(outputs)
            self.notes.add(notes)
        self.feeds = self._feeds(self.size)
        self.outputs = outputs
        self.notes.add(outputs.notes)
        self.notes.add(self.inputs.constant_notes(self.size))

    def _preprocessing(self, outputs: Outputs) -> tuple[dict[str, Any], Notes]:
        image, ultralytics = self.inputs.image, self.about.task if self.about is not None else ""
        return preprocessing(self.graph, image.name, image.dtype, self.inputs.channels, outputs.kind, ultralytics)

    def _metadata(self) -> Metadata | None:
        try:
            found = from_metadata(self.graph)
        except InputError as error:
            self.notes.warnings.append(str(error))
            return None
        if found is not None:
            words = found.description or "Ultralytics' metadata"
            self.notes.recognised.append(f"{words}: task {found.task}, {len(found.names)} classes")
        return found

    def _open(self) -> bool:
        return any(
            not dim.dim_value
            for value in self.graph.graph.input
            for dim in list(value.type.tensor_type.shape.dim)[1:]
        )  # fmt: skip

    @property
    def _image_size(self) -> tuple[int, int] | None:
        return None if self.inputs.shape is not None else self.size

    def dearer_than_input(self, cut: CutPoint) -> list[str]:
        """A warning where an array that is no image takes fewer bytes than what is made of it."""
        own = math.prod(self.inputs.shape or ()) * np.dtype(self.inputs.image.dtype).itemsize
        if self.inputs.shape is None or cut.bytes is None or cut.bytes <= own:
            return []
        return [f"the cut takes about {cut.bytes:,} bytes and the input itself {own:,}: sending that is cheaper"]

    @property
    def _steps(self) -> int | None:
        """Of a network that takes a sequence of whole numbers, such as the ids of tokens: how many."""
        shape = self.inputs.shape
        return shape[1] if shape is not None and len(shape) == 2 and "int" in self.inputs.image.dtype else None

    def _running(self) -> tuple[tuple[int, int], dict[str, NDArray[Any]]]:
        """The first size that the network runs at, and its outputs there."""
        sizes = self.inputs.sizes or [(1, 1)]
        failed: InputError | None = None
        for size in sizes:
            try:
                values = self._run(self._feeds(size))
            except InputError as error:
                if isinstance(error.__cause__, EndlessError):
                    raise
                failed = failed or error
                continue
            if len(sizes) > 1:
                self.notes.guessed.append(
                    f"{_OPEN}: {size[1]}x{size[0]} (width x height) is taken; say another with midstream init --size, "
                    'or size = "any" in the description for each image at its own'
                )
            return size, values
        assert failed is not None
        if len(sizes) == 1:
            raise failed
        tried = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise InputError(
            f"{failed}; it leaves its size open, and none of {tried} fits: say which with "
            "midstream init --size WIDTHxHEIGHT"
        )

    def _input(self, size: tuple[int, int]) -> Input:
        first = {"color": "gray"} if self.inputs.channels == 1 else {}
        whole = self.inputs.image.dtype in ("uint8", "int8")
        try:
            if self.inputs.shape is not None:
                return Input(shape=self.inputs.shape)
            return Input(size=size, **(self.fields or {**first, "scale": 1.0 if whole else 1 / 255}))
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise InputError(f"input '{self.inputs.image.name}' cannot be described: {why}") from error

    def _feeds(self, size: tuple[int, int]) -> dict[str, NDArray[Any]]:
        """All inputs, of a made image or of noise."""
        about, name = self._input(size), self.inputs.image.name
        kinds = {value.name: value.type for value in self._runner.get_inputs()}
        if self.inputs.shape is not None:
            value: NDArray[Any] = noise(self.inputs.shape, "int" in kinds[name])
        else:
            image = natural_image(*size)
            value = to_tensor(about, fitted(about, image), size, self.inputs.layout or "NCHW")
            if self.inputs.image.dtype == "int8" and not self.fields:
                value = np.clip(value - 128, -128, 127)
        given = constants_of(self._runner, self.inputs.constants(size), [size])
        return {name: as_type(value, kinds[name], name), **given}

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [value.name for value in self._runner.get_outputs()]
        try:
            check_room(self.graph, {name: value.shape for name, value in feeds.items()})
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error
        try:
            values = self._runner.run(names, dict(feeds))
        except Exception as error:  # ONNX Runtime's exceptions have no common public base
            raise InputError(f"{self.path}: the network does not run: {str(error).splitlines()[0]}") from error
        return {name: value for name, value in zip(names, values, strict=True) if isinstance(value, np.ndarray)}

    @cached_property
    def seen(self) -> Survey:
        """The graph as it ran."""
        return survey(self.graph, self.inputs.image.name, self.feeds, self._progress)

    @cached_property
    def cuts(self) -> list[CutPoint]:
        """All of them."""
        return find_cuts(self.seen, progress=self._progress)

    def described(self, tensors: Sequence[CutTensor], outputs: Outputs) -> tuple[Description, str]:
        """The description with these levels and outputs, and its text."""
        values: dict[str, Any] = {"name": _printable(self.path.stem)}
        if outputs.classes:
            values["classes"] = outputs.classes if isinstance(outputs.classes, str) else list(outputs.classes)
        values["weights"] = {"file": _path_from(self._home, self.path)}
        values["input"] = {"name": self.inputs.image.name, **self._input_fields()}
        if self.inputs.others:
            values["constants"] = self.inputs.constants(self.size)
        values["pyramid"] = levels(tensors, self._image_size, self._steps)
        if outputs.head is not None:
            values["head"] = outputs.head
        text = to_toml(values, self._comments(outputs))
        return parse_description(text, f"{self.path.stem}.toml"), text

    def _input_fields(self) -> dict[str, Any]:
        if self.inputs.shape is not None:
            return {"shape": list(self.inputs.shape)}
        fields: dict[str, Any] = {"size": list(self.size), **self.fields}
        if layout_of(list(self.inputs.image.shape or ()), self.inputs.channels) != self.inputs.layout:
            fields["layout"] = self.inputs.layout
        return fields

    def _comments(self, outputs: Outputs) -> list[str]:
        return [
            f"Made by `midstream init` from {self.path.name}; task {outputs.task}. What was guessed is to be checked.",
            *(f"Recognised: {each}." for each in self.notes.recognised),
            *(f"Guessed: {each}." for each in self.notes.guessed),
            *(f"Warning: {each}." for each in self.notes.warnings),
        ]


def levels(
    tensors: Sequence[CutTensor], size: tuple[int, int] | None, steps: int | None = None
) -> list[dict[str, Any]]:
    """The tables [[pyramid]]: p3, p4, ... by the logarithms of strides, or f1, f2, ... where these are none.

    Args:
        tensors: of the cut.
        size: (height, width) of the image; None for a network of something else.
        steps: how many tokens a network of text takes.
    """
    strides = [None if size is None else _stride(tensor.sides, size) for tensor in tensors]
    powers = [None if s is None or s & (s - 1) else s.bit_length() - 1 for s in strides]
    named = None not in powers and len(set(powers)) == len(powers)
    found = []
    for i, (tensor, stride, power) in enumerate(zip(tensors, strides, powers, strict=True), start=1):
        table: dict[str, Any] = {"name": f"p{power}" if named else f"f{i}", "tensor": tensor.name}
        found.append(table | ({"stride": stride} if stride is not None else axes_of(tensor, size, steps)))
    return found


def axes_of(tensor: CutTensor, size: tuple[int, int] | None, steps: int | None = None) -> dict[str, Any]:
    """What the axes are of a tensor that is no map: tokens of an image, with their grid, a sequence, a vector."""
    shape = tensor.shape
    if len(shape) == 2:
        return {"axes": "1C"}
    if len(shape) != 3:
        return {}
    for patch in _PATCHES if size is not None else ():
        assert size is not None
        grid = -(-size[0] // patch), -(-size[1] // patch)
        for axes, tokens in (("1NC", shape[1]), ("1CN", shape[2])):
            extra = tokens - grid[0] * grid[1]
            if 0 <= extra <= _MOST_EXTRA < tokens:
                return {"axes": axes, "grid": list(grid), **({"extra": extra} if extra else {})}
    if size is None and shape[1] == steps:
        return {"axes": "1TC"}
    return {"axes": "1CT" if size is None or shape[1] < shape[2] else "1NC"}


def _stride(sides: tuple[int, int] | None, size: tuple[int, int]) -> int | None:
    """Pixels a cell; None for what is no map of the image."""
    if sides is None:
        return None
    possible = [1 << power for power in range(_LARGEST_STRIDE.bit_length())]
    possible += [stride for stride in range(1, _LARGEST_STRIDE) if stride not in possible]
    fits = (s for s in possible if all(-(-side // s) == cells for side, cells in zip(size, sides, strict=True)))
    return next(fits, None)


def _path_from(folder: Path | None, file: Path) -> str:
    """How a file is found from a folder: by its name alone in its own. Raises InputError."""
    folder = file.parent if folder is None else folder
    found = Path(os.path.relpath(file.parent.resolve(), folder.resolve()), file.name).as_posix()
    if not found.isprintable():
        raise InputError(f"{file}: no description can have this name, which has control characters: rename the file")
    return found


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:_NAME_CHARACTERS] or "network"
