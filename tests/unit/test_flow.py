"""The smallest cuts through a tensor, held against their definition, and what finding them takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.models import flow
from midstream.models.flow import Flow, Wire, bits, members


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Wire]]:
    """Up to eight operations between the image's and the end; each makes a tensor or two that later ones read."""
    count = draw(st.integers(3, 8))
    edges = []
    for producer in range(count - 1):
        for _ in range(draw(st.integers(1, 2))):
            later = st.sets(st.integers(producer + 1, count - 1), min_size=1, max_size=3)
            edges.append(Wire(producer, tuple(sorted(draw(later))), draw(st.booleans()) and producer > 0))
    return count, edges


def by_definition(count: int, edges: list[Wire], tensor: int, most: int) -> set[tuple[int, tuple[int, ...]]]:
    """All sets of operations, the smallest and the largest of those with the fewest tensors on the way out."""
    live = members(reached_from_the_image(count, edges))
    found = []
    for front in range(1 << count):
        inside = set(bits(front))
        if 0 not in inside or count - 1 in inside or front & ~live:
            continue
        if any(edge.producer not in inside and inside & set(edge.consumers) for edge in edges):
            continue
        crossing = [n for n, edge in enumerate(edges) if edge.producer in inside and not inside >= set(edge.consumers)]
        through = edges[tensor].producer in inside and not inside & set(edges[tensor].consumers)
        if through and all(edges[n].cuttable for n in crossing):
            found.append((front, tuple(crossing)))
    fewest = [each for each in found if len(each[1]) == min(len(crossing) for _, crossing in found)]
    if not fewest or len(fewest[0][1]) > most:
        return set()
    sizes = [each[0].bit_count() for each in fewest]
    return {fewest[sizes.index(min(sizes))], fewest[sizes.index(max(sizes))]}


def reached_from_the_image(count: int, edges: list[Wire]) -> set[int]:
    reached = {0}
    for each in range(count):
        if each in reached:
            reached.update(consumer for edge in edges if edge.producer == each for consumer in edge.consumers)
    return reached


@pytest.mark.parametrize("patience", [flow._PATIENCE, -1])
@given(graph=graphs(), most=st.integers(1, 4))
def test_the_smallest_cuts_through_each_tensor(patience: int, graph: tuple[int, list[Wire]], most: int) -> None:
    count, edges = graph
    live = reached_from_the_image(count, edges)  # a graph of content has no other operations
    edges = [edge for edge in edges if edge.producer in live]
    network = Flow(count, edges)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "_PATIENCE", patience)  # -1: what is learned of a tensor without a cut is of use at once
        for tensor in range(len(edges)):
            found = {(front.operations & members(live), front.crossing) for front in network.through(tensor, most)}
            assert found == by_definition(count, edges, tensor, most)


@contextmanager
def counted(built: list[object]) -> Iterator[None]:
    """Has each network that is built leave something in a list."""

    class Counted(flow._Local):
        def __init__(self, *given: object) -> None:
            built.append(given)
            super().__init__(*given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "_Local", Counted)
        yield


def test_what_is_beside_a_branch_is_looked_at_once() -> None:
    """Two branches of two hundred operations: without remembering, that would be 400 networks of 200."""
    length = 200
    chains = [[0, *range(first, first + 2 * length, 2)] for first in (1, 2)]
    edges = [Wire(a, (b,), a > 0) for chain in chains for a, b in zip(chain, [*chain[1:], 2 * length + 1], strict=True)]
    network = Flow(2 * length + 2, edges)
    built: list[object] = []
    with counted(built):
        cuts = {front.crossing for tensor in range(len(edges)) for front in network.through(tensor, 2)}
    assert len(built) <= 4
    assert {len(cut) for cut in cuts} == {2}
    assert len(cuts) >= 2 * length


WIDTH = 500
#: 0 is the image, 1 a convolution: what it makes is an output in five hundred ways.
MANY_OUTPUTS = [
    Wire(0, (1,), False),
    Wire(1, tuple(range(2, WIDTH + 2)), False),
    *(Wire(each, (WIDTH + 2,), True) for each in range(2, WIDTH + 2)),
]
#: As many branches, which are added one after another.
MANY_BRANCHES = [
    Wire(0, tuple(range(1, WIDTH + 1)), False),
    *(Wire(each, (WIDTH + max(each - 1, 1),), True) for each in range(1, WIDTH + 1)),
    *(Wire(each, (each + 1,), True) for each in range(WIDTH + 1, 2 * WIDTH)),
]


@pytest.mark.parametrize(
    ("operations", "edges", "cuts"),
    [(WIDTH + 3, MANY_OUTPUTS, 0), (2 * WIDTH + 1, MANY_BRANCHES, 5)],
    ids=["many outputs", "many branches"],
)
def test_why_there_is_no_cut_is_found_out_once(operations: int, edges: list[Wire], cuts: int) -> None:
    network = Flow(operations, edges)
    built: list[object] = []
    with counted(built):
        found = {front.crossing for tensor in range(len(edges)) for front in network.through(tensor, 5)}
    assert len(found) == cuts
    assert len(built) < WIDTH / 10
