"""Decode with a profile: what is decoded is held once, all that is made of it on the way in blocks of cells."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import Floats, GroupPart, LevelPart, step_sizes
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import StreamHeader, stream_shape
from midstream.codec.calibrated.transform import Block, Size, blocks, inverse_block, laid_out
from midstream.codec.threads import Following, thread_count
from midstream.errors import CorruptError, LimitError, unknown
from midstream.features import DTYPES
from midstream.limits import Limits

#: What a decoder makes within its limits (docs/format.md): dimensions of cells in all groups together, for each element
#: and, since small maps do not fill their cells, beside that; and likewise what a group's are predicted from, which is
#: five cells of layers, or nine of fewer than there are.
_DIMENSIONS, _MORE_DIMENSIONS, _INPUTS = 2, 1 << 20, 5


#: Importance map [height, width] and coefficients [cells, K] of a group.
Dequantised = tuple[NDArray[np.uint8], Floats]
#: Called, while a group is decoded, with its coefficients [cells, K] and how many rows are decoded.
RowsDone = Callable[[Floats, int], None]
#: Decodes a group by its number, with the importance map where that is known, and with what is expected of it.
DecodeGroup = Callable[[int, NDArray[np.uint8] | None, Floats | None, RowsDone | None], Dequantised]


def begin_calibrated(
    header: StreamHeader,
    streams: Sequence[memoryview],
    profile: Profile,
    names: Sequence[str] | None,
    limits: Limits,
    threads: int | None = None,
    device: Any = None,
) -> Callable[[], dict[str, Any]]:
    """Decode; what is returned gives the named levels (all for None), in their own element types, on a torch device.

    Raises:
        CorruptError: a stream that does not decode; LimitError: more than the limits allow; InputError: no such level.
    """
    wanted = wanted_levels(profile, names)
    sizes, dtypes = stream_shape(header, profile, limits)
    read = needed_groups(profile, wanted)
    grids = limited_grids(profile, read, sizes, limits)
    steps = profile.about.importance.steps(header.step)

    def coefficients(
        number: int, known: NDArray[np.uint8] | None, expected: Floats | None, done: RowsDone | None
    ) -> Dequantised:
        group, what = profile.groups[number], f"group {number}"
        return dequantised(group, steps, streams[number], grids[number], known, expected, what, done)

    return begin_groups(
        profile, {number: grids[number] for number in read}, sizes, dtypes, wanted, coefficients, threads, device
    )


def wanted_levels(profile: Profile, names: Sequence[str] | None) -> Sequence[str]:
    """The levels that are asked for, all for None. Raises InputError for one that the profile lacks."""
    for name in names or []:
        if name not in profile.about.order:
            raise unknown("level", str(name), profile.about.order)
    return profile.about.order if names is None else names


def needed_groups(profile: Profile, wanted: Sequence[str]) -> Sequence[int]:
    """The groups that these levels are made of: those that hold them, and those that these are predicted from."""
    named = [number for number, group in enumerate(profile.groups) if levels_named(group, wanted)]
    below = max((number for number in named if number < profile.layers), default=0)
    return sorted({*range(below + 1), *named})


def begin_groups(
    profile: Profile,
    grids: Mapping[int, Size],
    sizes: Mapping[str, Size],
    dtypes: Mapping[str, str],
    wanted: Sequence[str],
    coefficients: DecodeGroup,
    threads: int | None,
    device: Any,
) -> Callable[[], dict[str, Any]]:
    """`decode_groups`, except for what is left to do on a device, None for the host. Both raise as it does."""
    if device is None:
        levels = decode_groups(profile, grids, sizes, dtypes, wanted, coefficients, threads)
        return lambda: levels
    from midstream.codec.calibrated.device_transform import inverse_on  # imports torch

    whole: list[tuple[GroupPart, Floats]] = []
    decoded = profile.nothing_decoded()
    for number, grid in grids.items():
        expected = decoded.expected(number, grid)
        importance, values = coefficients(number, decoded.known(number, grid), expected, None)
        if not np.isfinite(values).all():
            raise CorruptError(f"group {number}: coefficients out of range")
        whole.append((profile.groups[number], laid_out(values, grid)))
        decoded.add(number, importance, values)

    def finish() -> dict[str, Any]:
        parts = [inverse_on(device, group, values, sizes, dtypes, wanted) for group, values in whole]
        return {name: part[name] for name in profile.about.order for part in parts if name in part}

    return finish


def decode_groups(
    profile: Profile,
    grids: Mapping[int, Size],
    sizes: Mapping[str, Size],
    dtypes: Mapping[str, str],
    wanted: Sequence[str],
    coefficients: DecodeGroup,
    threads: int | None,
) -> dict[str, NDArray[Any]]:
    """The wanted levels, in their own element types.

    Args:
        profile: of the stream.
        grids: (height, width) of the groups that are to be read, the first among them, by their numbers.
        sizes, dtypes: of the levels by name.
        wanted: names of levels, all in these groups.
        coefficients: gives importance map and coefficients of a group, of which the map is known, except the first's.
        threads: how many to use at most.

    Raises:
        CorruptError: values out of range.
    """
    out: dict[str, NDArray[Any]] = {}
    for number in grids:
        for level in levels_named(profile.groups[number], wanted):
            shape = (level.about.channels, *sizes[level.about.name])
            out[level.about.name] = _empty(shape, DTYPES[dtypes[level.about.name]])
    count = thread_count(threads, sum(values.size for values in out.values()))
    decoded = profile.nothing_decoded()
    with Following(count) as following:
        for number, grid in grids.items():
            expected = decoded.expected(number, grid, count)
            done = _restoring(profile, number, grid, out, following, count)
            known = decoded.known(number, grid)
            importance, values = coefficients(number, known, expected, done if count > 1 else None)
            done(values, grid[0])
            decoded.add(number, importance, values)
    return {name: out[name] for name in profile.about.order if name in wanted}


def _restoring(
    profile: Profile,
    number: int,
    grid: Size,
    out: dict[str, NDArray[Any]],
    following: Following,
    threads: int,
) -> RowsDone:
    """What has a group's rows, as they are decoded, put into its levels, block by block."""
    group = profile.groups[number]
    left = deque(blocks(group, grid, threads))

    def done(values: Floats, rows: int) -> None:
        while left and left[0][0].stop <= rows:
            block = left.popleft()
            following.add(partial(restore_block, group, values, grid, block, out, f"group {number}"))

    return done


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Uninitialised, of memory that is used again: fresh pages take as long as what is decoded into them."""
    count = math.prod(shape)
    floats = _native.empty_floats(1, -(-count * dtype.itemsize // np.dtype(np.float32).itemsize))
    out: NDArray[Any] = floats[0].view(dtype)[:count].reshape(shape)
    return out


def levels_named(group: GroupPart, names: Sequence[str]) -> list[LevelPart]:
    """The group's levels that are among these."""
    return [level for level in group.levels if level.about.name in names]


