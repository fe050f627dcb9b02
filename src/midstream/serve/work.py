"""The server's half of one frame: bitstream in, detections out, whoever calls it and wherever.

A pure function, but for units of a stream, which need what their stream's decoder keeps (`midstream.serve.streams`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from midstream.codec.api import declaration, decode, inspect
from midstream.codec.base import Declaration
from midstream.codec.calibrated.profile import Profile
from midstream.codec.stream import StreamDecoder
from midstream.errors import BitstreamError, InputError, MidstreamError, MissingReferenceError
from midstream.halves.levels import completed, sent
from midstream.limits import Limits
from midstream.models import BatchingModel, FloatPyramid, Output, SplitModel
from midstream.models.plausible import some_array
from midstream.models.tasks.tensors import KnownTensor, Tensors, fault_of
from midstream.serve.streams import BESIDE, KEPT_FRAMES, StreamKey, StreamLimits, Streams

#: Height over width of images among which one makes a network with inputs of any size work hardest.
_RATIOS = (1, 3 / 4, 9 / 16, 3 / 5, 1 / 2)
_PROBE_WIDTH = 2048
#: Networks pad their inputs to a multiple of at most so many pixels (EfficientDet's seven levels: 128).
_MOST_PADDING = 128
#: What is kept of a frame for each element of a pyramid, at most (midstream.Limits).
_KEPT_BYTES_PER_ELEMENT = 6
#: The longest side of an image: JPEG's, whose header has 16 bits for it (ITU-T T.81, B.2.2). Sides that are longer
#: make the back several times slower for as many pixels; up to this one its time goes by the pixels.
_MOST_SIDE = 65_535
#: Kinds of refusal that are no fault of the frame's: see Refused.
REFERENCE, LATE = "reference", "late"
_NOT_EMBEDDED = (
    "the bitstream holds its own profile, which this server does not take: give the server the profile (--profile) and "
    "send without it, or start the server with --allow-embedded-profiles"
)


@dataclass(frozen=True)
class Served:
    """A network ready to finish inference from bitstreams.

    Attributes:
        model: the network.
        profile: of bitstreams of the codec `calibrated` that do not hold their own; None for none.
        limits: what a bitstream may cost; `elements` is what the network can produce.
        shapes: of all levels of the probe's pyramid, derived ones included, finest first.
        probe: (height, width) at which the network worked on the probe.
        fixed: whether every image has a pyramid of those shapes.
        max_pixels: of the image that detections are for.
        batch: frames that the back takes at once.
        threads: of decoding one bitstream.
        embedded: whether a bitstream may bring its own profile.
        outputs: of the task `tensors`, what is known of all answers; empty for nothing.
    """

    model: SplitModel
    profile: Profile | None
    limits: Limits
    shapes: dict[str, tuple[int, ...]]
    probe: tuple[int, int]
    fixed: bool
    max_pixels: int
    batch: int
    threads: int
    embedded: bool
    outputs: tuple[KnownTensor, ...] = ()


@dataclass(frozen=True)
class Work:
    """One frame.

    Attributes:
        bitstream: of its features.
        size: (height, width) of the original image.
        stream: whose unit the bitstream is; None of one that stands alone.
        late: nobody waits for the answer any more, but units after this one may refer to it.
    """

    bitstream: bytes
    size: tuple[int, int]
    stream: StreamKey | None = None
    late: bool = False


@dataclass(frozen=True)
class Done:
    """The task's output for the original image, and the seconds that decoding and the back took."""

    output: Output
    decode_s: float
    back_s: float


@dataclass(frozen=True)
class Refused:
    """A frame that cannot be answered.

    Attributes:
        reason: for the sender, without anything of this machine.
        kind: `internal` where the frame may not be to blame; `reference` where a key is to be sent instead; `late`
            where it was not to be answered; else what is wrong with it: `truncated`, `corrupt`, `unsupported`, `limit`
            (the four of a bitstream), `profile`, `shapes`, `size`, `not finite`.
        cause: for the log of this machine.
    """

    reason: str
    kind: str
    cause: BaseException | None = None


Outcome = Done | Refused


