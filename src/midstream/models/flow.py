"""Minimum vertex cuts of a graph of operations: which tensors separate the image from the outputs.

Ford and Fulkerson 1956 with shortest paths, on the graph in which an operation's tensor is an arc of capacity one, and
whoever reads a tensor of the back is in the back (Lawler 1973, "Cutsets and partitions of hypergraphs").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Capacity of what must not be cut.
_ENDLESS = 1 << 30


@dataclass(frozen=True)
class Wire:
    """A tensor: the operation that makes it, those that read it, whether a cut may go through it."""

    producer: int
    consumers: tuple[int, ...]
    cuttable: bool


class Flow:
    """Cuts of one graph; operations are numbered from 0, the first is where the image enters."""

    def __init__(self, operations: int, edges: Sequence[Wire], ends: Iterable[int]) -> None:
        """Build it.

        Args:
            operations: how many there are.
            edges: the tensors that carry content.
            ends: operations that are in the back of every cut.
        """
        self._edges = edges
        self._operations = operations
        self._ends = tuple(ends)
        #: By vertex, an operation or a tensor after all of them: (vertex, number of the arc).
        self._arcs: list[list[int]] = [[] for _ in range(operations + len(edges) + 2)]
        self._to: list[int] = []
        self._capacity: list[int] = []
        self._source, self._sink = operations + len(edges), operations + len(edges) + 1
        for number, edge in enumerate(edges):
            vertex = operations + number
            self._arc(edge.producer, vertex, 1 if edge.cuttable else _ENDLESS)
            for consumer in edge.consumers:
                self._arc(vertex, consumer, _ENDLESS)
                self._arc(consumer, edge.producer, _ENDLESS)
        self._arc(self._source, 0, _ENDLESS)
        for end in self._ends:
            self._arc(end, self._sink, _ENDLESS)
        self._fresh = list(self._capacity)

    def _arc(self, start: int, end: int, capacity: int) -> None:
        for a, b, c in ((start, end, capacity), (end, start, 0)):
            self._arcs[a].append(len(self._to))
            self._to.append(b)
            self._capacity.append(c)

    def through(self, tensor: int, most: int) -> list[frozenset[int]]:
        """The fronts (operations) of the smallest cuts that go through a tensor: that with least and with most in it.

        Args:
            tensor: its number among the edges.
            most: tensors that a cut may have; with more there is none.
        """
        edge = self._edges[tensor]
        self._capacity = list(self._fresh)
        marks = len(self._to)
        self._arc(self._source, edge.producer, _ENDLESS)
        for consumer in edge.consumers:
            self._arc(consumer, self._sink, _ENDLESS)
        cuts: list[frozenset[int]] = []
        for _ in range(most + 1):
            path, reached = self._path()
            if path is None:
                cuts = [self._front(reached), self._latest()]
                break
            if min(self._capacity[arc] for arc in path) > most:
                break
            for arc in path:
                self._capacity[arc] -= 1
                self._capacity[arc ^ 1] += 1
        for vertex in (self._source, edge.producer, self._sink, *edge.consumers):
            while self._arcs[vertex] and self._arcs[vertex][-1] >= marks:
                self._arcs[vertex].pop()
        del self._to[marks:]
        return list(dict.fromkeys(cuts))

    def _path(self) -> tuple[list[int] | None, list[int]]:
        """Arcs of a shortest path from source to sink with room left, and how each vertex was reached (-1: not)."""
        to, capacity, arcs = self._to, self._capacity, self._arcs
        reached = [-1] * len(arcs)
        reached[self._source] = -2
        todo = [self._source]
        for vertex in todo:
            for arc in arcs[vertex]:
                end = to[arc]
                if capacity[arc] and reached[end] == -1:
                    reached[end] = arc
                    if end == self._sink:
                        return self._back_along(reached), reached
                    todo.append(end)
        return None, reached

    def _back_along(self, reached: Sequence[int]) -> list[int]:
        path, vertex = [], self._sink
        while vertex != self._source:
            path.append(reached[vertex])
            vertex = self._to[reached[vertex] ^ 1]
        return path

    def _front(self, reached: Sequence[int]) -> frozenset[int]:
        return frozenset(vertex for vertex in range(self._operations) if reached[vertex] != -1)

    def _latest(self) -> frozenset[int]:
        """Operations that no longer reach the sink: the largest front."""
        seen = [False] * len(self._arcs)
        seen[self._sink] = True
        todo = [self._sink]
        for vertex in todo:
            for arc in self._arcs[vertex]:
                start = self._to[arc]
                if self._capacity[arc ^ 1] and not seen[start]:
                    seen[start] = True
                    todo.append(start)
        return frozenset(vertex for vertex in range(self._operations) if not seen[vertex])
