"""A detector of two stages in torch (Mask R-CNN, He et al. 2017, arXiv:1703.06870), for regions that it found itself.

Which regions are looked at has no gradient. What its heads make of given regions has one: so the graph is taken apart
where it pools them, and the regions are those that it finds behind levels as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.nn import functional

from midstream.calibration.training.backs import Maps, TorchBack, TorchGraph, folded
from midstream.calibration.training.distance import BOX_WEIGHT, LEAST_SCORE, TOLERANCE, Distance, divergence, overlaps
from midstream.calibration.training.heads import Outputs, Proposals
from midstream.errors import InputError
from midstream.halves.levels import completed
from midstream.models.detector_heads import RcnnHead
from midstream.models.graph import part_of, uses, with_input_shape
from midstream.models.heads import rcnn
from midstream.models.onnx_model import OnnxModel
from midstream.models.running import session

# Where the numbers come from: docs/method.md, "Constants".
#: How much the first stage and masks count beside what is found.
_FIRST_WEIGHT, _MASK_WEIGHT = 0.03, 5.0
#: Regions of an image: those that are most likely something, and others of all.
_SURE, _OTHERS = 96, 64
#: Regions with a mask, at most.
_MASKS = 32
#: Regions that are of the same thing, of the first, about.
_REPEATED = 4.0
#: What box regression multiplies by (torchvision.models.detection.roi_heads: bbox_reg_weights).
_BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MERGING = ("ScatterElements", "ScatterND", "GatherElements", "Gather", "GatherND", "Concat", "Cast", "Identity", "Add")
_SELECTING = ("RoiAlign", "NonZero", "NonMaxSuppression", "TopK", "If", "Shape", "Size")


@dataclass(frozen=True)
class _Pooling:
    """A RoiAlign node, with the tensors of its features and regions."""

    features: str
    regions: str
    side: int
    samples: int
    scale: float
    offset: float

    @classmethod
    def of_node(cls, node: Any) -> _Pooling:
        """As a graph says. Raises InputError for one that is not followed here."""
        given = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        sides, samples = (given.get("output_height", 1), given.get("output_width", 1)), given.get("sampling_ratio", 0)
        if sides[0] != sides[1] or samples < 1 or given.get("mode", b"avg") != b"avg":
            raise InputError("regions are to be pooled as averages of a fixed number of samples, and squares of them")
        offset = 0.0 if given.get("coordinate_transformation_mode") == b"output_half_pixel" else 0.5
        return cls(node.input[0], node.input[1], sides[0], samples, given.get("spatial_scale", 1.0), offset)

    def __call__(self, features: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        """Regions [n, 4] of features [1, C, H, W], pooled: [n, C, side, side]."""
        corners = regions * self.scale - self.offset
        sides = corners[:, 2:] - corners[:, :2]
        if self.offset == 0:
            sides = sides.clamp(min=1)
        count = self.side * self.samples
        steps = (torch.arange(count) + 0.5) / count
        x, y = (corners[:, i, None] + sides[:, i, None] * steps for i in (0, 1))
        height, width = features.shape[2:]
        inside = ((y >= -1) & (y <= height))[:, :, None] & ((x >= -1) & (x <= width))[:, None, :]
        x, y = (2 * at.clamp(0, side - 1) / max(side - 1, 1) - 1 for at, side in ((x, width), (y, height)))
        shape = (len(regions), count, count)
        grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], -1)
        found = functional.grid_sample(features, grid.reshape(1, -1, count, 2), align_corners=True)
        values = found.reshape(features.shape[1], len(regions), count, count) * inside
        return functional.avg_pool2d(values.transpose(0, 1), self.samples)


@dataclass(frozen=True)
class _Branch:
    """The heads that look at the same pooled regions, and what they end with: classes and boxes, or masks."""

    poolings: Sequence[_Pooling]
    heads: TorchGraph
    ends: Mapping[str, str]

    def __call__(self, features: Maps, regions: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Ends by kind; `regions` [n, 4] of each pooling."""
        parts = zip(self.poolings, regions, strict=True)
        found = self.heads([torch.cat([pool(features[pool.features], own) for pool, own in parts])])
        return {kind: found[name] for kind, name in self.ends.items()}


@dataclass(frozen=True)
class _Chosen:
    """Regions [n, 4] of each pooling, the chances [n, classes] of what they are, and what heads made of them."""

    regions: Sequence[torch.Tensor]
    chances: torch.Tensor
    found: Mapping[str, torch.Tensor]

    @property
    def something(self) -> torch.Tensor:
        """Chances [n] that there is something, none of which is of the background, class 0."""
        return self.chances[:, 1:].sum(1)


def _of_classes(chosen: _Chosen, coded: torch.Tensor) -> torch.Tensor:
    logs = coded.log_softmax(1)
    own = chosen.found["classes"].log_softmax(1)
    return (chosen.chances * (own - logs)).sum() / _REPEATED


