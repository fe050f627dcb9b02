"""Cut any torch network at named submodules: run what comes before them here, and what comes after them elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError, unknown
from midstream.features import to_torch
from midstream.layout import Tensor, positions_of

with suppress(ImportError):  # nobody needs it to look at this module, and TorchSplit misses it when it is made
    import torch


class _FrontDone(BaseException):
    """Ends the front once every cut submodule has run; no Exception, so that a network's own `except` lets it pass."""


#: Of a tensor with so many axes, unless something else is said: maps, tokens, a vector.
_AXES = {4: "1CHW", 3: "1NC", 2: "1C"}
_MAP = "1CHW"


@dataclass(frozen=True)
class CutOutput:
    """What one cut submodule returns for one image.

    Attributes:
        container: torch.Tensor for a single tensor, else the kind of dict, list or tuple that holds the levels.
        keys: how the container calls its levels: a dict's keys, else 0, 1, ...
        channels: C of each level.
        dtypes: the torch dtype of each level.
        axes: of each level, as midstream.Tensor has them; all are maps where it is empty.
    """

    container: type
    keys: tuple[Hashable, ...]
    channels: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]
    axes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, output: object, path: str, axes: Callable[[Hashable, int], str]
    ) -> tuple[CutOutput, list[torch.Tensor]]:
        """The description of an output, and its levels with their batch axes.

        Args:
            output: what the submodule `path` returned.
            path: of the submodule.
            axes: by a level's key and its number of axes, what they are.

        Raises:
            InputError: it is something else than such levels.
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
            if not isinstance(level, torch.Tensor) or level.dim() < 2 or level.shape[0] != 1:
                raise InputError(
                    f"output {key} of submodule '{path}' is {got}; cut where tensors of a batch of one flow: maps "
                    "[1, C, H, W], tokens [1, N, C] or vectors [1, C]"
                )
        found = tuple(axes(key, level.dim()) for key, level in items.items())
        levels = list(items.values())
        container = torch.Tensor if isinstance(output, torch.Tensor) else type(output)
        channels = tuple(level.shape[form.index("C")] for level, form in zip(levels, found, strict=True))
        return cls(container, tuple(items), channels, tuple(level.dtype for level in levels), found), levels

    def axes_of(self, index: int) -> str:
        """Of the level at this place."""
        return self.axes[index] if self.axes else _MAP

    def build(self, levels: Sequence[torch.Tensor]) -> object:
        """The output again, as its submodule would have returned it, from its levels with their batch axes."""
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
            once per image and return one tensor, maps [1, C, H, W], tokens [1, N, C] or a vector [1, C], or a dict,
            list or tuple of them.
        outputs: what these submodules return, where it is known beforehand. Otherwise it is learnt from the first
            `front`, or, where the first call is a `back`, from one run of the front on zeros.
        axes: what the axes of levels are, where they are others than these: "1HWC", say, for all levels with so many
            axes, or by level name.
        grid: (rows, columns) of tokens that are of an image.
        extra: so many tokens come before those of the grid, such as a class token.

    Raises:
        InputError: there is no such submodule, the submodules overlap, or axes that no level can have.
        MissingExtraError: torch is not installed.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        at: Sequence[str],
        outputs: Mapping[str, CutOutput] | None = None,
        *,
        axes: str | Mapping[str, str] = "",
        grid: tuple[int, int] | None = None,
        extra: int = 0,
    ) -> None:
        if "torch" not in globals():
            raise MissingExtraError("cutting a torch network", "torch")
        if not isinstance(model, torch.nn.Module):
            raise InputError(f"a torch.nn.Module can be cut, not a {type(model).__name__}")
        self._model = model
        self._cut = _find_submodules(model, [at] if isinstance(at, str) else list(at))
        self._outputs = dict(outputs) if outputs is not None else None
        self._axes, self._grid, self._extra = _checked_axes(axes), grid, extra
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"TorchSplit({type(self._model).__name__}, at={list(self._cut)})"

    def whole(self, *inputs: object, **named: object) -> Any:
        """What the network gives in one piece, in evaluation mode, for the same inputs."""
        with self._patched(lambda _, forward: forward):
            return self._model(*inputs, **named)

    def front(self, *inputs: object, **named: object) -> dict[str, Any]:
        """The pyramid of one image.

        Args:
            inputs: what the network's forward takes, for a batch of one image.
            named: the same, by keyword.

        Returns:
            Level name -> [C, H, W] tensor of the network's own dtype, on its device; of what is no map, a
            midstream.Tensor. A dict's levels are named by their keys, a list's or tuple's "0", "1", ..., a single
            tensor by its submodule's path. Where the names of several submodules would collide they are preceded by
            the path and a dot.

        Raises:
            InputError: a submodule did not run, ran twice, or returned something else than levels.
        """
        seen: dict[str, tuple[CutOutput, list[torch.Tensor]]] = {}

        def recorder(path: str, forward: Callable[..., object]) -> Callable[..., object]:
            def run(*args: object, **kwargs: object) -> object:
                _refuse_second_run(path, seen)
                output = forward(*args, **kwargs)
                described, levels = CutOutput.of(output, path, partial(self._axes_for, path))
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
        names = _level_names(self._outputs)
        return {name: self._level(*seen[path], index) for name, (path, index) in names.items()}

    def _axes_for(self, path: str, key: Hashable, count: int) -> str:
        """What the axes of a level are: as was said of it or of all with so many axes, else as usual."""
        if isinstance(self._axes, str):
            found = self._axes if len(self._axes) == count else ""
        else:
            found = next((self._axes[name] for name in (f"{path}.{key}", str(key), path) if name in self._axes), "")
        if not (found := found or _AXES.get(count, "")) or len(found) != count:
            raise InputError(
                f"output {key} of submodule '{path}' has {count} axes"
                + (f", not {found}" if found else ': say what they are, axes="1HWC" for instance')
            )
        return found

    def _level(self, described: CutOutput, levels: Sequence[torch.Tensor], index: int) -> Any:
        axes = described.axes_of(index)
        if axes == _MAP:
            return levels[index][0]
        tokens = "N" in axes
        return Tensor(levels[index], axes, grid=self._grid if tokens else None, extra=self._extra if tokens else 0)

    def back(self, pyramid: Mapping[str, object], /, *inputs: object, **named: object) -> Any:
        """What the network returns when its cut submodules return `pyramid`, without computing them.

        Args:
            pyramid: level name -> array or tensor, [C, H, W] of maps, with the batch's axis of what is no map, named
                as `front` names them and as `midstream.decode` gives them; converted to the dtype that
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
            value, axes = pyramid[name], outputs[path].axes_of(index)
            value = value.values if isinstance(value, Tensor) else value
            own = axes[1:] if axes == _MAP else axes
            shape = list(getattr(value, "shape", ()))
            channels = outputs[path].channels[index]
            if len(shape) != len(own) or any(
                size != {"C": channels, "1": 1}.get(axis, size) for size, axis in zip(shape, own, strict=True)
            ):
                wanted = ", ".join(str(channels) if axis == "C" else axis for axis in own)
                raise InputError(f"level '{name}' has the shape {shape}; the network needs [{wanted}]")
            device = _device(self._cut[path], self._model)
            tensor = _as_tensor(value, name, outputs[path].dtypes[index], device)
            levels[path].append(tensor[None] if axes == _MAP else tensor)
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


def _as_tensor(level: object, name: str, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A copy of a level; a copy because the network may work on it in place."""
    if isinstance(level, torch.Tensor):
        return level.to(device, dtype, copy=True, memory_format=torch.contiguous_format)
    array: NDArray[Any] = np.array(level, order="C")
    try:
        tensor: torch.Tensor = to_torch(array)
    except TypeError as error:
        raise InputError(f"level '{name}' has the dtype {array.dtype}, which torch does not know") from error
    return tensor.to(device, dtype)


def _checked_axes(axes: str | Mapping[str, str]) -> str | Mapping[str, str]:
    for each in [axes] if isinstance(axes, str) else axes.values():
        if each and (not each.startswith("1") or positions_of(each) is None):
            raise InputError(f'axes {each!r}: 1 for the batch first, one C, with N, T or H and W, such as "1NC"')
    return axes
