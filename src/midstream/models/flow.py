"""Minimum vertex cuts of a graph of operations: which tensors separate the image from the outputs.

Ford and Fulkerson 1956 with shortest paths, on the graph in which an operation's tensor is an arc of capacity one, and
whoever reads a tensor of the back is in the back (Lawler 1973, "Cutsets and partitions of hypergraphs").

A cut through a given tensor leaves little to decide: all that it is computed from is in front, all that is computed
from it is behind. What is left is beside it, mostly the other branches of a block, and only that becomes a network of
arcs. Sets of operations and of tensors are whole numbers with a bit for each member.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: Capacity of what must not be cut.
_ENDLESS = 1 << 30
#: Networks of all operations that may be built in vain before it is asked what they have in common.
_PATIENCE = 4


@dataclass(frozen=True)
class Wire:
    """A tensor: the operation that makes it, those that read it, whether a cut may go through it."""

    producer: int
    consumers: tuple[int, ...]
    cuttable: bool


#: Operations in front, as bits, and the tensors that are cut.
_Cut = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class CutSide:
    """One side of a cut: its operations, as bits, and the numbers of the tensors that leave it, which are the cut."""

    operations: int
    crossing: tuple[int, ...]


class Flow:
    """Cuts of one graph; operations are numbered from 0 in an order of computation, the first is where the image
    enters, the last where all ends."""

    def __init__(self, operations: int, edges: Sequence[Wire]) -> None:
        """Build it.

        Args:
            operations: how many there are.
            edges: the tensors that carry content.
        """
        self._edges = edges
        self._all = (1 << operations) - 1
        self._uncuttable = members(number for number, edge in enumerate(edges) if not edge.cuttable)
        #: Tensors by the operations that make them, and that read them.
        self._makes: list[list[int]] = [[] for _ in range(operations)]
        self._reads: list[list[int]] = [[] for _ in range(operations)]
        for number, edge in enumerate(edges):
            self._makes[edge.producer].append(number)
            for consumer in edge.consumers:
                self._reads[consumer].append(number)
        #: Of each operation with all before it: the operations, and the tensors that they make.
        self.before = [1 << each for each in range(operations)]
        self._made = [members(made) for made in self._makes]
        for each in range(operations):
            for number in self._reads[each]:
                self.before[each] |= self.before[edges[number].producer]
                self._made[each] |= self._made[edges[number].producer]
        #: Of each operation with all behind it: the operations, and the tensors that they read.
        self.behind = [1 << each for each in range(operations)]
        self._read = [members(read) for read in self._reads]
        for each in reversed(range(operations)):
            for number in self._makes[each]:
                for consumer in edges[number].consumers:
                    self.behind[each] |= self.behind[consumer]
                    self._read[each] |= self._read[consumer]
        self._asked: dict[int, int] = {}
        self._known: dict[tuple[int, int, int], list[_Cut]] = {}
        #: By the tensors that a cut may have: operations that no cut has in front, and that none has behind it.
        self._never: dict[int, tuple[int, int]] = {}
        self._in_vain = 0

    def through(self, tensor: int, most: int) -> list[CutSide]:
        """The smallest cuts that go through a tensor: that with least and with most in front of it.

        Args:
            tensor: its number among the edges.
            most: tensors that a cut may have; with more there is none.
        """
        edge = self._edges[tensor]
        in_front, behind = self._never.get(most, (0, 0))
        if in_front >> edge.producer & 1 or any(behind >> each & 1 for each in edge.consumers):
            return []
        found = self._between(edge.producer, edge.consumers, most)
        if not found and self._in_vain > _PATIENCE * len(self.before):
            self._learn(edge, most)
            self._in_vain = 0
        return found

    def _between(self, first: int, then: Iterable[int], most: int) -> list[CutSide]:
        """The smallest cuts that have one operation in front and some behind, each with all that this takes along."""
        before, behind, read = self.before[first], 0, 0
        for each in (*then, len(self.behind) - 1):
            behind |= self.behind[each]
            read |= self._read[each]
        made = self._made[first]
        direct = made & read
        room = most - direct.bit_count()
        if room < 0 or direct & self._uncuttable:
            return []
        found = self._cuts_beside(self._all & ~before & ~behind, made & ~direct, room)
        return [
            CutSide(before | operations, tuple(sorted((*bits(direct), *crossing)))) for operations, crossing in found
        ]

    def _learn(self, edge: Wire, most: int) -> None:
        """Find out why there is no cut through a tensor, so that others of which the same holds need no network.

        An operation that no cut has in front takes all behind it along, one that none has behind it all before it: on
        a way through the graph such ones come last, or first, and a search by halves finds where they begin.
        """
        in_front, behind = self._never.get(most, (0, 0))
        way = [edge.producer]
        while self._reads[way[-1]]:
            way.append(self._edges[self._reads[way[-1]][0]].producer)
        able = bisect_left(way, True, key=lambda each: bool(self._between(each, (), most)))
        if able:
            in_front |= self.behind[way[able - 1]]
        way = [edge.consumers[0]]
        while self._makes[way[-1]]:
            way.append(self._edges[self._makes[way[-1]][0]].consumers[0])
        able = bisect_left(way, True, key=lambda each: bool(self._between(0, (each,), most)))
        if able:
            behind |= self.before[way[able - 1]]
        self._never[most] = in_front, behind

    def _cuts_beside(self, beside: int, made: int, room: int) -> list[_Cut]:
        """The cuts of what is beside a tensor: the same for all tensors of a branch, and so remembered."""
        if beside not in self._asked:
            self._asked[beside] = members(number for each in bits(beside) for number in self._reads[each])
        entering = made & self._asked[beside]
        if not entering:  # all that enters is cut already
            return [(0, ())]
        key = (beside, entering, room)
        if key not in self._known:
            there = list(bits(beside))
            local = _Local(self._edges, there, list(bits(entering)), [n for each in there for n in self._makes[each]])
            self._known[key] = list(dict.fromkeys(local.cuts(room)))
            if not self._known[key]:
                self._in_vain += len(there)
        return self._known[key]


def bits(mask: int) -> Iterator[int]:
    """The members of a set, ascending."""
    for place, byte in enumerate(mask.to_bytes(-(-mask.bit_length() // 8), "little")):
        while byte:
            low = byte & -byte
            yield 8 * place + low.bit_length() - 1
            byte ^= low


def members(numbers: Iterable[int]) -> int:
    """A set of these."""
    mask = bytearray()
    for number in numbers:
        place = number >> 3
        if place >= len(mask):
            mask.extend(bytes(place + 1 - len(mask)))
        mask[place] |= 1 << (number & 7)
    return int.from_bytes(mask, "little")


class _Local:
    """What is beside a tensor, as a network of arcs: some operations, the tensors that enter them and their own."""

    _SOURCE, _SINK = 0, 1

    def __init__(
        self, edges: Sequence[Wire], beside: Sequence[int], entering: Sequence[int], own: Sequence[int]
    ) -> None:
        """Everything else that makes tensors is the source, everything else that reads them the sink."""
        self._edges, self._beside = edges, beside
        self._tensors = [*entering, *own]
        self._vertex = {each: 2 + place for place, each in enumerate(beside)}
        self._first_tensor = 2 + len(beside)
        #: By vertex, an operation or a tensor after all of them: numbers of arcs, beside each the one that undoes it.
        self._arcs: list[list[int]] = [[] for _ in range(self._first_tensor + len(self._tensors))]
        self._to: list[int] = []
        self._capacity: list[int] = []
        outside = set(entering)
        for place, number in enumerate(self._tensors):
            edge, vertex = edges[number], self._first_tensor + place
            producer = self._vertex.get(edge.producer, self._SOURCE)
            self._arc(producer, vertex, 1 if edge.cuttable else _ENDLESS)
            consumers = {self._vertex.get(each, self._SINK) for each in edge.consumers}
            for consumer in consumers - {self._SINK} if number in outside else consumers:
                self._arc(vertex, consumer, _ENDLESS)
                if producer != self._SOURCE and consumer != self._SINK:
                    self._arc(consumer, producer, _ENDLESS)

    def _arc(self, start: int, end: int, capacity: int) -> None:
        for a, b, c in ((start, end, capacity), (end, start, 0)):
            self._arcs[a].append(len(self._to))
            self._to.append(b)
            self._capacity.append(c)

    def cuts(self, most: int) -> list[_Cut]:
        """Operations in front, as bits, and tensors cut: of the cut with least and of that with most in front."""
        for _ in range(most + 1):
            path, reached = self._path()
            if path is None:
                return [self._cut([each != -1 for each in reached]), self._cut(self._latest())]
            if min(self._capacity[arc] for arc in path) > 1:
                return []
            for arc in path:
                self._capacity[arc] -= 1
                self._capacity[arc ^ 1] += 1
        return []

    def _path(self) -> tuple[list[int] | None, list[int]]:
        """Arcs of a shortest path from source to sink with room left, and how each vertex was reached (-1: not)."""
        to, capacity, arcs = self._to, self._capacity, self._arcs
        reached = [-1] * len(arcs)
        reached[self._SOURCE] = -2
        todo = [self._SOURCE]
        for vertex in todo:
            for arc in arcs[vertex]:
                end = to[arc]
                if capacity[arc] and reached[end] == -1:
                    reached[end] = arc
                    if end == self._SINK:
                        return self._back_along(reached), reached
                    todo.append(end)
        return None, reached

    def _back_along(self, reached: Sequence[int]) -> list[int]:
        path, vertex = [], self._SINK
        while vertex != self._SOURCE:
            path.append(reached[vertex])
            vertex = self._to[reached[vertex] ^ 1]
        return path

    def _latest(self) -> list[bool]:
        """Vertices from which the sink can no longer be reached: the largest front."""
        seen = [False] * len(self._arcs)
        seen[self._SINK] = True
        todo = [self._SINK]
        for vertex in todo:
            for arc in self._arcs[vertex]:
                start = self._to[arc]
                if self._capacity[arc ^ 1] and not seen[start]:
                    seen[start] = True
                    todo.append(start)
        return [not each for each in seen]

    def _cut(self, front: Sequence[bool]) -> _Cut:
        inside = {each for each in self._beside if front[self._vertex[each]]}
        crossing = []
        for number in self._tensors:
            edge = self._edges[number]
            if edge.producer in inside:
                left = not inside.issuperset(edge.consumers)
            else:  # one that enters; whoever else reads it is in front
                left = edge.producer not in self._vertex and any(
                    each in self._vertex and each not in inside for each in edge.consumers
                )
            if left:
                crossing.append(number)
        return members(inside), tuple(crossing)
