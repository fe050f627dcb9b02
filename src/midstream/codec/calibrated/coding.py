"""Encode with a profile: the transform, which no step changes, and the bitstream at a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.forward import Coefficients, KnownCoefficients
from midstream.codec.calibrated.importance import check_scores, classes_of, importance_of, spread
from midstream.codec.calibrated.parts import Floats, GroupPart, step_sizes
from midstream.codec.calibrated.prediction import Decoded, map_of
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import write_stream
from midstream.codec.calibrated.transform import Size, by_cell
from midstream.codec.threads import thread_count
from midstream.errors import InputError
from midstream.features import DeviceLevel, Level

#: The largest coefficient, in magnitude, that is coded: with it no sum of a decoder overflows (profile_file.py).
LARGEST = 2.0**40
#: So much smaller, nothing too large is decoded where nothing is expected from neighbours: zero, or what is within a
#: few times the coefficient.
_MARGIN = 16
TOO_LARGE = "the pyramid holds values that are too large to code: this is no output of the network"


@dataclass(frozen=True)
class Analysed:
    """A pyramid as coefficients and importance classes, by group."""

    profile: Profile
    coefficients: Sequence[Coefficients | KnownCoefficients] = field(repr=False)
    importance: list[NDArray[np.uint8]] = field(repr=False)
    sizes: dict[str, Size]
    dtypes: dict[str, str]

    def values(
        self,
        number: int,
        indices: NDArray[np.int16],
        expected: Floats | None = None,
        there: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """A group's coefficients [cells, K] at these steps of the classes; see Coefficients.for_steps."""
        return self.coefficients[number].for_steps(step_sizes(indices)[self.importance[number]], expected, there)


def analyse(
    levels: Sequence[Level],
    profile: Profile,
    scores: NDArray[np.floating[Any]] | None = None,
    threads: int | None = None,
) -> Analysed:
    """The transform and the importance classes, which no step changes. Raises InputError."""
    by_name = {level.name: level for level in levels}
    if sorted(by_name) != sorted(profile.about.order):
        more = [] if set(profile.about.order) - set(by_name) else set(by_name) - set(profile.about.order)
        raise InputError(
            f"the pyramid has the levels {', '.join(by_name)}; the profile, of {profile.about.network}, "
            f"{', '.join(profile.about.order)}"
            + (f": leave out {', '.join(sorted(more))}, as 'midstream extract --sent' does" if more else "")
        )
    count = thread_count(threads, sum(level.elements for level in levels))
    maps = {name: _maps(level) for name, level in by_name.items()}
    coefficients = _transformed(levels, profile, maps, _checked_grids(profile, by_name), count)
    for each in coefficients:
        if not each.largest <= LARGEST:  # a NaN is not
            _check_finite(levels)
            raise InputError(TOO_LARGE)
    own = _importance(profile, coefficients, scores, count)
    importance = [map_of(number, own, each.grid) for number, each in enumerate(coefficients)]
    sizes = {level.name: level.shape[1:] for level in levels}
    return Analysed(profile, coefficients, importance, sizes, {level.name: level.dtype for level in levels})


def _transformed(
    levels: Sequence[Level], profile: Profile, maps: Mapping[str, Any], grids: Sequence[Size], threads: int
) -> Sequence[Coefficients | KnownCoefficients]:
    """Each group's coefficients, on the host: where the levels are on a device, they are made there."""
    groups = zip(profile.groups, grids, strict=True)
    if not isinstance(levels[0], DeviceLevel):
        return [Coefficients(group, maps, grid, threads) for group, grid in groups]
    from midstream.codec.calibrated.device_transform import forward_on  # imports torch

    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is too large
        return [KnownCoefficients(*forward_on(group, maps, grid)) for group, grid in groups]


def check_size(coefficients: Floats) -> None:
    """Refuse coefficients [cells, K] that are too large to code. Raises InputError."""
    if not _native.largest(coefficients) <= LARGEST:  # a NaN is not
        raise InputError(TOO_LARGE)


def _maps(level: Level) -> Any:
    """[C, H, W], where the level is."""
    if isinstance(level, DeviceLevel):
        from midstream.codec.calibrated.device_transform import checked_map

        return checked_map(level)
    return level.values.reshape(level.shape)


def _check_finite(levels: Sequence[Level]) -> None:
    """Raises InputError for a NaN or an infinity."""
    for level in levels:
        finite = np.isfinite(level.values).all(axis=1)
        if not finite.all():
            channel = int(np.flatnonzero(~finite)[0])
            raise InputError(f"level '{level.name}', channel {channel} holds a NaN or an infinity")


