"""Shapes of a graph's inputs: what the graph fixes, what it leaves open, and what is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import TensorProto, helper

from midstream.errors import InputError
from midstream.models.random_inputs import random_inputs


def graph_of(shape: list[int | str | None] | None) -> Any:
    """A graph with one input `x`."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    return helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:]))


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (["batch", "length"], "1,7"),
        ([None, "length", 64], "1,7,64"),
        ([2, 3, "h", "w"], "2,3,H,W"),
        (["n", "c", 4, 5, "d"], "1,7,4,5,7"),
        (None, "1,3,H,W"),
    ],
)
def test_the_example_has_the_rank_of_the_input(shape: list[int | str | None] | None, example: str) -> None:
    with pytest.raises(InputError, match=f"give all, as in --shape x={example}$"):
        random_inputs(graph_of(shape), {})


def test_a_shape_for_no_input_names_the_inputs() -> None:
    with pytest.raises(InputError, match=r"unknown input 'bogus'; valid: x$"):
        random_inputs(graph_of([1, 3, 4, 4]), {"bogus": [1, 3, 4, 4]})


@pytest.mark.parametrize("given", [[1, 3, 4, 5], [1, 3, 4], [1, 2, 4, 4]])
def test_a_shape_that_the_graph_fixes_otherwise_is_refused_with_both(given: list[int]) -> None:
    asked = ",".join(map(str, given))
    with pytest.raises(InputError, match=rf"--shape x={asked}: the graph has this input as x=\?,3,4,4"):
        random_inputs(graph_of(["batch", 3, 4, 4]), {"x": given})


@pytest.mark.parametrize(
    ("shape", "given"), [(["batch", 3, "h", 4], [2, 3, 9, 4]), (None, [5, 6]), ([], []), ([1, 2], [1, 2])]
)
def test_a_shape_that_fits_is_taken(shape: list[int | str | None] | None, given: list[int]) -> None:
    assert random_inputs(graph_of(shape), {"x": given})["x"].shape == tuple(given)
