"""Which cuts of a graph are found, what is said of them, and which are proposed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.helpers.graphs import Builder, pyramid

from midstream.models.cuts import CutPoint, find_cuts
from midstream.models.graph import cut_graph, recomposition_error
from midstream.models.proposals import propose, with_bytes, worth_listing
from midstream.models.random_inputs import random_inputs
from midstream.models.survey import Survey, survey


def looked_at(model: onnx.ModelProto, shapes: dict[str, list[int]] | None = None) -> tuple[Survey, dict[str, Any]]:
    feeds = random_inputs(model, shapes or {})
    return survey(model, "x", feeds), feeds


def names(cuts: list[CutPoint]) -> list[set[str]]:
    return [set(cut.names) for cut in cuts]


def test_work_is_multiplications_with_additions() -> None:
    b = Builder(side=8)
    b.conv("x", "a", 3, 4, stride=2)  # 4 x 4 cells, 4 channels, 27 each
    b.node("Flatten", ["a"], "flat")
    b.constant("m", np.zeros((64, 10), np.float32))
    b.node("MatMul", ["flat", "m"], "rows")
    b.constant("g", np.zeros((7, 10), np.float32))
    b.node("Gemm", ["rows", "g"], "y", transB=1)
    b.constant("t", np.zeros((4, 2, 2, 2), np.float32))
    b.node("ConvTranspose", ["a", "t"], "z", strides=[2, 2])
    seen, _ = looked_at(b.model("y", "z"))
    work = {node.output[0]: macs for node, macs in zip(seen.nodes, seen.macs, strict=True)}
    assert work == {"a": 4 * 4 * 4 * 27, "flat": 0, "rows": 64 * 10, "y": 70, "z": 4 * 4 * 4 * 2 * 4}
    assert seen.tensors["z"].shape == (1, 2, 8, 8)
    assert seen.tensors["z"].elements == 128


def test_products_of_batches_of_matrices() -> None:
    b = Builder(side=8)
    b.constant("shape", np.array([1, 3, 8, 8], np.int64))
    b.node("Reshape", ["x", "shape"], "q")
    b.node("Transpose", ["q"], "k", perm=[0, 1, 3, 2])
    b.node("MatMul", ["q", "k"], "y")
    seen, _ = looked_at(b.model("y"))
    assert seen.macs[-1] == 3 * 8 * 8 * 8


def test_every_place_where_one_tensor_carries_all_is_found() -> None:
    """Held against the definition: without this tensor no output can be reached."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        b, tensors = Builder(side=4), ["x"]
        for i in range(9):
            sources = [tensors[int(rng.integers(max(len(tensors) - 3, 0), len(tensors)))] for _ in range(2)]
            channels = [3 if source == "x" else 4 for source in sources]
            one, two = (b.conv(s, f"c{i}{j}", c, 4) for j, (s, c) in enumerate(zip(sources, channels, strict=True)))
            tensors.append(b.node("Add", [one, two], f"t{i}"))
        b.node("Neg", ["t8"], "y")
        seen, feeds = looked_at(b.model("y"))
        found = find_cuts(seen)
        single = {cut.names[0] for cut in found if len(cut.tensors) == 1}
        assert single == {name for name in tensors[1:] if reaches_nothing_without(seen, name)}
        for cut in found:
            parts = cut_graph(seen.model, cut.names)
            assert recomposition_error(seen.model, parts, feeds) < 1e-3
            whole = sum(survey(cut_graph(seen.model, ["t8"]).front, "x", feeds).macs)
            assert whole * cut.share == pytest.approx(sum(survey(parts.front, "x", feeds).macs))


def reaches_nothing_without(seen: Survey, name: str) -> bool:
    reached = {"x"}
    for node in seen.nodes:
        if reached & set(node.input) and name not in node.output:
            reached.update(node.output)
    return not reached & set(seen.outputs) and any(name in node.output for node in seen.nodes)


def test_a_pyramid_is_found_and_is_the_first_proposal() -> None:
    seen, feeds = looked_at(pyramid())
    cuts = find_cuts(seen)
    assert {"p3", "p4", "p5"} in names(cuts)
    assert all(a.share < b.share for a, b in pairwise(cuts))
    proposals = propose(cuts)
    first = proposals[0].cut
    assert first.names == ("p3", "p4", "p5")  # the largest first
    assert first.is_pyramid
    assert "neck" in proposals[0].why
    assert first.elements == 8 * 256 + 16 * 64 + 16 * 16
    assert len({proposal.cut for proposal in proposals}) == len(proposals) <= 3
    listed = worth_listing(cuts, proposals)
    assert {proposal.cut for proposal in proposals} <= set(listed) <= set(cuts)
    for cut in with_bytes(seen, listed, feeds):
        assert cut.bytes is not None
        assert 0.05 < 8 * cut.bytes / cut.elements < 20


