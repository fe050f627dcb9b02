"""What components of codecs 1 and 2 stand for, after docs/format.md alone: the part of their decoders that has floats.

Everything is binary32: numpy rounds each operation on such arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.helpers.format_decoder import Array, need

Place = tuple[int, int]  # of a cell: row, column
#: First components of a layer, at most, that later ones are predicted from: in a cell, beside it, at its corners.
LOOKED_AT = 96, 24, 0


def dequantized(numbers: Array, steps: Array, scales: Array, tensors: dict[str, Array]) -> Array:
    """The differences d [rows, columns, K], of scales [K] or [rows, columns, K]."""
    levels = np.clip((scales.astype(int) - steps[..., None] + 40) >> 1, 0, 31)
    magnitudes = abs(numbers)
    offsets = tensors["offsets"][levels, np.clip(magnitudes, 1, 3) - 1].astype(np.float32) / np.float32(64)
    lengths = np.exp2((steps - 128) / 8).astype(np.float32)[..., None]
    return np.sign(numbers).astype(np.float32) * (magnitudes.astype(np.float32) + offsets) * lengths


def predicted_from_cells(
    differences: Array, neighbours: Array | None, before: dict[Place, Array], in_whole_numbers: bool
) -> Array:
    """Components; of some cells it is known what they are expected to be from the frame before."""
    out = differences.copy()
    neighbours = np.zeros((3, 0, 0), np.float32) if neighbours is None else neighbours.astype(np.float32)
    rows, columns, _ = out.shape
    said = said_in_whole_numbers if in_whole_numbers else said_in_floats
    for y in range(rows):
        for x in range(columns):
            if (y, x) in before:
                out[y, x] = before[y, x] + differences[y, x]
                continue
            places = ((y, x - 1), (y - 1, x), (y - 1, x + 1))
            cells = [out[place] if place[0] >= 0 and 0 <= place[1] < columns else None for place in places]
            expected = said(cells, neighbours)
            out[y, x, : len(expected)] = expected + differences[y, x, : len(expected)]
    return out


def said_in_floats(cells: Sequence[Array | None], neighbours: Array) -> Array:
    """What the cells W, N, NE, None beyond a border, say of one."""
    total = np.zeros(neighbours.shape[2], np.float32)
    for cell, matrix in zip(cells, neighbours, strict=True):
        for i in range(0 if cell is None else len(matrix)):
            total += matrix[i] * cell[i]
    return total


def said_in_whole_numbers(cells: Sequence[Array | None], neighbours: Array) -> Array:
    """The same with a profile of version 3."""
    inputs, outputs = neighbours.shape[1:]
    if not inputs:
        return np.zeros(outputs, np.float32)
    b = largest_exponent(neighbours)
    while outputs and (whole(neighbours, b) ** 2).sum(axis=1).max() > 2**31:
        b -= 1
    west, north, north_east = np.zeros((3, outputs), np.float32)
    for cell, matrix, sums in zip(cells, neighbours, (west, north, north_east), strict=True):
        if cell is not None and np.isfinite(cell[:inputs]).all():
            x = cell_exponent(cell[:inputs])
            exact = whole(cell[:inputs], x) @ whole(matrix, b)
            sums[:] = exact.astype(np.float32) * np.float32(2.0 ** (-x - b))
    return np.asarray((north + north_east) + west)


def predicted_from_first(around: Array, prediction: Array) -> Array:
    """What is added to the coefficients [rows, columns, K] of another group, by its surroundings."""
    matrix = prediction.astype(np.float32)
    out = np.zeros((*around.shape[:2], len(matrix)), np.float32)
    for place in np.ndindex(around.shape[:2]):
        for column, value in enumerate([*around[place], np.float32(1)]):
            out[place] += matrix[:, column] * value
    return out


def surroundings(before: Sequence[Array], shape: Place, most: tuple[int, int, int]) -> Array:
    """The first components of the 3 x 3 cells around each, [rows, columns, ..], in each of all groups."""
    (h, w), (rows, columns) = before[0].shape[:2], shape
    out = []
    for y in range(rows):
        for x in range(columns):
            middle = (2 * y + 1) * h // (2 * rows), (2 * x + 1) * w // (2 * columns)
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    place = min(max(middle[0] + dy, 0), h - 1), min(max(middle[1] + dx, 0), w - 1)
                    out.extend(group[place][: most[abs(dy) + abs(dx)]] for group in before)
    return np.concatenate(out).reshape(rows, columns, -1)


def predicted_in_whole_numbers(around: Array, prediction: Array) -> Array:
    """The same with a profile of version 4."""
    matrix = prediction.astype(np.float32)
    weights, constant = matrix[:, :-1], matrix[:, -1]
    a = largest_exponent(weights)
    while (whole(weights, a) ** 2).sum(axis=1).max() > 2**31:
        a -= 1
    out = np.zeros((*around.shape[:2], len(matrix)), np.float32)
    for place in np.ndindex(around.shape[:2]):
        y = cell_exponent(around[place])
        sums = whole(weights, a) @ whole(around[place], y)
        out[place] = sums.astype(np.float32) * np.float32(2.0 ** (-y - a)) + constant
    return out


def first_stage(coefficients: Array, basis: Array) -> Array:
    """First-stage components [rows, columns, D] of the cells of a group."""
    stage = np.zeros((*coefficients.shape[:2], basis.shape[1]), np.float32)
    for k in range(len(basis)):
        stage += coefficients[..., k, None] * basis[k].astype(np.float32)
    return stage


def whole(values: Array, exponent: int) -> Array:
    return np.clip(np.rint(values.astype(np.float64) * 2.0**exponent), -32767, 32767).astype(np.int64)


def largest_exponent(matrix: Array) -> int:
    """With which no number of a matrix is beyond 32767."""
    b = 15
    while np.abs(matrix.astype(np.float64)).max(initial=0) * 2.0**b > 32767:
        b -= 1
    return b


def cell_exponent(values: Array) -> int:
    """With which a cell's numbers become whole."""
    largest = float(np.abs(values).max())
    x = min(14 - (math.frexp(largest)[1] - 1), 100) if largest else 0
    square = int((whole(values, x) ** 2).sum())
    while square > 2**30:
        x, square = x - 1, square // 4
    return x