def limited_grids(profile: Profile, read: Sequence[int], sizes: Mapping[str, Size], limits: Limits) -> Sequence[Size]:
    """Each group's grid, if those to be read are within the limits. Raises CorruptError, LimitError."""
    try:
        grids = profile.grids(tuple(sizes[name] for name in profile.about.order))
    except ValueError as error:
        raise CorruptError(f"header: {error}") from error
    dimensions, most = 0, _DIMENSIONS * limits.elements + _MORE_DIMENSIONS
    for number in read:
        own, inputs = profile.groups[number].input_sizes
        dimensions += math.prod(grids[number]) * own
        # A profile from elsewhere may ask for more of a cell than its levels hold; a border's padding is honest.
        if dimensions > most or math.prod(grids[number]) * inputs > _INPUTS * limits.elements + _MORE_DIMENSIONS:
            raise LimitError(
                f"group {number}: {dimensions} numbers of cells, predictions from {math.prod(grids[number]) * inputs}; "
                f"the limit of {limits.elements} elements allows {most}, and {_INPUTS} for each and {_MORE_DIMENSIONS}"
            )
    return grids


def restore_block(
    group: GroupPart,
    coefficients: Floats,
    grid: Size,
    block: Block,
    out: dict[str, NDArray[Any]],
    what: str,
) -> None:
    """Put a block of a group's coefficients [cells, K] into its levels. Raises CorruptError."""
    rows, columns = block
    begin, end = rows.start * grid[1] + columns.start, (rows.stop - 1) * grid[1] + columns.stop
    inverse_block(group, coefficients[begin:end], block, out, what)  # whole rows, or a part of one


def dequantised(
    group: GroupPart,
    steps: NDArray[np.int16],
    stream: memoryview | bytes,
    grid: Size,
    known: NDArray[np.uint8] | None,
    expected: Floats | None,
    what: str,
    done: RowsDone | None = None,
) -> Dequantised:
    """Importance map [height, width] and coefficients [cells, K] from a group's stream.

    Args:
        group: of the profile.
        steps: the step's index of each importance class.
        stream: the group's.
        grid: (height, width).
        known: the importance map, where it is not in the stream.
        expected: of the first coefficients [cells, O], from groups before; None for nothing.
        what: named in errors.
        done: called for rows as they are decoded, if cells of the group are predicted in whole numbers.

    Raises:
        CorruptError: a stream that does not decode.
    """

    model = group.coefficient_model
    found = model.decode(stream, *grid, steps, step_sizes(steps), group.state, known, done=done, expected=expected)
    if found is None:
        raise CorruptError(f"{what}: the coefficients do not decode")
    return found
