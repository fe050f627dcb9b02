"""Fits the entropy model of a group (codec/calibrated/entropy.py) to what its coefficients became, by gradient descent.

A network of one hidden layer moves along a list of distributions, which are Laplacians of a known width at first. Both
learn for the length of the code, as the entropy models of learned image compression do (Minnen, Balle and Toderici
2018, arXiv:1809.02736). Then all of it is rounded to whole numbers. Sums have one order: the same samples give the same
model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.calibration.descent import Adam, Weights
from midstream.calibration.ordered import small_product
from midstream.codec.calibrated.coding import quantised
from midstream.codec.calibrated.entropy import IMPORTANCE_ROWS, WHOLE, EntropyPart, RowNetwork
from midstream.codec.calibrated.parts import Floats, GroupPart, step_sizes

# Where the numbers come from: docs/method.md, "Entropy model".
#: Values that are looked at, at the most; passes over them, values of a step, and steps at least and at most.
_MOST_VALUES, _PASSES, _BATCH, _LEAST_STEPS, _MOST_STEPS = 1_500_000, 6, 4096, 100, 2000
#: The length of steps at the most.
_RATE = 8e-3
#: Steps of progress that are shown of each network.
_TICKS = 20
#: A step's share of what is looked at goes with its values to this power; and what becomes less of an item's features.
_SHARE, _FADING = 0.5, 0.1
#: Features of an item that are learnt, beside its number; rows between knots; inputs count in units of so many.
_FEATURES, _KNOTS_APART, _UNIT = 2, 4, np.float32(16)
#: A row of magnitudes is an eighth of an octave of the deviation, in steps, as inputs are; the middle one is that of
#: one step.
_ROWS_PER_OCTAVE, _MIDDLE = 8, _native.ENTROPY_ROWS // 2
#: Of a flag's rows, how many make log odds of one.
_ROWS_PER_ODDS = 4
#: What a value becomes something from, and the fraction that magnitudes begin with (native/coefficients_contexts.hpp).
_DEAD, _ROUNDED = 0.6, 0.4
#: Of a probability, at least: it costs 12 bits.
_LEAST_CHANCE = 2.0**-12
#: What a unit and an output may reach (native/entropy_model.cpp).
_LARGEST_SHORT, _LARGEST_INPUT, _LARGEST_OUTS, _LARGEST_OFFSET = 32767, 127, 1 << 19, 1 << 29
_UNIT_SHIFT, _ROW_SHIFT = 4, 16
#: A unit that reaches nothing is not made larger without end.
_LEAST_REACH = 1e-3


@dataclass(frozen=True)
class Observed:
    """What a network is fitted to: inputs int8 [n, I], the item [n] that each is of, and what came of it, [n]."""

    inputs: NDArray[np.int8]
    items: NDArray[np.uint16]
    symbols: NDArray[np.uint8]

    @classmethod
    def of(cls, parts: Sequence[Observed], most: int, rng: np.random.Generator) -> Observed:
        """All of them, or as many as `most` that `rng` chooses."""
        arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "items", "symbols")]
        if len(arrays[0]) > most:
            chosen = np.sort(rng.choice(len(arrays[0]), most, replace=False))
            arrays = [each[chosen] for each in arrays]
        return cls(*arrays)

    def some(self, chosen: NDArray[np.intp]) -> Observed:
        """Those that are chosen, in this order."""
        return Observed(self.inputs[chosen], self.items[chosen], self.symbols[chosen])


def laplacians() -> Floats:
    """Probabilities of the symbols of magnitudes in each row, [rows, symbols], of Laplacians quantised to steps."""
    fall = np.sqrt(2) / np.exp2((np.arange(_native.ENTROPY_ROWS) - _MIDDLE) / _ROWS_PER_OCTAVE)[:, None]
    beyond = np.exp(-fall * np.append(_native.entropy_bases()[1:] - _ROUNDED, np.inf))
    beyond[:, 0] = np.exp(-fall[:, 0] * _DEAD)
    chances = -np.diff(np.concatenate([np.ones((len(fall), 1)), beyond], axis=1), axis=1)
    chances = np.maximum(chances, _LEAST_CHANCE)
    return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float32)


def _odds() -> Floats:
    """Probabilities of a flag in each row, [rows, 2]."""
    odds = (np.arange(_native.FLAG_ROWS) - _native.FLAG_ROWS / 2) / _ROWS_PER_ODDS
    used = 1 / (1 + np.exp(-odds))
    return np.stack([1 - used, used], axis=1).astype(np.float32)


def fit_entropy(
    group: GroupPart,
    samples: Sequence[tuple[Floats, NDArray[np.uint8]]],
    steps: Sequence[NDArray[np.int16]],
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> EntropyPart:
    """For a group and its samples, coefficients [K, h, w] and importance map, at each of the steps' indices."""
    rng = np.random.default_rng(seed)
    values, flags = _recorded(replace(group, entropy=_beginning(group)), samples, steps, rng, advance)
    size = len(group.scales), -(-len(group.scales) // _native.BAND)
    value_net, value_rows = _fitted(values, size[0], _native.ENTROPY_UNITS, laplacians(), _like_scale, rng, advance)
    flag_net, flag_rows = _fitted(flags, size[1], _native.FLAG_UNITS, _odds(), None, rng, advance)
    return EntropyPart(value_net, flag_net, value_rows, flag_rows, _importance_rows(samples))


def length(samples: int) -> int:
    """Steps of progress that a fit to so many samples takes."""
    return samples + 2 * _TICKS


def _beginning(group: GroupPart) -> EntropyPart:
    """That knows nothing: what the coder needs to take down what a network is fitted to."""
    count = len(group.scales)

    def network(items: int, inputs: int, units: int) -> RowNetwork:
        return RowNetwork(
            np.zeros((items, units), np.int16), np.zeros((inputs, units), np.int16), np.zeros(units + 1, np.int32)
        )

    return EntropyPart(
        network(count, _native.ENTROPY_INPUTS, _native.ENTROPY_UNITS),
        network(-(-count // _native.BAND), _native.FLAG_INPUTS, _native.FLAG_UNITS),
        _places(laplacians()),
        _places(_odds()),
        _importance_rows([]),
    )


def _recorded(
    group: GroupPart,
    samples: Sequence[tuple[Floats, NDArray[np.uint8]]],
    steps: Sequence[NDArray[np.int16]],
    rng: np.random.Generator,
    advance: Callable[[], None],
) -> tuple[list[Observed], list[Observed]]:
    """Of values and flags, at each of the steps, of as many bands as there is room for."""
    cells = sum(importance.size for _, importance in samples)
    most = _MOST_VALUES // len(steps)
    every = max(cells * len(group.scales) // (4 * most), 1)
    values: list[list[Observed]] = [[] for _ in steps]
    flags: list[list[Observed]] = [[] for _ in steps]
    for number, (coefficients, importance) in enumerate(samples):
        for at, indices in enumerate(steps):
            chosen = quantised(group, indices, coefficients, importance)[1]
            by_cell = np.ascontiguousarray(chosen.reshape(len(chosen), -1).T)
            parts = _native.record_coefficients(
                group.coefficient_model, by_cell, importance, indices, step_sizes(indices), every, number
            )
            values[at].append(Observed(parts[0].reshape(-1, _native.ENTROPY_INPUTS), parts[1], parts[2]))
            flags[at].append(Observed(parts[3].reshape(-1, _native.FLAG_INPUTS), parts[4], parts[5]))
        advance()
    return [Observed.of(each, most, rng) for each in values], [Observed.of(each, most, rng) for each in flags]


def _importance_rows(samples: Sequence[tuple[Floats, NDArray[np.uint8]]]) -> NDArray[np.uint16]:
    """By the classes to the west and north, as the coder has them at borders."""
    classes = _native.MOST_IMPORTANCE_CLASSES
    counts = np.full((IMPORTANCE_ROWS, classes), 0.5)
    for _, importance in samples:
        whole = importance.astype(np.intp)
        west = np.concatenate([np.roll(whole[:, :1], 1), whole[:, :-1]], axis=1)
        west[0, 0] = 0
        north = np.concatenate([west[:1], whole[:-1]])
        np.add.at(counts, ((west * classes + north).reshape(-1), whole.reshape(-1)), 1)
    return _places((counts / counts.sum(axis=1, keepdims=True)).astype(np.float32))


def _places(chances: Floats) -> NDArray[np.uint16]:
    """Where the places of symbols begin, [rows, symbols + 1], each with one at least."""
    symbols = chances.shape[1]
    widths = 1 + np.floor(chances / chances.sum(axis=1, keepdims=True) * (WHOLE - symbols)).astype(np.int64)
    widths[np.arange(len(widths)), widths.argmax(axis=1)] += WHOLE - widths.sum(axis=1)
    return np.concatenate([np.zeros((len(widths), 1), np.int64), np.cumsum(widths, axis=1)], axis=1).astype(np.uint16)


def _like_scale(weights: Weights) -> None:
    """Begin with rows that are the expected magnitude's own: the first input, of both signs."""
    for unit, sign in enumerate((1, -1)):
        weights["weights"][:, unit], weights["items"][:, unit] = 0, 0
        weights["weights"][0, unit], weights["out"][unit] = sign, sign * _UNIT


def _fitted(
    seen: Sequence[Observed],
    items: int,
    units: int,
    chances: Floats,
    begin: Callable[[Weights], None] | None,
    rng: np.random.Generator,
    advance: Callable[[], None],
) -> tuple[RowNetwork, NDArray[np.uint16]]:
    """A network and the rows that it chooses from, which begin as `chances` [rows, symbols]."""
    rows = len(chances)
    inputs = seen[0].inputs.shape[1]
    features = np.zeros((items, _FEATURES + 2), np.float32)  # learnt ones, the number, and one
    features[:, -2], features[:, -1] = np.log2(np.arange(items) + 1) / 4, 1
    knots = np.append(np.arange(0, rows, _KNOTS_APART), rows - 1)
    weights = {
        "weights": rng.normal(0, inputs**-0.5, (inputs, units)).astype(np.float32),
        "items": rng.normal(0, 0.5, (_FEATURES + 2, units)).astype(np.float32),
        "out": (rng.normal(0, 0.5, units + 1) * _ROWS_PER_ODDS).astype(np.float32),
        "rows": np.log(chances[knots]).astype(np.float32),
        "features": features[:, :_FEATURES].copy(),
    }
    weights["out"][-1] = rows / 2
    if begin is not None:
        begin(weights)
    _descend(weights, features, seen, rows, rng, advance)
    features[:, :_FEATURES] = weights["features"]
    between = _between(np.arange(rows, dtype=np.float32) + np.float32(0.5), len(knots))
    logits = small_product(between, weights["rows"])
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _whole_network(weights, features), _places(np.maximum(softmax / softmax.sum(axis=1, keepdims=True), 1e-6))


def _between(at: Floats, knots: int) -> Floats:
    """How far positions lie between knots, as weights of these [n, knots]."""
    place = np.clip(at / _KNOTS_APART, 0, knots - 1.001)
    lower = place.astype(np.intp)
    out = np.zeros((len(at), knots), np.float32)
    here = np.arange(len(at))
    out[here, lower] = 1 - (place - lower)
    out[here, lower + 1] = place - lower
    return out


def _descend(
    weights: Weights,
    features: Floats,
    seen: Sequence[Observed],
    rows: int,
    rng: np.random.Generator,
    advance: Callable[[], None],
) -> None:
    """On the length of the code."""
    there = [each for each in seen if len(each.symbols)]
    count = sum(len(each.symbols) for each in there)
    total = int(np.clip(_PASSES * count // _BATCH, _LEAST_STEPS, _MOST_STEPS)) if there else 0
    # Coarse steps have few values, and are as dear as fine ones to those who work there; too few to see them often.
    shares = np.array([len(each.symbols) ** _SHARE for each in there])
    parts = np.maximum(_BATCH * shares / shares.sum(), 1).astype(int) if there else shares
    adam = Adam(weights, _RATE, total, longer={"out": _ROWS_PER_ODDS}, fading={"features": _FADING})
    for step in range(total):
        batch = [each.some(rng.integers(0, len(each.symbols), part)) for each, part in zip(there, parts, strict=True)]
        adam.step(_gradients(weights, features, Observed.of(batch, _BATCH, rng), rows))
        for _ in range(step * _TICKS // total, (step + 1) * _TICKS // total):
            advance()


def _gradients(weights: Weights, features: Floats, seen: Observed, rows: int) -> Weights:
    inputs = seen.inputs.astype(np.float32) / _UNIT
    items, count = seen.items, len(seen.items)
    of_items = np.concatenate([weights["features"], features[:, _FEATURES:]], axis=1)[items]
    before = small_product(inputs, weights["weights"]) + small_product(of_items, weights["items"])
    units = np.maximum(before, 0)
    at = small_product(units, weights["out"][:-1, None])[:, 0] + weights["out"][-1]
    knots = len(weights["rows"])
    between = _between(at, knots)
    logits = small_product(between, weights["rows"])
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = chances / chances.sum(axis=1, keepdims=True)
    error[np.arange(count), seen.symbols] -= 1
    error /= np.float32(count)
    slopes = np.diff(weights["rows"], axis=0) / np.float32(_KNOTS_APART)
    lower = np.clip(at / _KNOTS_APART, 0, knots - 1.001).astype(np.intp)
    moved = (error * slopes[lower]).sum(axis=1)
    outside = ((at < 0) & (moved > 0)) | ((at > rows) & (moved < 0))
    moved[outside] = 0
    back = moved[:, None] * weights["out"][:-1] * (before > 0)
    of_features = small_product(back, np.ascontiguousarray(weights["items"][:_FEATURES].T))
    features_gradient = np.zeros_like(weights["features"])
    np.add.at(features_gradient, items, of_features)
    return {
        "weights": small_product(inputs.T, back),
        "items": small_product(of_items.T, back),
        "out": np.append(small_product(units.T, moved[:, None])[:, 0], moved.sum()).astype(np.float32),
        "rows": small_product(between.T, error),
        "features": features_gradient,
    }


def _whole_network(weights: Weights, features: Floats) -> RowNetwork:
    """Rounded to whole numbers, each unit as finely as what it can reach allows."""
    bias = small_product(features, weights["items"])
    by_input = weights["weights"] / _UNIT
    reach = np.abs(bias).max(axis=0) + _LARGEST_INPUT * np.abs(by_input).sum(axis=0)
    # Rounding adds up to half a unit of each weight and of the bias.
    scale = (_LARGEST_SHORT - (1 + _LARGEST_INPUT * len(by_input)) / 2) / np.maximum(reach, _LEAST_REACH)
    out = weights["out"][:-1] / scale * 2.0 ** (_ROW_SHIFT + _UNIT_SHIFT)
    out *= min(1.0, _LARGEST_OUTS / (np.abs(out).sum() + len(out)))
    offset = np.clip(weights["out"][-1] * 2.0**_ROW_SHIFT, -_LARGEST_OFFSET, _LARGEST_OFFSET)
    return RowNetwork(
        np.rint(bias * scale).astype(np.int16),
        np.rint(by_input * scale).astype(np.int16),
        np.rint(np.append(out, offset)).astype(np.int32),
    )
