"""Cut any torch network at named submodules: run what comes before them here, and what comes after them elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError, unknown
from midstream.features import to_torch

with suppress(ImportError):  # nobody needs it to look at this module, and TorchSplit misses it when it is made
    import torch


class _FrontDone(BaseException):
    """Ends the front once every cut submodule has run; no Exception, so that a network's own `except` lets it pass."""


@dataclass(frozen=True)
class CutOutput:
    """What one cut submodule returns for one image.

    Attributes:
        container: torch.Tensor for a single tensor, else the kind of dict, list or tuple that holds the levels.
        keys: how the container calls its levels: a dict's keys, else 0, 1, ...
        channels: C of each level.
        dtypes: the torch dtype of each level.
    """

    container: type
    keys: tuple[Hashable, ...]
    channels: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]

    @classmethod
    def of(cls, output: object, path: str) -> tuple[CutOutput, list[torch.Tensor]]:
        """The description of an output, and its levels ([1, C, H, W] each).

        Raises:
            InputError: the submodule `path` returned something else than such levels.
        """
        items: dict[Hashable, Any]
        if isinstance(output, torch.Tensor):
            items = {0: output}
        elif isinstance(output, Mapping):
            items = dict(output)
        elif isinstance(output, list | tuple):
            items = dict(enumerate(output))
        else:
            raise InputError(f"submodule '{path}' returns a {type(output).__name__}; cut where tensors flow")
        for key, level in items.items():
            got = list(level.shape) if isinstance(level, torch.Tensor) else type(level).__name__
            if not isinstance(level, torch.Tensor) or level.dim() != 4 or level.shape[0] != 1:
                raise InputError(f"output {key} of submodule '{path}' is {got}; cut where [1, C, H, W] tensors flow")
        levels = list(items.values())
        container = torch.Tensor if isinstance(output, torch.Tensor) else type(output)
        channels, dtypes = tuple(level.shape[1] for level in levels), tuple(level.dtype for level in levels)
        return cls(container, tuple(items), channels, dtypes), levels

    def build(self, levels: Sequence[torch.Tensor]) -> object:
        """The output again, as its submodule would have returned it, from its levels ([1, C, H, W] each)."""
        if self.container is torch.Tensor:
            return levels[0]
        if issubclass(self.container, Mapping):
            pairs: Callable[[object], object] = self.container
            return pairs(zip(self.keys, levels, strict=True))
        make: Callable[[object], object] = getattr(self.container, "_make", self.container)  # a named tuple has _make
        return make(levels)