def prepare(
    model: SplitModel,
    profile: Profile | None,
    *,
    max_pixels: int,
    batch: int,
    threads: int,
    elements: int | None,
    embedded: bool = False,
) -> Served:
    """Run the network once on a grey image: to warm it up, and to learn what its pyramids are like.

    Args:
        model: the network.
        profile: of the codec `calibrated`.
        max_pixels: see Served.
        batch: the most frames to give to the back at once, where it takes more than one.
        threads: of decoding one bitstream.
        elements: limit of a pyramid's elements, those of the network's largest pyramid by default.
        embedded: see Served.

    Raises:
        InputError: a profile of another network, or a network that does not run.
    """
    if profile is not None:
        profile.check_network(model.name, model.fingerprint)
    sizes = [(int(_PROBE_WIDTH * ratio), _PROBE_WIDTH) for ratio in _RATIOS]
    largest = max(sizes, key=lambda size: int(np.prod(model.input_size(size))))
    fixed = len({model.input_size(size) for size in sizes}) == 1
    arrays = some_array(model)
    pyramid = model.front(np.full((*largest, 3), 114, np.uint8) if arrays is None else arrays)
    output = model.back(pyramid, largest)
    coded = sum(values.size for values in sent(model, pyramid).values())
    return Served(
        model,
        profile,
        replace(Limits(), elements=coded if elements is None else elements),
        {name: values.shape for name, values in pyramid.items()},
        model.input_size(largest),
        fixed,
        max_pixels,
        batch if batch > 1 and fixed and _batches(model, pyramid, largest) else 1,
        threads,
        embedded,
        _known(model, output),
    )


def _known(model: SplitModel, output: Output) -> tuple[KnownTensor, ...]:
    """What a graph says of its outputs; nothing where this one, of an image, shows that it is wrong."""
    known: tuple[KnownTensor, ...] = getattr(model, "tensors", ())
    return known if isinstance(output, Tensors) and not fault_of(known, output) else ()


