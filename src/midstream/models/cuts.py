"""Where a graph can be cut: every place at which up to six tensors carry all content of the image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from midstream.models.flow import CutSide, Flow, Wire, members
from midstream.models.graph import uses
from midstream.models.survey import Survey, live_inputs
from midstream.progress import SILENT, Progress

#: Tensors of a cut. Feature pyramids have three to five levels.
MOST_TENSORS = 6


@dataclass(frozen=True)
class CutTensor:
    """One tensor of a cut: name and shape, as the graph has it, batch included."""

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def sides(self) -> tuple[int, int] | None:
        """(rows, columns) of a map [1, C, H, W] with more than one cell; None for anything else."""
        return (self.shape[2], self.shape[3]) if len(self.shape) == 4 and math.prod(self.shape[2:]) > 1 else None


@dataclass(frozen=True)
class CutPoint:
    """A complete cut.

    Attributes:
        tensors: the largest maps first, as a pyramid has them.
        share: of the network's multiplications, what is before the cut, 0 to 1.
        nodes: of the graph, how many are before the cut and depend on the image.
        readers: operations that read the tensors, all counted.
        mixes: whether an operation with weights behind the cut works on several of its tensors.
        bytes: an estimate, see proposals.with_bytes; None where none was made.
    """

    tensors: tuple[CutTensor, ...]
    share: float
    nodes: int = field(default=0, compare=False)
    readers: int = field(default=0, compare=False)
    mixes: bool = field(default=False, compare=False)
    bytes: int | None = field(default=None, compare=False)

    @property
    def elements(self) -> int:
        """Of all tensors together."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tensors."""
        return tuple(tensor.name for tensor in self.tensors)

    @property
    def is_pyramid(self) -> bool:
        """Whether it is several maps, each of another size."""
        sides = {tensor.sides for tensor in self.tensors}
        return None not in sides and len(sides) == len(self.tensors) > 1


def find_cuts(seen: Survey, most: int = MOST_TENSORS, progress: Progress = SILENT) -> list[CutPoint]:
    """Every complete cut whose tensors are floats, from the image on; of those with the same work before them the one
    with the fewest elements.

    For each tensor the smallest cuts that go through it are found (flow.Flow), once with as little and once with as
    much as possible in front. Shapes do not count as content, as in `graph.cut_graph`.

    Args:
        seen: the graph as it ran.
        most: tensors of a cut.
        progress: hears of each tensor.
    """
    graph = _Content(seen)
    progress.stage("looking for cuts", len(graph.anchors))
    fronts: dict[tuple[int, ...], CutSide] = {}
    for tensor in graph.anchors:
        for front in graph.flow.through(tensor, most):
            fronts.setdefault(front.crossing, front)
        progress.step()
    found = [cut for front in fronts.values() if (cut := graph.cut(front)) is not None]
    best: dict[float, CutPoint] = {}
    for cut in sorted(found, key=lambda cut: (cut.elements, len(cut.tensors), -cut.nodes, cut.names)):
        best.setdefault(cut.share, cut)
    return sorted(best.values(), key=lambda cut: (cut.share, cut.nodes))


