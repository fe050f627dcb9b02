"""Running graphs with ONNX Runtime."""

from __future__ import annotations

import signal
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midstream.models import running
from midstream.models.running import EndlessError, session


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


def endless() -> onnx.ModelProto:
    """y = x, after 2**62 times nothing."""
    number = helper.make_tensor_value_info("number", TensorProto.INT64, [])
    before, after = (helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("before", "after"))
    v, w, x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "vwxy")
    same = [helper.make_node("Identity", ["before"], ["after"]), helper.make_node("Identity", ["v"], ["w"])]
    body = helper.make_graph(same, "body", [number, before, v], [after, w])
    given = [numpy_helper.from_array(np.array(2**62), "most"), numpy_helper.from_array(np.array(True), "go")]
    loop = helper.make_node("Loop", ["most", "go", "x"], ["y"], body=body)
    graph = helper.make_graph([loop], "endless", [x], [y], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_loop_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOOP_S", 0.1)
    before = set(threading.enumerate())
    with pytest.raises(EndlessError, match=r"did not end within 0\.1 s"):
        session(endless()).run(None, {"x": np.zeros(2, np.float32)})
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_ends_a_run() -> None:
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    runner, before = session(endless()), set(threading.enumerate())
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        runner.run(None, {"x": np.zeros(2, np.float32)})
    timer.join()
    assert set(threading.enumerate()) <= before
