"""Running graphs with ONNX Runtime."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from midstream.models.running import session


def test_threads_do_not_wait_actively() -> None:
    sides = (
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]),
    )
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [sides[0]], [sides[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    made = session(model, threads=2)._made
    assert made.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") == "0"