class _Content:
    """The part of a graph that carries content from the image to the outputs, as operations and tensors."""

    def __init__(self, seen: Survey) -> None:
        self._seen = seen
        self._cast = {
            node.output[0] for node in seen.nodes if node.op_type == "Cast" and not self._is_float(node.input[0])
        }
        live, passed = self._without_conversions(live_inputs(seen))
        outputs = [name for output in seen.outputs for name in passed.get(output, [output])]
        needed, wanted = set(), set(outputs)
        for number in reversed(range(len(live))):
            if live[number] and wanted & set(seen.nodes[number].output):
                needed.add(number)
                wanted.update(live[number])
        #: Operation 0 is where the image enters; node number n is operation by[n]; the last one is where all ends.
        by = {number: place for place, number in enumerate(sorted(needed), start=1)}
        end = len(by) + 1
        readers: dict[str, list[int]] = {}
        for number in by:
            for name in live[number]:
                readers.setdefault(name, []).append(by[number])
        for name in dict.fromkeys(outputs):
            readers.setdefault(name, []).append(end)
        makers = {name: by[number] for number in by for name in seen.nodes[number].output if name}
        self._names = [name for name in (seen.image, *makers) if name in readers]
        self._edges = [
            Wire(makers.get(name, 0), tuple(readers[name]), self._cuttable(name)) for name in self._names
        ]  # fmt: skip
        self.flow = Flow(end + 1, self._edges)
        self._work = _Work(seen, [None, *sorted(needed), None], self._edges)
        self._total = max(self._work.of([end]), 1)

    def _without_conversions(self, live: list[list[str]]) -> tuple[list[list[str]], dict[str, list[str]]]:
        """Whoever reads what a node without weights makes of integers and scales reads what that is made of.

        Quantising the same tensor for the front and once more for the back costs nothing.

        Returns:
            For each node what it reads, nothing for one that is passed over, and for the tensors that such a node gives
            what stands for them.
        """
        passed: dict[str, list[str]] = {}
        for number, node in enumerate(self._seen.nodes):
            reads = list(dict.fromkeys(of for name in live[number] for of in passed.get(name, [name])))
            live[number] = reads
            if reads and not self._seen.macs[number] and not any(self._cuttable(name) for name in node.output):
                passed |= dict.fromkeys(node.output, reads)
                live[number] = []
        return live, passed

    def _cuttable(self, name: str) -> bool:
        """Floats with a batch of one; no integers in the form of floats, which their scale has yet to meet."""
        seen = self._seen.tensors.get(name)
        if seen is None or name == self._seen.image or name in self._cast:
            return False
        return self._is_float(name) and len(seen.shape) > 1 and seen.shape[0] == 1 and seen.elements > 1

    def _is_float(self, name: str) -> bool:
        return name in self._seen.tensors and self._seen.tensors[name].dtype.kind == "f"

    @property
    def anchors(self) -> list[int]:
        """Tensors that a cut may go through."""
        return [number for number, edge in enumerate(self._edges) if edge.cuttable]

    def cut(self, front: CutSide) -> CutPoint | None:
        """The cut behind some operations; None where no weight has been at the image, or nothing is left to do."""
        edges = [self._edges[number] for number in front.crossing]
        crossing = [self._names[number] for number in front.crossing]
        operations = front.operations.bit_count()
        macs = self._work.of([edge.producer for edge in edges])
        if not macs or operations >= len(self.flow.before) - 1 or set(crossing) >= set(self._seen.outputs):
            return None
        tensors = [CutTensor(name, self._seen.tensors[name].shape) for name in crossing]
        tensors.sort(key=lambda tensor: -math.prod(tensor.sides or (0, 0)))
        readers = sum(len(edge.consumers) for edge in edges)
        return CutPoint(tuple(tensors), macs / self._total, operations, readers, self._mixes(front, edges))

    def _mixes(self, front: CutSide, edges: Sequence[Wire]) -> bool:
        """Whether what is behind one tensor of a cut is, with work, behind another one, too."""
        several = seen = 0
        for edge in edges:
            behind = 0
            for consumer in edge.consumers:
                if not front.operations >> consumer & 1:
                    behind |= self.flow.behind[consumer]
            several |= seen & behind
            seen |= behind
        return bool(several & self._work.worth_mention)


class _Work:
    """The work of operations: that of their nodes, and of nodes that these need and that do not depend on the image."""

    def __init__(self, seen: Survey, nodes: Sequence[int | None], edges: Sequence[Wire]) -> None:
        """`nodes` has the number of each operation's node; None for the image and for the end."""
        self._macs = np.array(seen.macs, np.int64)
        #: Work that is none: the expectation over a distribution's bins, for one, is a convolution of one channel.
        trifling = 0.002 * self._macs.sum()
        self.worth_mention = members(
            place for place, node in enumerate(nodes) if node is not None and seen.macs[node] > trifling
        )
        makers = {name: number for number, node in enumerate(seen.nodes) for name in node.output}
        live = live_inputs(seen)
        needs: list[int] = []
        for number, node in enumerate(seen.nodes):
            needed = 1 << number
            for name in uses(node):
                maker = makers.get(name)
                if maker is not None and not live[maker]:
                    needed |= needs[maker]
            needs.append(needed)
        #: Of each operation with all before it: the nodes, as bits.
        self._nodes = [0 if node is None else needs[node] for node in nodes]
        reads: list[set[int]] = [set() for _ in nodes]
        for edge in edges:
            for consumer in edge.consumers:
                reads[consumer].add(edge.producer)
        for place, producers in enumerate(reads):
            for producer in producers:
                self._nodes[place] |= self._nodes[producer]

    def of(self, operations: Iterable[int]) -> int:
        """Of these operations and all before them."""
        needed = 0
        for place in operations:
            needed |= self._nodes[place]
        flags = np.frombuffer(needed.to_bytes(-(-len(self._macs) // 8), "little"), np.uint8)
        return int(self._macs[np.unpackbits(flags, count=len(self._macs), bitorder="little").astype(bool)].sum())


def as_rows(cuts: Sequence[CutPoint]) -> list[list[str]]:
    """For a table: share, elements, bytes, tensors with shapes."""
    return [
        [
            f"{100 * cut.share:.1f} %",
            f"{cut.elements:,}",
            "-" if cut.bytes is None else f"{cut.bytes:,}",
            "\n".join(f"{tensor.name} {list(tensor.shape)}" for tensor in cut.tensors),
        ]
        for cut in cuts
    ]
