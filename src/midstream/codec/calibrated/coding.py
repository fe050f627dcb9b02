"""Encode with a profile, and choose the step: by quality, by a cap on the bytes, by a bound on the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE
from midstream.codec.calibrated.options import CalibratedOptions, Target
from midstream.codec.calibrated.parts import Floats, GroupPart, widths
from midstream.codec.calibrated.places import check_scores, classes_of, probed, spread
from midstream.codec.calibrated.prediction import expected, places_from
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import write_stream
from midstream.codec.calibrated.transform import Size, forward, grids_of
from midstream.codec.threads import thread_count
from midstream.errors import InputError, OptionError
from midstream.features import Level

#: Squared error, in steps, that a bit is worth: by what more of a uniform quantiser's bits save at high rate,
#: 2 ln 2 / 12 = 0.116 (Gish and Pierce 1968), and a little, since zeros make what follows cheaper.
LAMBDA = 0.14
#: The largest component, in magnitude, that is coded: with it no sum of a decoder overflows (tensors.py).
LARGEST = 2.0**40
#: The largest whole number that a component becomes: native/coefficients.hpp.
_MOST_STEPS = 1 << 20
#: Passes of the coder beyond the first that a cap on the bytes may take.
_MORE_PASSES = 2
#: Octaves of bytes per step, usually, and at least: what a search begins with.
_USUAL_SLOPE, _LEAST_SLOPE = 1 / 6, 1e-3
#: By how much of the way to what fits a search goes beyond it, and by how many octaves of bytes at least.
_MARGIN, _LEAST_MARGIN = 0.25, 0.02


@dataclass(frozen=True)
class Analysed:
    """A pyramid as components and classes of places, by group."""

    profile: Profile
    components: list[Floats] = field(repr=False)
    places: list[NDArray[np.uint8]] = field(repr=False)
    sizes: dict[str, Size]
    dtypes: dict[str, str]


def encode_calibrated(
    levels: Sequence[Level],
    options: CalibratedOptions,
    scores: NDArray[np.floating[Any]] | None = None,
    threads: int | None = None,
) -> bytes:
    """The bitstream of a pyramid.

    Args:
        levels: those that the profile has, any order.
        options: profile and target.
        scores: see `codec.encode`.
        threads: at most so many; the bytes are the same for any number.

    Raises:
        InputError: levels that are not the profile's, a NaN or an infinity, a target that cannot be met.
    """
    return encode_analysed(analyse(levels, options.profile, scores, threads), options)


def encode_analysed(analysed: Analysed, options: CalibratedOptions) -> bytes:
    """The bitstream at the options' target. Raises InputError for one that cannot be met."""
    if options.target.max_bytes is not None:
        return _within(analysed, options.target.max_bytes, options.embed)
    return code(analysed, step_of(options.profile, options.target), options.embed)


def step_of(profile: Profile, target: Target) -> int:
    """The index of the step for a quality or a loss. Raises InputError."""
    if target.quality is not None:
        return profile.step_of(target.quality)
    assert target.max_loss is not None
    return profile.step_for_loss(target.max_loss)


def analyse(
    levels: Sequence[Level],
    profile: Profile,
    scores: NDArray[np.floating[Any]] | None = None,
    threads: int | None = None,
) -> Analysed:
    """The transform and the classes of places, which no step changes. Raises InputError."""
    by_name = {level.name: level for level in levels}
    if sorted(by_name) != sorted(profile.about.order):
        more = [] if set(profile.about.order) - set(by_name) else set(by_name) - set(profile.about.order)
        raise InputError(
            f"the pyramid has the levels {', '.join(by_name)}; the profile, of {profile.about.network}, "
            f"{', '.join(profile.about.order)}"
            + (f": leave out {', '.join(sorted(more))}, as 'midstream extract --sent' does" if more else "")
        )
    count = thread_count(threads, sum(level.values.size for level in levels))
    maps = {name: _maps(level) for name, level in by_name.items()}
    _check_levels(profile, maps)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is too large
        components = [forward(group, maps, count) for group in profile.groups]
    for each in components:
        _check_size(each)
    first = _places(profile, components[0], scores)
    places = [first, *(places_from(first, each.shape[1:]) for each in components[1:])]
    sizes = {name: values.shape[1:] for name, values in maps.items()}
    return Analysed(profile, components, places, sizes, {level.name: level.dtype for level in levels})