def first_stage_in_whole_numbers(coefficients: Array, basis: Array) -> Array:
    """The same with a profile of version 3."""
    b = largest_exponent(basis)
    stage = np.zeros((*coefficients.shape[:2], basis.shape[1]), np.float32)
    for place in np.ndindex(coefficients.shape[:2]):
        x = cell_exponent(coefficients[place])
        sums = (whole(coefficients[place], x) @ whole(basis, b)).astype(np.int32)  # modulo 2^32
        stage[place] = sums.astype(np.float32) * np.float32(2.0 ** (-x - b))
    return stage


def last_stage(matrix: Array, stage: Array) -> Array:
    """matrix [C, k] times first-stage components [k, H, W]."""
    total = np.zeros((len(matrix), *stage.shape[1:]), np.float32)
    for row, plane in zip(matrix.T, stage, strict=True):
        total += row[:, None, None] * plane
    return total


def last_stage_in_whole_numbers(matrix: Array, stage: Array) -> Array:
    """The same with a profile of version 4."""
    lower = 0
    while 4**lower < len(stage):
        lower += 1
    exponents = []
    for row in matrix:
        exponents.append(largest_exponent(row))
        while (whole(row, exponents[-1]) ** 2).sum() > 2**31:
            exponents[-1] -= 1
    total = np.zeros((len(matrix), *stage.shape[1:]), np.float32)
    for place in np.ndindex(stage.shape[1:]):
        element = stage[:, *place]
        largest = float(np.abs(element).max())
        x = min(13 - lower - (math.frexp(largest)[1] - 1), 100) if largest else 0
        for c, row in enumerate(matrix):
            sums = np.float32(whole(row, exponents[c]) @ whole(element, x))
            total[c, *place] = sums * np.float32(2.0 ** (-x - exponents[c]))
    return total


def features(
    level: dict[str, Any], size: Place, stage: Array, tensors: dict[str, Array], in_whole_numbers: bool
) -> Array:
    """A level [C, H, W]; `stage` are its own first-stage components, [rows, columns, k * ratio^2]."""
    name, n = level["name"], level["ratio"]
    rows, width, _ = stage.shape
    stage = stage.reshape(rows, width, -1, n, n).transpose(2, 0, 3, 1, 4).reshape(-1, rows * n, width * n)
    stage = stage[:, : size[0], : size[1]]
    weighted = tensors[f"{name}.synthesis"].astype(np.float32) / tensors[f"{name}.weight"][:, None]
    total = (last_stage_in_whole_numbers if in_whole_numbers else last_stage)(weighted, stage)
    mean, low, high = (tensors[f"{name}.{kind}"][:, None, None] for kind in ("mean", "low", "high"))
    need(bool(np.isfinite(mean + total).all()), "a value that is not finite")
    return np.clip(mean + total, low, high)


def components(tensors: dict[str, Array], numbers: Array, steps: Array, in_whole_numbers: bool) -> Array:
    differences = dequantized(numbers, steps, tensors["scales"], tensors)
    return predicted_from_cells(differences, tensors.get("neighbours"), {}, in_whole_numbers)


def restored(
    profile: Any, sizes: dict[str, Place], dtypes: dict[str, np.dtype[Any]], groups: Sequence[Array]
) -> dict[str, Array]:
    """The levels from what each group's streams say, [rows, columns, K]."""
    out: dict[str, Array] = {}
    version, before = profile.about["version"], list[Array]()
    for number, coefficients in enumerate(groups):
        tensors = profile.group(number)
        layer = number < profile.about.get("layers", 1)
        if number and "prediction" in tensors:
            expected = predicted_in_whole_numbers if version >= 4 else predicted_from_first
            count = tensors["prediction"].shape[1] // 9
            around = (before, LOOKED_AT) if layer else (before[:1], (count, count, count))
            found = expected(surroundings(around[0], coefficients.shape[:2], around[1]), tensors["prediction"])
            coefficients = coefficients.copy()
            coefficients[..., : found.shape[2]] += found
        if layer:
            before.append(coefficients)
        need(bool(np.isfinite(coefficients).all()), "a coefficient that is not finite")
        made = first_stage_in_whole_numbers if version >= 3 else first_stage
        stage = made(coefficients, tensors["basis"])
        at = 0
        for level in profile.about["groups"][number]["levels"]:
            size = len(tensors[f"{level['name']}.basis"]) * level["ratio"] ** 2
            values = features(level, sizes[level["name"]], stage[..., at : at + size], tensors, version >= 4)
            out[level["name"]] = values.astype(dtypes[level["name"]])
            at += size
    return {name: out[name] for name in profile.about["order"]}
