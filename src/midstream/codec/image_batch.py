"""`encode_batch`, `decode_batch`: many images in one call, the entropy coder of one beside the device work of the next.

What is done on a device is done by the thread that calls, on its current stream; what is done on the host by a pool,
since native code lets other threads run. Of arrays, all is done by the pool, an image a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from midstream.codec.api import DEFAULT_CODEC, begin_decoding, guarded, prepared
from midstream.codec.base import NO_HINTS
from midstream.codec.laid_out import with_layouts
from midstream.codec.registry import make_codec
from midstream.codec.threads import core_count, submitted, thread_count
from midstream.errors import BitstreamError, InputError
from midstream.features import check_pyramid
from midstream.layout import Layout, Tensor

if TYPE_CHECKING:
    from midstream.codec.base import Codec
    from midstream.codec.calibrated.profile import Profile
    from midstream.limits import Limits

_T = TypeVar("_T")


def encode_batch(
    pyramids: Iterable[Mapping[str, Any]] | Mapping[str, Any],
    codec: str | Codec = DEFAULT_CODEC,
    *,
    threads: int | None = None,
    **options: Any,
) -> list[bytes]:
    """Code many images; each gives the bytes that `encode` gives.

    Args:
        pyramids: a pyramid an image, as `encode` takes them, looked at one after another; or one mapping of level name
            -> array or tensor [N, C, H, W].
        codec, options: as `encode` takes them.
        threads: how many to use at most, all cores by default.

    Returns:
        A bitstream an image.

    Raises:
        InputError: as `encode`; the message begins with the number of the image.
    """
    chosen = make_codec(codec, options)
    workers, own = _shares(threads, pyramids)

    def begun(number: int, pyramid: Mapping[str, Any]) -> Callable[[], bytes]:
        with _about(number), guarded(type(chosen)):
            levels = check_pyramid(pyramid)
            hints, layouts = prepared(chosen, levels, NO_HINTS)
            rest = chosen.begin(levels, hints, threads=own)
        return partial(finished, number, rest, layouts)

    def finished(number: int, rest: Callable[[], bytes], layouts: Sequence[Layout]) -> bytes:
        with _about(number), guarded(type(chosen)):
            return with_layouts(rest(), layouts)

    images = _apart(pyramids) if isinstance(pyramids, Mapping) else _kept(pyramids)
    return list(_in_turn((begun(number, pyramid) for number, pyramid in enumerate(images)), workers))


def decode_batch(
    bitstreams: Iterable[bytes | bytearray | memoryview],
    *,
    levels: Sequence[str] | None = None,
    like: Literal["numpy", "torch"] = "numpy",
    device: object = None,
    limits: Limits | None = None,
    profile: Profile | str | Path | None = None,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Reconstruct many pyramids; each is what `decode` gives.

    Args:
        bitstreams: one an image, looked at one after another.
        levels, like, device, profile: as `decode` takes them.
        limits: what each of them may spend.
        threads: how many to use at most, all cores by default.

    Raises:
        BitstreamError, InputError: as `decode`; the message begins with the number of the image.
    """
    if profile is not None:
        from midstream.codec.calibrated.profile import Profile

        profile = Profile.of(profile)
    workers, own = _shares(threads, bitstreams)

    def begun(number: int, data: bytes | bytearray | memoryview) -> Callable[[], dict[str, Any]]:
        with _about(number):
            return begin_decoding(data, levels, like, limits, False, profile, own, device)

    out = []
    tasks = (partial(begun, number, data) for number, data in enumerate(bitstreams))
    for number, finish in enumerate(_in_turn(tasks, workers)):
        with _about(number):
            out.append(finish())
    return out


def _shares(threads: int | None, images: object) -> tuple[int, int]:
    """Images at the same time, and threads of each."""
    thread_count(threads, 0)  # checks it
    most = core_count() if threads is None else int(threads)
    first = next(iter(images.values()), ()) if isinstance(images, Mapping) else images
    count = len(first) if hasattr(first, "__len__") else most
    return most, max(most // max(count, 1), 1)


def _kept(pyramids: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """The same; of an iterator, which may write into one buffer again and again, copies. Raises InputError."""
    if not isinstance(pyramids, Iterable):
        raise InputError(f"a batch is pyramids, or one mapping of levels [N, C, H, W], not {type(pyramids).__name__}")
    if not isinstance(pyramids, Iterator):
        return pyramids
    return (
        {name: _copied(values) for name, values in each.items()} if isinstance(each, Mapping) else each
        for each in pyramids
    )


def _copied(values: Any) -> Any:
    if isinstance(values, Tensor):
        own = copy(values)
        own.values = _copied(values.values)
        return own
    return values.clone() if hasattr(values, "clone") else np.array(values, subok=True)  # a mask is refused later


def _apart(levels: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The images of levels [N, C, H, W]. Raises InputError."""
    shapes = {name: list(getattr(values, "shape", ())) for name, values in levels.items()}
    if any(len(shape) != 4 for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) != 1:
        raise InputError(f"levels of a batch are [N, C, H, W], of as many images each, not {shapes}")
    for number in range(next(iter(shapes.values()))[0]):
        yield {name: values[number] for name, values in levels.items()}


def _in_turn(tasks: Iterable[Callable[[], _T]], workers: int) -> Iterator[_T]:
    """What the tasks give, in their order; so many of them run at a time, and one waits, while the next one is made."""
    ahead: deque[Future[_T]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for task in tasks:
            ahead.append(submitted(pool, task))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


@contextmanager
def _about(number: int) -> Iterator[None]:
    try:
        yield
    except (InputError, BitstreamError) as error:
        error.begin(f"image {number} of the batch, counted from 0: ")
        raise
