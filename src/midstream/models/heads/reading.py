"""What heads share that read a graph's outputs: by name, of a shape, numbers all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.models.heads.nms import LONGEST_SIDE


class MisfitError(InputError):
    """Outputs of other shapes than the head has."""


def output(outputs: Mapping[str, NDArray[Any]], name: str | None) -> tuple[str, NDArray[np.float32]]:
    """An output by its name, the first without one, and that name; numbers beyond all bounds are brought to them.

    Raises:
        InputError: a name that the graph does not have; numbers that are not finite.
    """
    if name is not None and name not in outputs:
        raise unknown("output", name, outputs)
    name = name or next(iter(outputs))
    with np.errstate(over="ignore"):
        values = np.asarray(outputs[name], np.float32)
    low, high = values.min(initial=0), values.max(initial=0)
    if np.isnan(low) or np.isnan(high):
        raise InputError(f"output '{name}' has values that are not finite (NaN)")
    return name, bounded(values) if low < -LONGEST_SIDE or high > LONGEST_SIDE else values


def rows(
    outputs: Mapping[str, NDArray[Any]], name: str | None, columns: int | None = None, count: int | None = None
) -> NDArray[np.float32]:
    """An output [1, count, columns], float32 [count, columns], whatever axes of one it has in front.

    `columns` and `count` are not held to anything where they are None. Raises InputError as `output`, and for another
    shape.
    """
    name, values = output(outputs, name)
    axes = [side for side in values.shape[:-1] if side != 1]
    there = axes[0] if axes else 1
    if values.ndim < 2 or len(axes) > 1 or columns not in (None, values.shape[-1]) or count not in (None, there):
        wanted = f"[1, {'boxes' if count is None else count}, {'columns' if columns is None else columns}]"
        raise misfit(name, values.shape, wanted)
    return values.reshape(there, values.shape[-1])


def column(outputs: Mapping[str, NDArray[Any]], name: str, count: int) -> NDArray[np.float32]:
    """An output with one number for each of `count` boxes, float32 [count]. Raises InputError as `rows`."""
    name, values = output(outputs, name)
    if values.size != count or (values.ndim and count not in values.shape):
        raise misfit(name, values.shape, f"[1, {count}]")
    return values.reshape(count)


def misfit(name: str, shape: Sequence[int], wanted: str) -> MisfitError:
    """The error for an output of a shape that the head does not have."""
    return MisfitError(f"output '{name}' has shape {list(shape)}, the head expects {wanted}")


def bounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Corners and lengths within what can be reckoned with; the image's edge clips them later."""
    return np.clip(values, -LONGEST_SIDE, LONGEST_SIDE)


def corners(centres: NDArray[np.float32], sides: NDArray[np.float32]) -> NDArray[np.float32]:
    """Left, top, right, bottom [n, 4] of boxes given by centre and sides, [n, 2] each."""
    halves = np.clip(sides, -LONGEST_SIDE, LONGEST_SIDE) / 2
    return bounded(np.concatenate([centres - halves, centres + halves], axis=1))


def indices(
    name: str, values: NDArray[np.float32], classes: int, first: int, ids: Sequence[int] | None
) -> NDArray[np.int64]:
    """Class indices, int64, of an output's labels; -1 for the data set's ids that are none of the network's classes.

    Args:
        name: of the output, for errors.
        values: labels.
        classes: number of classes.
        first: what the first class's label is.
        ids: the classes' ids in the data set, where the labels are those.

    Raises:
        InputError: labels that are no classes.
    """
    labels = np.asarray(np.clip(np.rint(values), -1, 1 << 31), np.int64)
    if ids is not None:
        found: NDArray[np.int64] = np.full(max(*ids, 0) + 2, -1, np.int64)
        found[list(ids)] = np.arange(len(ids))
        labels = found[np.clip(labels, -1, len(found) - 1)]
    else:
        labels = labels - first
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            low, high = values.min(), values.max()
            raise InputError(
                f"output '{name}' has labels from {low:g} to {high:g}, the {classes} classes are {first} to "
                f"{first + classes - 1}: correct `classes`, `first_label` or, for the data set's own ids, "
                "`category_labels`"
            )
    if (np.abs(values - np.rint(values)) > 0).any():
        raise InputError(f"output '{name}' has labels that are not whole numbers")
    return labels


def class_columns(
    name: str, scores: NDArray[np.float32], classes: int, ids: Sequence[int] | None
) -> NDArray[np.float32]:
    """Scores of all classes [n, classes]; of columns that are the data set's ids those of the classes.

    Raises:
        InputError: another number of columns.
    """
    if ids is None and scores.shape[1] == classes:
        return scores
    if ids is not None and scores.shape[1] > max(ids):
        return scores[:, list(ids)]
    wanted = f"those of {classes} classes" if ids is None else f"ids up to {max(ids)}"
    raise MisfitError(f"output '{name}' has {scores.shape[1]} columns of scores, the head expects {wanted}")