def _check_size(components: Floats) -> None:
    if not (np.abs(components) <= LARGEST).all():  # a NaN is not
        raise InputError("the pyramid holds values that are too large to code: this is no output of the network")


def _maps(level: Level) -> Floats:
    if not np.isfinite(level.values).all():
        channel = int(np.flatnonzero(~np.isfinite(level.values).all(axis=1))[0])
        raise InputError(f"level '{level.name}', channel {channel} holds a NaN or an infinity")
    return level.values.reshape(level.shape)


def _check_levels(profile: Profile, maps: Mapping[str, Floats]) -> None:
    """Channels, and sizes that belong together. Raises InputError."""
    for group in profile.groups:
        for level in group.levels:
            channels = len(maps[level.about.name])
            if channels != level.about.channels:
                raise InputError(
                    f"level '{level.about.name}' has {channels} channels, the profile is for {level.about.channels}"
                )
    try:
        grids_of(profile.groups, {name: values.shape[1:] for name, values in maps.items()})
    except ValueError as error:
        shapes = {name: list(values.shape) for name, values in maps.items()}
        raise InputError(
            f"levels of {shapes} do not lie over one another as those that the profile was made with: {error}"
        ) from error


def _places(profile: Profile, components: Floats, scores: NDArray[np.floating[Any]] | None) -> NDArray[np.uint8]:
    """Of the first group."""
    grid, group = components.shape[1:], profile.groups[0]
    if scores is not None:
        return classes_of(profile.about.places, spread(check_scores(scores, (grid[0], grid[1]))))
    if group.probe is None:
        return np.zeros(grid, np.uint8)
    return classes_of(profile.about.places, probed(group.probe, components, group.scales))


def code(analysed: Analysed, step: int, embed: bool = False) -> bytes:
    """The bitstream at a step's index."""
    profile = analysed.profile
    steps = profile.about.places.steps(step)
    first = profile.groups[0]
    stream, _, decoded = quantised(first, steps, analysed.components[0], analysed.places[0])
    _check_size(decoded)
    streams = [stream]
    for group, values, places in zip(profile.groups[1:], analysed.components[1:], analysed.places[1:], strict=True):
        ahead = expected(group, decoded, (values.shape[1], values.shape[2]))
        stream, _, left = quantised(group, steps, values - ahead, places, known=True)
        _check_size(left + ahead)
        streams.append(stream)
    return write_stream(profile, step, analysed.sizes, analysed.dtypes, streams, embed)


def quantised(
    group: GroupPart,
    steps: NDArray[np.int16],
    components: Floats,
    places: NDArray[np.uint8],
    state: NDArray[np.uint32] | None = None,
    known: bool = False,
) -> tuple[bytes, NDArray[np.int32], Floats]:
    """A group's stream; what each of its components [K, height, width] became; what a decoder makes of that.

    `state` is the coder's, left as it has learnt; places that are `known` to the decoder are not in the stream.
    """
    stream, chosen, decoded = group.coefficient_model.encode(
        np.ascontiguousarray(components.reshape(len(components), -1).T),
        np.ascontiguousarray(places),
        known,
        steps,
        widths(steps),
        LAMBDA,
        group.state.copy() if state is None else state,
    )
    return stream, chosen.T.reshape(components.shape), _by_component(decoded, components.shape[1:])


def _by_component(decoded: Floats, grid: tuple[int, ...]) -> Floats:
    """[K, height, width] from [cells, K]."""
    return np.ascontiguousarray(decoded.T).reshape(-1, *grid)