def _checked_grids(profile: Profile, levels: Mapping[str, Level]) -> Sequence[Size]:
    """Each group's grid, if channels are the profile's and sizes belong together. Raises InputError."""
    for group in profile.groups:
        for level in group.levels:
            channels = levels[level.about.name].shape[0]
            if channels != level.about.channels:
                raise InputError(
                    f"level '{level.about.name}' has {channels} channels, the profile is for {level.about.channels}"
                )
    try:
        return profile.grids(tuple(levels[name].shape[1:] for name in profile.about.order))
    except ValueError as error:
        shapes = {name: list(level.shape) for name, level in levels.items()}
        raise InputError(
            f"levels of {shapes} do not lie over one another as those that the profile was made with: {error}"
        ) from error


def _importance(
    profile: Profile,
    coefficients: Sequence[Coefficients | KnownCoefficients],
    scores: NDArray[np.floating[Any]] | None,
    threads: int,
) -> list[NDArray[np.uint8]]:
    """Of the groups that have maps of their own."""
    if scores is not None:
        checked = check_scores(scores, profile.layers, coefficients[0].grid)
        return [classes_of(profile.about.importance, spread(each)) for each in checked]
    return importance_of(profile.groups, profile.about.importance, coefficients, threads)


def code(analysed: Analysed, step: int, bit_worth: float = _native.BIT_WORTH, embed: bool = False) -> bytes:
    """The bitstream at a step's index; the more a bit is worth, the more becomes zero."""
    profile = analysed.profile
    steps = profile.about.importance.steps(step)
    decoded = profile.nothing_decoded()
    streams = [_group_coded(analysed, number, steps, decoded, bit_worth) for number in range(len(profile.groups))]
    return write_stream(profile, step, analysed.sizes, analysed.dtypes, streams, embed)


def _group_coded(
    analysed: Analysed, number: int, steps: NDArray[np.int16], decoded: Decoded, bit_worth: float
) -> bytes:
    """A group's stream; what a decoder makes of it is added to what is decoded.

    Where no coefficient is near to being too large, this is only made of those of which something is expected, or from
    which it is: what is decoded of any other is within a few times what it was.
    """
    profile, coefficients, importance = analysed.profile, analysed.coefficients[number], analysed.importance[number]
    group, known = profile.groups[number], number >= profile.layers
    expected = decoded.expected(number, importance.shape)
    most = LARGEST / _MARGIN
    small = coefficients.largest <= most and (expected is None or _native.largest(expected) <= most)
    if group.entropy is None or isinstance(coefficients, KnownCoefficients) or not small:
        values = analysed.values(number, steps, expected)
        stream, _, made = _coded(group, steps, values, importance, None, known, bit_worth, expected=expected)
    else:
        values, parts = coefficients.parts_for_steps(step_sizes(steps)[importance], expected)
        told = max(*group.neighbours.shape[1:], decoded.looked_at(number), 0 if expected is None else expected.shape[1])
        told = min(max(told, 1), len(group.scales))
        stream, _, made = _coded(
            group, steps, values, importance, None, known, bit_worth, told=told, parts=parts, expected=expected
        )
    check_size(made)
    decoded.add(number, importance, made)
    return stream


def quantised(
    group: GroupPart,
    steps: NDArray[np.int16],
    coefficients: Floats,
    importance: NDArray[np.uint8],
    state: NDArray[np.uint32] | None = None,
    known: bool = False,
    bit_worth: float = _native.BIT_WORTH,
) -> tuple[bytes, NDArray[np.int32], Floats]:
    """A group's stream; what each of its coefficients [K, height, width] became; what a decoder makes of that.

    `state` is the coder's, left as it has learnt; a map that is `known` to the decoder is not in the stream.
    """
    cells = by_cell(coefficients)
    stream, chosen, decoded = _coded(group, steps, cells, importance, state, known, bit_worth, choices=True)
    return stream, chosen.T.reshape(coefficients.shape), decoded.T.reshape(coefficients.shape)


def _coded(
    group: GroupPart,
    steps: NDArray[np.int16],
    cells: Floats,
    importance: NDArray[np.uint8],
    state: NDArray[np.uint32] | None,
    known: bool,
    bit_worth: float,
    choices: bool = False,
    told: int = 0,
    parts: NDArray[np.uint8] | None = None,
    expected: Floats | None = None,
) -> tuple[bytes, NDArray[np.int32], Floats]:
    """As `quantised`, all [cells, K]; see CoefficientModel.encode of the rest."""
    return group.coefficient_model.encode(
        cells,
        np.ascontiguousarray(importance),
        known,
        steps,
        step_sizes(steps),
        group.state if state is None else state,
        state,
        bit_worth,
        choices,
        told,
        parts,
        expected,
    )
