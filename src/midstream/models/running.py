"""Running graphs with ONNX Runtime."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any

import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.models.storage import written

CPU, CUDA = "cpu", "cuda"
_PROVIDERS = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider"}
#: Seconds that a graph with a Loop may take for one run: whether such a one ever ends, nothing can tell beforehand.
LOOP_S = 60.0
#: Seconds that a run which was told to end may take for it.
_ENDING_S = 1.0
#: Seconds of a run that nobody interrupts; one more thread, a fraction of a millisecond, would be felt there.
_QUICK_S = 0.05


class EndlessError(InputError):
    """A Loop that does not end, as far as anybody waited."""


class Runner:
    """A graph that is ready to run. Threads may share it."""

    def __init__(self, made: ort.InferenceSession, loops: bool) -> None:
        """`loops` is whether it might never end."""
        self._made = made
        self._loops = loops
        self._quick = False

    def get_inputs(self) -> list[Any]:
        """ONNX Runtime's own descriptions: name, type, shape."""
        return list(self._made.get_inputs())

    def get_outputs(self) -> list[Any]:
        """As of the inputs."""
        return list(self._made.get_outputs())

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
        """The named outputs; None for all.

        Raises:
            EndlessError: a Loop that does not end.
            Exception: of ONNX Runtime, whose exceptions have no common public base.
        """
        wanted, given = None if names is None else list(names), dict(feeds)
        in_main = threading.current_thread() is threading.main_thread()
        if not self._loops and (self._quick or not in_main):
            return list(self._made.run(wanted, given))
        # The main thread hears of an interrupt only while it runs Python, and so it has another one run the graph.
        began = time.monotonic()
        options, result = ort.RunOptions(), Future[list[Any]]()

        def work() -> None:
            try:
                result.set_result(list(self._made.run(wanted, given, options)))
            except BaseException as error:
                result.set_exception(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            over = not wait([result], LOOP_S if self._loops else None).done
        except BaseException:
            self._end(options, worker)
            raise
        if over:
            self._end(options, worker)
            raise EndlessError(f"it has a Loop that did not end within {LOOP_S:g} s for one input")
        self._quick = time.monotonic() - began < _QUICK_S
        return result.result()

    @staticmethod
    def _end(options: ort.RunOptions, worker: threading.Thread) -> None:
        """Ask a run to end, which it does after its present operation, and do not wait long for that."""
        options.terminate = True
        worker.join(_ENDING_S)


def has_device(device: str) -> bool:
    """Whether the ONNX Runtime that is installed was built for a device. Raises InputError for an unknown one."""
    if device not in _PROVIDERS:
        raise unknown("device", device, _PROVIDERS)
    return _PROVIDERS[device] in ort.get_available_providers()


def session(model: onnx.ModelProto, threads: int | None = None, device: str = CPU, optimised: bool = True) -> Runner:
    """An ONNX Runtime session, by default on all cores of the CPU.

    Args:
        model: the graph.
        threads: of its operations.
        device: cpu or cuda.
        optimised: False for one that is made quickly and runs once or twice.

    Raises:
        InputError: a model that does not run; a device that is unknown, not there, or not known to this ONNX Runtime.
    """
    if not has_device(device):
        raise InputError(f"this ONNX Runtime is not for {device}: pip install onnxruntime-gpu in its place")
    options = ort.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    # Its threads would wait actively, between runs as well, and take the cores from the codec and from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors become exceptions, and need no second voice
    try:
        with written(model) as source:
            made = ort.InferenceSession(source, options, providers=[_PROVIDERS[device]])
    except Exception as error:  # ONNX Runtime's exceptions have no common public base
        raise InputError(f"ONNX Runtime cannot run this model: {str(error).splitlines()[0]}") from error
    if _PROVIDERS[device] not in made.get_providers():  # it falls back to the CPU with no more than a line of its log
        raise InputError(f"ONNX Runtime cannot use {device} on this machine: are its driver and libraries there?")
    return Runner(made, _loops([*model.graph.node, *(node for each in model.functions for node in each.node)]))


def _loops(nodes: Iterable[Any]) -> bool:
    return any(
        node.op_type == "Loop" or _loops(inner for body in bodies(node) for inner in body.node) for node in nodes
    )


def bodies(node: Any) -> Iterator[Any]:
    """Graphs within a node: of If, Loop, Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