def _within(analysed: Analysed, most: int, embed: bool) -> bytes:
    """The largest stream that fits of a few passes of the real coder; further ones only while none fits."""
    beside = len(analysed.profile.data) if embed else 0
    sizes: dict[int, int] = {}
    best: bytes | None = None
    finest = _finest(analysed)
    step = _guess(analysed, most - beside, {}, finest)
    while step not in sizes and (best is None or len(sizes) <= _MORE_PASSES):
        data = code(analysed, step, embed)
        sizes[step] = len(data) - beside
        if len(data) <= most and (best is None or len(data) > len(best)):
            best = data
        step = _guess(analysed, most - beside, sizes, finest)
    if best is None:
        least = min(sizes.values()) + beside
        raise OptionError(f"`max_bytes` {most:,}: the least that this pyramid takes is {least:,} bytes")
    return best


def _finest(analysed: Analysed) -> int:
    """The finest step at which a whole number says every component, however wrong its prediction from neighbours is.

    At a finer one differences would be cut off, and the prediction of the next cells might go astray with them.
    """
    largest = 0.0
    for group, components in zip(analysed.profile.groups, analysed.components, strict=True):
        gain = float(np.abs(group.neighbours).sum(axis=(0, 1)).max(initial=0))
        largest = max(largest, (1 + gain) * float(np.abs(components).max()) / _MOST_STEPS)
    index = STEP_INDICES / 2 + (STEPS_PER_OCTAVE * math.log2(largest) if largest else -math.inf)
    return math.ceil(min(max(index, 0), STEP_INDICES - 1))


def _guess(analysed: Analysed, most: int, sizes: Mapping[int, int], finest: int) -> int:
    """The step to try: on the curve, moved to the first known size; then on the line through the nearest two."""
    wanted, logs = math.log2(max(most, 1)), {step: math.log2(size) for step, size in sizes.items()}
    fitting = min((step for step, size in sizes.items() if size <= most), default=None)
    beyond = max((step for step, size in sizes.items() if size > most), default=None)
    near = sorted(logs, key=lambda step: abs(logs[step] - wanted))[:2]
    if len(sizes) >= _MORE_PASSES:  # farther than it looks, so that the last pass fits
        wanted -= max(_MARGIN * abs(logs[near[0]] - wanted), _LEAST_MARGIN)
    if len(near) < 2:
        steps, curve = _curve(analysed.profile)
        away = logs[near[0]] - float(np.interp(near[0], steps, curve)) if near else 0.0
        guess = math.ceil(float(np.interp(away - wanted, -curve, steps)))
    else:
        fine, coarse = sorted(near)
        slope = max((logs[fine] - logs[coarse]) / (coarse - fine), _LEAST_SLOPE)
        guess = math.ceil(fine + (logs[fine] - wanted) / slope)
    low = finest if beyond is None else beyond + 1
    if fitting is None:  # whatever it takes: beyond the passes that were meant to do, twice as far each time
        low += (1 << max(len(sizes) - _MORE_PASSES, 0)) - 1
    return min(max(guess, low), STEP_INDICES - 1 if fitting is None else max(fitting - 1, low))


def _curve(profile: Profile) -> tuple[list[int], NDArray[np.float64]]:
    """Steps, and the falling logarithms of what they take; beyond the measured ones as steep as at their ends."""
    curve = sorted(profile.about.curve, key=lambda point: point.step)
    steps, logs = [point.step for point in curve], [math.log2(point.bytes) for point in curve]
    for k in range(1, len(logs)):
        logs[k] = min(logs[k], logs[k - 1] - _LEAST_SLOPE * (steps[k] - steps[k - 1]))
    fine = (logs[0] - logs[1]) / (steps[1] - steps[0]) if len(steps) > 1 else _USUAL_SLOPE
    coarse = (logs[-2] - logs[-1]) / (steps[-1] - steps[-2]) if len(steps) > 1 else 0.0
    coarse = max(coarse, _USUAL_SLOPE)  # where headers are most of it, a curve is flat
    ends = logs[0] + fine * (steps[0] + 1), logs[-1] - coarse * (STEP_INDICES - steps[-1])
    return [-1, *steps, STEP_INDICES], np.array([ends[0], *logs, ends[1]])
