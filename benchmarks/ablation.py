"""What each context of `dense`, and of `fast`, is worth on real maps.

    python benchmarks/ablation.py --model picodet-s-416 --data folder:$MIDSTREAM_ASSETS/coco/calib --images 21

Bits a symbol of the three finest levels at the given n and z, tables not counted. A context that is left out is
replaced by a constant, so that the others stay as they are. Of `fast`, contexts that it could have had are measured as
conditional entropies with the tables of each level, which is what static tables reach but for their own size.
"""

from __future__ import annotations

import argparse

import numpy as np
from coders import finest_levels, symbol_maps

from midstream import _native
from midstream.codec.paper.symbols import count_symbols

DENSE = (
    "W, N, NW, NE, WW, NN",
    "channel, W, N",
    "reference: same place and around it; W, N",
    "channel, reference at the same place",
    "channel",
    "NE, NNE, NN, NNW, N, W",
    "W, N, reference at the same place (fine)",
)
NEIGHBOURS = {"W": (0, -1), "N": (-1, 0), "NW": (-1, -1), "NE": (-1, 1), "WW": (0, -2), "NN": (-2, 0)}
FAST = ((), ("W",), ("N",), ("W", "N"), ("W", "N", "NE"), ("W", "N", "NW"), ("W", "N", "NE", "NW"))


def dense_bits(maps: list[np.ndarray], n: int, used: int, referenced: bool = True) -> float:
    spent = 0.0
    for values in maps:
        counts = count_symbols(values.reshape(-1), n)
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].astype(np.uint8)
        found = _native.dense_references(values, n) if referenced else np.zeros(len(values), np.uint8)
        spent += float(_native.dense_costs(values, n, order, found, used).sum(dtype=np.float64))
    return spent / sum(values.size for values in maps)


def neighbour(values: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The symbol that far away; beyond the border the nearest row or column, as `fast` does."""
    _, height, width = values.shape
    rows, columns = np.clip(np.arange(height) + dy, 0, None), np.clip(np.arange(width) + dx, 0, width - 1)
    moved = values[:, rows][:, :, columns]
    if dy == 0:  # the first column has nothing to the left: what lies above
        moved[:, 1:, :-dx] = values[:, :-1, :-dx]
    return moved


def conditional_entropy(maps: list[np.ndarray], n: int, names: tuple[str, ...]) -> float:
    spent = 0.0
    for values in maps:
        context = np.zeros(values.shape, np.int64)
        for name in names:
            context = context * n + neighbour(values, *NEIGHBOURS[name])
        joint = np.bincount((context * n + values).reshape(-1), minlength=n ** (len(names) + 1)).reshape(-1, n)
        chances = joint / np.maximum(joint.sum(1, keepdims=True), 1)
        spent -= float((joint * np.log2(np.where(chances > 0, chances, 1))).sum())
    return spent / sum(values.size for values in maps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="picodet-s-416")
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=21)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--z", type=float, default=1.5)
    arguments = parser.parse_args()
    n = arguments.symbols
    maps = symbol_maps(finest_levels(arguments.model, arguments.data, arguments.images), n, arguments.z)
    every = (1 << len(DENSE)) - 1
    whole = dense_bits(maps, n, every)
    print(f"| {arguments.model}, n = {n}, z = {arguments.z:g}: `dense` | bits a symbol | worth |\n|---|---|---|")
    print(f"| all contexts | {whole:.4f} | |")
    for i, name in enumerate(DENSE):
        bits = dense_bits(maps, n, every & ~(1 << i))
        print(f"| without {name} | {bits:.4f} | {bits - whole:.4f} |", flush=True)
    bits = dense_bits(maps, n, every, referenced=False)
    print(f"| without any reference channel | {bits:.4f} | {bits - whole:.4f} |")
    bits = dense_bits(maps, n, 1)
    print(f"| the first context alone | {bits:.4f} | {bits - whole:.4f} |")
    print(f"\n| {arguments.model}, n = {n}, z = {arguments.z:g}: static tables | bits a symbol | numbers in a table |")
    print("|---|---|---|")
    for names in FAST:
        size = n ** len(names) * (n - 1)
        print(
            f"| {', '.join(names) or 'no context'} | {conditional_entropy(maps, n, names):.4f} | {size:,} |", flush=True
        )


if __name__ == "__main__":
    main()