def test_a_tensor_before_all_weights_and_one_behind_all_are_no_cuts() -> None:
    b = Builder(side=8)
    b.node("Neg", ["x"], "scaled")
    b.node("Relu", [b.conv("scaled", "c", 3, 4)], "a")
    b.conv("a", "y", 4, 2)
    seen, _ = looked_at(b.model("y"))
    assert names(find_cuts(seen)) == [{"a"}]


def test_of_equal_work_the_fewest_elements_are_taken() -> None:
    b = Builder(side=8)
    b.conv("x", "c", 3, 4)
    b.node("Sigmoid", ["c"], "s")
    b.node("Mul", ["c", "s"], "silu")
    b.node("MaxPool", ["silu"], "half", kernel_shape=[2, 2], strides=[2, 2])
    b.conv("half", "y", 4, 2)
    seen, _ = looked_at(b.model("y"))
    assert names(find_cuts(seen)) == [{"half"}]


def test_a_shape_is_no_content() -> None:
    b = Builder(side=8)
    b.conv("x", "c", 3, 4, stride=2)
    b.conv("c", "d", 4, 3)
    b.node("Shape", ["x"], "shape")
    b.node("Resize", ["d", "", "", "shape"], "y", mode="nearest")
    seen, feeds = looked_at(b.model("y"))
    cuts = find_cuts(seen)
    assert {"c"} in names(cuts)
    assert recomposition_error(seen.model, cut_graph(seen.model, ["c"]), feeds) == 0


def quantised(b: Builder, source: str, output: str, into: int, out: int) -> str:
    """A convolution by dynamic quantisation, as ONNX Runtime's tools write it."""
    parts = [f"{output}_whole", f"{output}_scale", f"{output}_zero"]
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", [source], parts))
    b.constant(f"{output}_w", np.full((out, into, 1, 1), 3, np.uint8))
    b.node("ConvInteger", [parts[0], f"{output}_w", parts[2]], f"{output}_sum")
    b.node("Cast", [f"{output}_sum"], f"{output}_float", to=TensorProto.FLOAT)
    return b.node("Mul", [f"{output}_float", parts[1]], output)


def test_cuts_go_through_the_floats_of_a_quantised_graph() -> None:
    b = Builder(side=8)
    quantised(b, quantised(b, quantised(b, "x", "a", 3, 4), "b", 4, 4), "y", 4, 2)
    seen, feeds = looked_at(b.model("y"))
    assert sum(seen.macs) == 64 * (12 + 16 + 8)
    cuts = find_cuts(seen)
    assert names(cuts) == [{"a"}, {"b"}]
    assert recomposition_error(seen.model, cut_graph(seen.model, ["a"]), feeds) == 0


def test_a_quantised_tensor_that_both_halves_read_is_made_twice() -> None:
    """`a` is quantised once, for a level further on and for a head."""
    b = Builder(side=8)
    quantised(b, "x", "a", 3, 4)
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", ["a"], ["whole", "scale", "zero"]))
    for name, out in (("p", 8), ("head", 2)):
        b.constant(f"{name}_w", np.full((out, 4, 1, 1), 3, np.uint8))
        b.node("ConvInteger", ["whole", f"{name}_w", "zero"], f"{name}_sum")
        b.node("Cast", [f"{name}_sum"], f"{name}_float", to=TensorProto.FLOAT)
        b.node("Mul", [f"{name}_float", "scale"], name)
    b.conv("p", "y", 8, 2)
    seen, feeds = looked_at(b.model("y", "head"))
    assert {"a", "p"} in names(find_cuts(seen))
    assert recomposition_error(seen.model, cut_graph(seen.model, ["a", "p"]), feeds) == 0


def test_bodies_count_their_weights() -> None:
    b = Builder(side=4)
    b.conv("x", "a", 3, 4)
    b.constant("k", np.zeros((2, 4, 1, 1), np.float32))
    info = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node("Conv", ["a", "k"], ["t"])], "then", [], [info]),
        helper.make_graph([helper.make_node("Identity", ["a"], ["t"])], "else", [], [info]),
    ]
    b.constant("true", np.array(True))
    b.node("If", ["true"], "y", then_branch=branches[0], else_branch=branches[1])
    seen, _ = looked_at(b.model("y"))
    assert seen.macs == [16 * 4 * 27, 8]
    assert names(find_cuts(seen)) == [{"a"}]