def _of_boxes(chosen: _Chosen, coded: torch.Tensor) -> torch.Tensor:
    moved = (coded - chosen.found["boxes"]).reshape(len(coded), -1, 4) / torch.tensor(_BOX_SCALES)
    shares = moved.abs().sum(2)
    weights = chosen.chances[:, 1:] if shares.shape[1] > 1 else chosen.something[:, None]
    return (weights * shares[:, -weights.shape[1] :]).sum() / _REPEATED


def _of_masks(chosen: _Chosen, coded: torch.Tensor) -> torch.Tensor:
    own = chosen.found["masks"]
    parted = own.sigmoid() * (functional.logsigmoid(own) - functional.logsigmoid(coded)) + (-own).sigmoid() * (
        functional.logsigmoid(-own) - functional.logsigmoid(-coded)
    )
    means = parted.mean((2, 3))
    weights = chosen.chances[:, 1:] if means.shape[1] > 1 else chosen.something[:, None]
    return _MASK_WEIGHT * (weights * means[:, -weights.shape[1] :]).sum()


_MEASURES = {"classes": _of_classes, "boxes": _of_boxes, "masks": _of_masks}


class TwoStages:
    """What the stages of a network find behind levels, and how far that is from what they found.

    Attributes:
        first: the first stage, with the outputs `proposals` and `objectness`, and the features that regions are of.
    """

    def __init__(self, model: OnnxModel) -> None:
        """Take the graph apart.

        Raises:
            InputError: a graph of other parts, or see TorchBack.
        """
        head = model.description.head
        assert isinstance(head, RcnnHead)
        graph = _at_one_size(model)
        names = rcnn.proposals(head, [value.name for value in graph.graph.output])
        if names is None:
            raise InputError(
                f"{model.name}: to be trained through, a network of two stages has outputs `proposals` and `objectness`"
            )
        self._model, self._names = model, names
        parts = _Parts(folded(graph))
        self._branches = parts.branches(model.name)
        self._classing = next(i for i, branch in enumerate(self._branches) if "classes" in branch.ends)
        pools = [pool for branch in self._branches for pool in branch.poolings]
        levels = [value.name for value in graph.graph.input]
        self._regions = list(dict.fromkeys(pool.regions for pool in pools))
        self._ends = [name for branch in self._branches for name in branch.ends.values()]
        self.first = TorchBack(model, part_of(parts.graph, levels, [*names, *{pool.features: None for pool in pools}]))
        self._finding = session(part_of(parts.graph, levels, [*self._regions, *self._ends]))

    def check(self, maps: Maps) -> None:
        """Look whether the heads do in torch what they do. Raises InputError where they do not."""
        found, features = self._found(maps), self.first(maps)
        for branch in self._branches:
            regions = [torch.tensor(found[pool.regions]) for pool in branch.poolings]
            if not sum(map(len, regions)):
                continue
            for kind, values in branch(features, regions).items():
                # Of the regions of all levels, those of the finest come first here, and elsewhere there.
                own, wanted = (np.sort(each, axis=0) for each in (values.numpy(), found[branch.ends[kind]]))
                if own.shape != wanted.shape or np.abs(own - wanted).max() > TOLERANCE * np.abs(wanted).max():
                    raise InputError(f"{self._model.name}: heads for {kind} have other values in torch")

    def distance(self, maps: Maps) -> Distance:
        """How far what is behind other levels is from what is behind these, [C, H, W] by name.

        The divergence of Kullback and Leibler of what regions are, and of their masks, and how far their boxes move;
        the regions are those found behind these levels. Of the first stage, what is said of detectors of one stage.
        """
        with torch.no_grad():
            found, features = self._found(maps), self.first(maps)
            first = features[self._names[0]].reshape(-1, 4), features[self._names[1]].reshape(-1)
            chosen = []
            for branch in self._branches:
                regions = [torch.tensor(found[pool.regions]) for pool in branch.poolings]
                chosen.append(self._chosen(branch, features, regions))
        size = sum(each.nbytes for each in (*first, *(values for own in chosen for values in own.found.values())))
        return Distance(lambda coded: self._lost(first, chosen, self.first(coded)), size)

    def _chosen(self, branch: _Branch, features: Maps, regions: Sequence[torch.Tensor]) -> _Chosen:
        """The regions that are looked at, what they are, and what heads make of them."""
        about, sizes = self._branches[self._classing], [len(each) for each in regions]
        if not sum(sizes):
            return _Chosen(regions, torch.zeros(0, len(self._model.classes) + 1), {})
        chances = about(features, regions)["classes"].softmax(1)
        order = (1 - chances[:, 0]).argsort(descending=True)
        if "classes" in branch.ends:
            others = order[_SURE:]
            order = torch.cat([order[:_SURE], others[:: max(len(others) // _OTHERS, 1)][:_OTHERS]])
        else:
            order = order[:_MASKS]
        kept = torch.zeros(len(chances), dtype=torch.bool).index_fill(0, order, True)
        fewer = [each[own] for each, own in zip(regions, kept.split(sizes), strict=True)]
        return _Chosen(fewer, chances[kept], branch(features, fewer))

    def _lost(self, first: Proposals, chosen: Sequence[_Chosen], coded: Outputs) -> torch.Tensor:
        boxes, chances = (coded[name].reshape(own.shape) for name, own in zip(self._names, first, strict=True))
        moved = (first[1] * (first[1] > LEAST_SCORE) * (1 - overlaps(first[0], boxes))).sum()
        things = chosen[self._classing].something.sum() / _REPEATED
        share = _FIRST_WEIGHT * things / first[1].sum().clamp(min=1)
        lost = share * (divergence(first[1], chances) + BOX_WEIGHT * moved)
        for branch, own in zip(self._branches, chosen, strict=True):
            if len(own.chances):
                found = branch(coded, own.regions)
                lost = lost + sum((_MEASURES[kind](own, found[kind]) for kind in found), torch.zeros(()))
        return lost

    def _found(self, maps: Maps) -> dict[str, NDArray[Any]]:
        """Regions, and what heads end with, behind these levels."""
        arrays = {name: values.numpy() for name, values in maps.items()}
        described = self._model.description.pyramid
        whole = completed(self._model, arrays, [level.name for level in described])
        wanted = [*self._regions, *self._ends]
        taken = {value.name for value in self._finding.get_inputs()}
        feeds = {level.tensor: whole[level.name][None] for level in described if level.tensor in taken}
        return dict(zip(wanted, self._finding.run(wanted, feeds), strict=True))


def _at_one_size(model: OnnxModel) -> onnx.ModelProto:
    """The back with the shapes of its levels, by which ONNX Runtime folds what follows from them."""
    size = model.description.input.size
    if not isinstance(size, tuple):
        raise InputError(f"{model.name}: networks of two stages are trained through at one size of input")
    pyramid = model.front(np.zeros((*size, 3), np.uint8))
    graph = model.back_graph()
    for level in model.description.pyramid:
        graph = with_input_shape(graph, level.tensor, [1, *pyramid[level.name].shape])
    return graph


class _Parts:
    """A graph with what its heads are made of."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        self.graph = graph
        self._readers: dict[str, list[Any]] = {}
        for node in graph.graph.node:
            for name in uses(node):
                self._readers.setdefault(name, []).append(node)

    def branches(self, name: str) -> list[_Branch]:
        """Of each tensor that pooled regions are put together in, the heads. Raises InputError where there are none."""
        poolings: dict[str, list[_Pooling]] = {}
        for node in (node for node in self.graph.graph.node if node.op_type == "RoiAlign"):
            try:
                poolings.setdefault(self._together(node.output[0]), []).append(_Pooling.of_node(node))
            except InputError as error:
                raise InputError(f"{name}: {error}") from error
        found = []
        for pooled, pools in poolings.items():
            ends = {self._kind(end): end for end in self._ends(pooled)}
            own = sorted(pools, key=lambda pool: pool.features)
            found.append(_Branch(own, TorchGraph(part_of(self.graph, [pooled], list(ends.values())), name), ends))
        if len({tuple(pool.features for pool in branch.poolings) for branch in found}) > 1:
            raise InputError(f"{name}: its heads look at different levels")
        if not any("classes" in branch.ends for branch in found):
            raise InputError(f"{name}: no head for classes is known behind pooled regions")
        return found

    def _together(self, name: str) -> str:
        """Where what is pooled of this level meets what is pooled of others: what heads read first."""
        while True:
            further = [node for node in self._readers.get(name, []) if node.op_type in _MERGING]
            if not further:
                return name
            name = further[0].output[0]

    def _ends(self, pooled: str) -> list[str]:
        """What layers with weights give, behind which are no more of them."""
        ends, todo, seen = [], [pooled], set()
        while todo:
            name = todo.pop()
            for node in (node for node in self._readers.get(name, []) if node.op_type not in _SELECTING):
                if node.output[0] in seen:
                    continue
                seen.add(node.output[0])
                todo.extend(node.output)
                if node.op_type in _WEIGHTED and not self._weighted_behind(node):
                    ends.append(node.output[0])
        return ends

    def _behind(self, node: Any) -> Iterator[Any]:
        todo, seen = list(node.output), set[str]()
        while todo:
            for reader in self._readers.get(todo.pop(), []):
                if reader.op_type not in _SELECTING and reader.output[0] not in seen:
                    seen.add(reader.output[0])
                    todo.extend(reader.output)
                    yield reader

    def _weighted_behind(self, node: Any) -> bool:
        return any(reader.op_type in _WEIGHTED for reader in self._behind(node))

    def _kind(self, end: str) -> str:
        readers = [node.op_type for node in self._readers.get(end, [])]
        return "classes" if "Softmax" in readers else "masks" if "Sigmoid" in readers else "boxes"