def _batches(model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> bool:
    """Whether the back takes two images at once: graphs exist that declare a free axis and fix it inside."""
    if not (isinstance(model, BatchingModel) and model.batches):
        return False
    try:
        return len(model.back_batch([pyramid, pyramid], [size, size])) == 2
    except MidstreamError:
        return False


def stream_bytes(served: Served) -> int:
    """What one stream of a network takes of a server's memory, at most."""
    return _KEPT_BYTES_PER_ELEMENT * served.limits.elements + BESIDE


def remembered(served: Served, limits: StreamLimits, dropped: Callable[[str], None] = lambda why: None) -> Streams:
    """The streams of a server, none yet; see Streams."""

    def begin() -> StreamDecoder:
        return StreamDecoder(served.profile, limits=served.limits, threads=served.threads, kept_frames=KEPT_FRAMES)

    return Streams(begin, limits, dropped)


def infer(served: Served, works: Sequence[Work], streams: Streams | None = None) -> list[Outcome]:
    """An outcome for each frame, in order. Raises nothing: whatever a frame holds, it spoils its own answer only.

    Args:
        served: the network.
        works: the frames; of a stream in its order.
        streams: decodes units; None for a server that takes none.
    """
    outcomes: list[Outcome | None] = []
    ready: list[tuple[int, FloatPyramid, float]] = []
    for number, work in enumerate(works):
        start = time.perf_counter()
        try:
            with _explained():
                pyramid = _decoded(served, work, streams)
        except _RefusalError as error:
            outcomes.append(error.refused)
            continue
        outcomes.append(None)
        ready.append((number, pyramid, time.perf_counter() - start))
    for first in range(0, len(ready), served.batch):
        group = ready[first : first + served.batch]
        for (number, _, _), outcome in zip(group, _finished(served, works, group), strict=True):
            outcomes[number] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _finished(served: Served, works: Sequence[Work], group: Sequence[tuple[int, FloatPyramid, float]]) -> list[Outcome]:
    start = time.perf_counter()
    sizes = [works[number].size for number, _, _ in group]
    try:
        with _explained():
            found = _back(served.model, [pyramid for _, pyramid, _ in group], sizes)
    except _RefusalError as error:
        if len(group) == 1:
            return [error.refused]
        return [outcome for one in group for outcome in _finished(served, works, [one])]  # which of them was it?
    share = (time.perf_counter() - start) / len(group)
    return [
        Done(output, decode_s, share)
        if output.finite
        else Refused("from these features the network makes numbers that are not finite", "not finite")
        for output, (_, _, decode_s) in zip(found, group, strict=True)
    ]


def _back(model: SplitModel, pyramids: Sequence[FloatPyramid], sizes: Sequence[tuple[int, int]]) -> list[Output]:
    if len(pyramids) == 1:
        return [model.back(pyramids[0], sizes[0])]
    assert isinstance(model, BatchingModel)
    return model.back_batch(pyramids, sizes)


def screen(served: Served, work: Work) -> Refused | Declaration:
    """What is wrong with a frame by its header, or what that says: costs microseconds.

    So such a frame need not wait for a worker.
    """
    try:
        with _explained(), _judged(served):
            return _check_header(served, work)
    except _RefusalError as error:
        return error.refused


def _decoded(served: Served, work: Work, streams: Streams | None) -> FloatPyramid:
    with _judged(served):
        declared = _check_header(served, work)
        if declared.embedded:
            seen = inspect(work.bitstream, limits=served.limits)
            _check_shapes(served, seen.shapes or {}, work.size)
        if declared.unit:
            received = _unit(served, work, streams)
        else:
            received = decode(work.bitstream, limits=served.limits, profile=served.profile, threads=served.threads)
    pyramid = {name: np.asarray(values, np.float32) for name, values in received.items()}
    return completed(served.model, pyramid, list(served.shapes))


def _unit(served: Served, work: Work, streams: Streams | None) -> dict[str, Any]:
    """The levels of a unit of a stream. Raises _RefusalError, BitstreamError, InputError."""
    if streams is None or work.stream is None:
        raise _refusal("unsupported", "this server takes no streams: code each frame by itself")
    with streams.decoder(work.stream) as decoder:
        received = decoder.decode(work.bitstream)
    if work.late:
        raise _refusal(LATE, "the frame's time was over before it was computed")
    # Of a unit that is no key only decoding tells them: those of its key, whose image may have been of another size.
    _check_shapes(served, {name: values.shape for name, values in received.items()}, work.size)
    return received


@contextmanager
def _judged(served: Served) -> Iterator[None]:
    """What the codec has against a bitstream, as a refusal."""
    try:
        yield
    except MissingReferenceError as error:
        raise _refusal(REFERENCE, f"send a key frame: {error}") from error
    except BitstreamError as error:
        name = type(error).__name__
        raise _refusal(name.removesuffix("Error").lower(), f"{name}: {error}") from error
    except InputError as error:  # of a whole bitstream: the profile is missing, or another one
        own = "none" if served.profile is None else served.profile.name
        reason = f"the bitstream was made with another profile than this server has: {own}"
        raise _refusal("profile", reason) from error


def _check_header(served: Served, work: Work) -> Declaration:
    """Refuse what the network does not take, before anything is decoded."""
    height, width = work.size
    if min(height, width) < 1 or max(height, width) > _MOST_SIDE or height * width > served.max_pixels:
        taken = f"1 to {served.max_pixels:,} pixels (its --max-pixels), at most {_MOST_SIDE} along a side"
        raise _refusal("size", f"an image of {width}x{height}, {width * height:,} pixels; this server takes {taken}")
    declared = declaration(work.bitstream, limits=served.limits, profile=served.profile)
    if declared.embedded and not served.embedded:
        raise _refusal("profile", _NOT_EMBEDDED)
    if declared.shapes is not None:  # else only a profile knows them: the embedded one, or one that is missing
        _check_shapes(served, declared.shapes, work.size)
    return declared


def _check_shapes(served: Served, got: Mapping[str, tuple[int, ...]], size: tuple[int, int]) -> None:
    expected = {name: shape for name, shape in served.shapes.items() if name not in served.model.derived}
    if got.keys() != expected.keys() or not all(_fits(served, got[name], expected[name], size) for name in expected):
        reason = f"the bitstream holds {_listed(got)}; {served.model.name} takes {_listed(expected)}"
        raise _refusal("shapes", reason + ("" if served.fixed else f" of an image of {_PROBE_WIDTH} pixels' width"))


def _fits(served: Served, got: tuple[int, ...], usual: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether a level has its shape: where inputs may have any size, as many cells as an image of `size` makes."""
    if served.fixed or len(got) != len(usual) or got[0] != usual[0]:
        return got == usual
    scales = (now / probe for now, probe in zip(served.model.input_size(size), served.probe, strict=True))
    sides = zip(got[1:], usual[1:], scales, served.probe, strict=False)
    return all(
        abs(cells - before * scale) <= 1 + _MOST_PADDING * before / probe for cells, before, scale, probe in sides
    )


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    most = 8  # a hostile bitstream may have a thousand
    text = ", ".join(f"{name!r} {list(shape)}" for name, shape in list(shapes.items())[:most])
    return text + (f" and {len(shapes) - most} more" if len(shapes) > most else "")


class _RefusalError(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason)
        self.refused = refused


def _refusal(kind: str, reason: str) -> _RefusalError:
    return _RefusalError(Refused(reason, kind))


@contextmanager
def _explained() -> Iterator[None]:
    """Anything unforeseen is refused as internal: its message may hold paths of this machine."""
    try:
        with np.errstate(all="ignore"):  # features may be as large as float32 goes; what comes of it is looked at
            yield
    except _RefusalError:
        raise
    except Exception as error:
        raise _RefusalError(Refused("this frame could not be computed", "internal", error)) from error