class TorchSplit:
    """A torch network cut in two at named submodules.

    `front` runs the network on an image until the named submodules have returned, and stops there; what they returned
    is the pyramid. `back` runs the network with the named submodules replaced by a pyramid. It is given the same inputs
    for their *shapes* only: every tensor and array in them (inside lists, tuples and dicts too) is replaced by zeros
    before the network runs, so that no content of the image reaches the back other than through the pyramid. Numbers,
    strings and other objects pass as they are. A network that uses the image itself behind the cut, or something
    computed from it before the cut, gives other results in two halves than in one: cut it elsewhere, or at more
    submodules. What runs before the cut, outside of the cut submodules, is computed in the back too, on zeros.

    The network is left as it was found, also after an error: no hooks, no replaced forwards, and each module in the
    training or evaluation mode that it had. Both halves run in evaluation mode and under `torch.inference_mode`, one
    call at a time. A submodule's own forward hooks count as part of the back.

    Args:
        model: the network; used in place, on the device where it is.
        at: the paths of the submodules to cut at, as in `model.named_modules()`, none inside another. Each must run
            once per image and return one [1, C, H, W] tensor, or a dict, list or tuple of them.
        outputs: what these submodules return, where it is known beforehand. Otherwise it is learnt from the first
            `front`, or, where the first call is a `back`, from one run of the front on zeros.

    Raises:
        InputError: there is no such submodule, or the submodules overlap.
        MissingExtraError: torch is not installed.
    """

    def __init__(
        self, model: torch.nn.Module, at: Sequence[str], outputs: Mapping[str, CutOutput] | None = None
    ) -> None:
        if "torch" not in globals():
            raise MissingExtraError("cutting a torch network", "torch")
        self._model = model
        self._cut = _find_submodules(model, [at] if isinstance(at, str) else list(at))
        self._outputs = dict(outputs) if outputs is not None else None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"TorchSplit({type(self._model).__name__}, at={list(self._cut)})"

    def front(self, *inputs: object, **named: object) -> dict[str, torch.Tensor]:
        """The pyramid of one image.

        Args:
            inputs: what the network's forward takes, for a batch of one image.
            named: the same, by keyword.

        Returns:
            Level name -> [C, H, W] tensor of the network's own dtype, on its device. A dict's levels are named by
            their keys, a list's or tuple's "0", "1", ..., a single tensor by its submodule's path. Where the names of
            several submodules would collide they are preceded by the path and a dot.

        Raises:
            InputError: a submodule did not run, ran twice, or returned something else than levels.
        """
        seen: dict[str, tuple[CutOutput, list[torch.Tensor]]] = {}

        def recorder(path: str, forward: Callable[..., object]) -> Callable[..., object]:
            def run(*args: object, **kwargs: object) -> object:
                _refuse_second_run(path, seen)
                output = forward(*args, **kwargs)
                described, levels = CutOutput.of(output, path)
                if len(seen) + 1 == len(self._cut):
                    seen[path] = described, levels
                    raise _FrontDone
                # What runs until the last submodule is done may still change this output in place.
                seen[path] = described, [level.clone() for level in levels]
                return output

            return run

        with self._patched(recorder):
            with suppress(_FrontDone):
                self._model(*inputs, **named)
            _refuse_missing_run(self._cut, seen)
        self._outputs = {path: seen[path][0] for path in self._cut}
        return {name: seen[path][1][index][0] for name, (path, index) in _level_names(self._outputs).items()}

    def back(self, pyramid: Mapping[str, object], /, *inputs: object, **named: object) -> Any:
        """What the network returns when its cut submodules return `pyramid`, without computing them.

        Args:
            pyramid: level name -> [C, H, W] array or tensor, named as `front` names them; converted to the dtype that
                the submodule would have returned, on the network's device. It is copied, never changed.
            inputs: as given to `front`, or anything of the same structure and shapes: the content is not looked at.
            named: the same, by keyword.

        Raises:
            InputError: a level is missing, unknown, or of another number of channels; or a submodule did not run
                exactly once.
        """
        inputs, named = _blank(inputs), _blank(named)
        if self._outputs is None:
            self.front(*inputs, **named)
            assert self._outputs is not None
        replaced = self._arrange(pyramid, self._outputs)
        ran: set[str] = set()

        def substitute(path: str, _: Callable[..., object]) -> Callable[..., object]:
            def run(*args: object, **kwargs: object) -> object:
                _refuse_second_run(path, ran)
                ran.add(path)
                return replaced[path]

            return run

        with self._patched(substitute):
            result = self._model(*inputs, **named)
            _refuse_missing_run(self._cut, ran)
        return result

    def _arrange(self, pyramid: Mapping[str, object], outputs: Mapping[str, CutOutput]) -> dict[str, object]:
        """The output of each cut submodule, made of the pyramid's levels."""
        names = _level_names(outputs)
        if missing := [name for name in names if name not in pyramid]:
            raise InputError(
                f"the pyramid lacks {', '.join(missing)}: the network needs the levels {', '.join(names)}, "
                f"the pyramid has {', '.join(pyramid) or 'none'}"
            )
        levels: dict[str, list[torch.Tensor]] = {path: [] for path in outputs}
        for name in pyramid:
            if name not in names:
                raise unknown("level", name, names)
        for name, (path, index) in names.items():
            shape = list(getattr(pyramid[name], "shape", ()))
            if len(shape) != 3 or shape[0] != outputs[path].channels[index]:
                wanted = f"[{outputs[path].channels[index]}, H, W]"
                raise InputError(f"level '{name}' has the shape {shape}; the network needs {wanted}")
            device = _device(self._cut[path], self._model)
            levels[path].append(_as_batch(pyramid[name], name, outputs[path].dtypes[index], device))
        return {path: output.build(levels[path]) for path, output in outputs.items()}

    @contextmanager
    def _patched(self, replace: Callable[[str, Callable[..., object]], Callable[..., object]]) -> Iterator[None]:
        """The network in evaluation mode, each cut submodule with what `replace` makes of its path and forward.

        At the end all is as it was.
        """
        with self._lock, torch.inference_mode():
            training = [module for module in self._model.modules() if module.training]
            own = {path: vars(module)["forward"] for path, module in self._cut.items() if "forward" in vars(module)}
            try:
                self._model.eval()
                for path, module in self._cut.items():
                    vars(module)["forward"] = replace(path, module.forward)
                yield
            finally:
                for path, module in self._cut.items():
                    vars(module).pop("forward", None)
                    if path in own:
                        vars(module)["forward"] = own[path]
                for module in training:
                    module.training = True


