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


def dequantized(numbers: Array, steps: Array, scales: Array, tensors: dict[str, Array]) -> Array:
    """The differences d [rows, columns, K], of scales [K] or [rows, columns, K]."""
    levels = np.clip((scales.astype(int) - steps[..., None] + 40) >> 1, 0, 31)
    magnitudes = abs(numbers)
    offsets = tensors["offsets"][levels, np.clip(magnitudes, 1, 3) - 1].astype(np.float32) / np.float32(64)
    lengths = np.exp2((steps - 128) / 8).astype(np.float32)[..., None]
    return np.sign(numbers).astype(np.float32) * (magnitudes.astype(np.float32) + offsets) * lengths


def predicted_from_cells(differences: Array, neighbours: Array | None, before: dict[Place, Array]) -> Array:
    """Components; of some cells it is known what they are expected to be from the frame before."""
    out = differences.copy()
    neighbours = np.zeros((3, 0, 0)) if neighbours is None else neighbours
    rows, columns, _ = out.shape
    _, inputs, outputs = neighbours.shape
    for y in range(rows):
        for x in range(columns):
            if (y, x) in before:
                out[y, x] = before[y, x] + differences[y, x]
                continue
            total = np.zeros(outputs, np.float32)
            for (dy, dx), matrix in zip(((0, -1), (-1, 0), (-1, 1)), neighbours.astype(np.float32), strict=True):
                if y + dy >= 0 and 0 <= x + dx < columns:
                    for i in range(inputs):
                        total += matrix[i] * out[y + dy, x + dx, i]
            out[y, x, :outputs] = total + differences[y, x, :outputs]
    return out


def predicted_from_first(first: Array, shape: Place, prediction: Array) -> Array:
    """What is added to the coefficients [rows, columns, K] of another group."""
    matrix = prediction.astype(np.float32)
    count = (matrix.shape[1] - 1) // 9
    (h, w), (rows, columns) = first.shape[:2], shape
    out = np.zeros((rows, columns, len(matrix)), np.float32)
    for y in range(rows):
        for x in range(columns):
            middle = (2 * y + 1) * h // (2 * rows), (2 * x + 1) * w // (2 * columns)
            inputs = [
                first[min(max(middle[0] + dy, 0), h - 1), min(max(middle[1] + dx, 0), w - 1), i]
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                for i in range(count)
            ]
            for column, value in enumerate([*inputs, np.float32(1)]):
                out[y, x] += matrix[:, column] * value
    return out


def first_stage(coefficients: Array, basis: Array) -> Array:
    """First-stage components [rows, columns, D] of the cells of a group."""
    stage = np.zeros((*coefficients.shape[:2], basis.shape[1]), np.float32)
    for k in range(len(basis)):
        stage += coefficients[..., k, None] * basis[k].astype(np.float32)
    return stage


def whole(values: Array, exponent: int) -> Array:
    return np.clip(np.rint(values.astype(np.float64) * 2.0**exponent), -32767, 32767).astype(np.int64)


def first_stage_in_whole_numbers(coefficients: Array, basis: Array) -> Array:
    """The same with a profile of version 3."""
    b = 15
    while np.abs(basis.astype(np.float64)).max() * 2.0**b > 32767:
        b -= 1
    stage = np.zeros((*coefficients.shape[:2], basis.shape[1]), np.float32)
    for place in np.ndindex(coefficients.shape[:2]):
        largest = float(np.abs(coefficients[place]).max())
        x = min(14 - (math.frexp(largest)[1] - 1), 100) if largest else 0
        square = int((whole(coefficients[place], x) ** 2).sum())
        while square > 2**30:
            x, square = x - 1, square // 4
        sums = (whole(coefficients[place], x) @ whole(basis, b)).astype(np.int32)  # modulo 2^32
        stage[place] = sums.astype(np.float32) * np.float32(2.0 ** (-x - b))
    return stage


def features(level: dict[str, Any], size: Place, stage: Array, tensors: dict[str, Array]) -> Array:
    """A level [C, H, W]; `stage` are its own first-stage components, [rows, columns, k * ratio^2]."""
    name, n = level["name"], level["ratio"]
    rows, width, _ = stage.shape
    stage = stage.reshape(rows, width, -1, n, n).transpose(2, 0, 3, 1, 4).reshape(-1, rows * n, width * n)
    stage = stage[:, : size[0], : size[1]]
    weighted = tensors[f"{name}.synthesis"].astype(np.float32) / tensors[f"{name}.weight"][:, None]
    total = np.zeros((level["channels"], *stage.shape[1:]), np.float32)
    for row, plane in zip(weighted.T, stage, strict=True):
        total += row[:, None, None] * plane
    mean, low, high = (tensors[f"{name}.{kind}"][:, None, None] for kind in ("mean", "low", "high"))
    need(bool(np.isfinite(mean + total).all()), "a value that is not finite")
    return np.clip(mean + total, low, high)


def components(tensors: dict[str, Array], numbers: Array, steps: Array) -> Array:
    differences = dequantized(numbers, steps, tensors["scales"], tensors)
    return predicted_from_cells(differences, tensors.get("neighbours"), {})


def restored(
    profile: Any, sizes: dict[str, Place], dtypes: dict[str, np.dtype[Any]], groups: Sequence[Array]
) -> dict[str, Array]:
    """The levels from what each group's streams say, [rows, columns, K]."""
    out: dict[str, Array] = {}
    for number, coefficients in enumerate(groups):
        tensors = profile.group(number)
        if number and "prediction" in tensors:
            shape = coefficients.shape[:2]
            coefficients = coefficients + predicted_from_first(groups[0], shape, tensors["prediction"])
        need(bool(np.isfinite(coefficients).all()), "a coefficient that is not finite")
        made = first_stage_in_whole_numbers if profile.about["version"] >= 3 else first_stage
        stage, at = made(coefficients, tensors["basis"]), 0
        for level in profile.about["groups"][number]["levels"]:
            size = len(tensors[f"{level['name']}.basis"]) * level["ratio"] ** 2
            values = features(level, sizes[level["name"]], stage[..., at : at + size], tensors)
            out[level["name"]] = values.astype(dtypes[level["name"]])
            at += size
    return {name: out[name] for name in profile.about["order"]}