def _find_submodules(model: torch.nn.Module, at: list[str]) -> dict[str, torch.nn.Module]:
    """Path -> submodule, in the order of `at`."""
    modules = {path: module for path, module in model.named_modules(remove_duplicate=False) if path}
    if not at:
        raise InputError("name at least one submodule to cut the network at")
    for path in at:
        if path not in modules:
            raise unknown("submodule", path, modules)
    cut = {path: modules[path] for path in at}
    for path in at:
        for other in at:
            if other.startswith(path + "."):
                raise InputError(f"submodule '{other}' lies inside '{path}': cut at one of them")
    if len({id(module) for module in cut.values()}) < len(at):
        raise InputError(f"the submodules {', '.join(at)} are not all different")
    return cut


def _level_names(outputs: Mapping[str, CutOutput]) -> dict[str, tuple[str, int]]:
    """Level name -> submodule and place in its output."""
    for prefixed in (False, True):
        names: list[tuple[str, tuple[str, int]]] = []
        for path, output in outputs.items():
            for index, key in enumerate(output.keys):
                own = f"{path}.{key}" if prefixed else str(key)
                names.append((path if output.container is torch.Tensor else own, (path, index)))
        if len(dict(names)) == len(names):
            return dict(names)
    raise InputError(f"the level names {', '.join(name for name, _ in names)} are not all different")


def _refuse_second_run(path: str, ran: Mapping[str, object] | set[str]) -> None:
    if path in ran:
        raise InputError(f"submodule '{path}' runs more than once per image: cut at one that runs once")


def _refuse_missing_run(cut: Mapping[str, object], ran: Mapping[str, object] | set[str]) -> None:
    if idle := [path for path in cut if path not in ran]:
        raise InputError(f"submodule '{', '.join(idle)}' did not run for this input: the network cannot be cut there")


def _blank(value: Any) -> Any:
    """The same structure with zeros for every tensor's and array's content."""
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, np.ndarray):
        return np.zeros_like(value)
    if isinstance(value, Mapping):
        return {key: _blank(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        make: Callable[[list[Any]], object] = getattr(type(value), "_make", type(value))
        return make([_blank(item) for item in value])
    return value


def _device(module: torch.nn.Module, model: torch.nn.Module) -> torch.device:
    """Where the cut submodule's output would lie: with its own parameters, else with the network's."""
    for holder in (module, model):
        for tensors in (holder.parameters(), holder.buffers()):
            for tensor in tensors:
                device: torch.device = tensor.device
                return device
    return torch.device("cpu")


def _as_batch(level: object, name: str, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A copy of a level, [1, C, H, W]; a copy because the network may work on it in place."""
    if isinstance(level, torch.Tensor):
        return level.to(device, dtype, copy=True, memory_format=torch.contiguous_format)[None]
    array: NDArray[Any] = np.array(level, order="C")
    try:
        tensor: torch.Tensor = to_torch(array)
    except TypeError as error:
        raise InputError(f"level '{name}' has the dtype {array.dtype}, which torch does not know") from error
    return tensor.to(device, dtype)[None]
