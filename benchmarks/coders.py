"""Bits a symbol and speed of our symbol coders and of their rivals, all on the same real maps in the same run.

    python benchmarks/coders.py --model picodet-s-416 --data coco:IMAGES,ANNOTATIONS.json --symbols 4 --z 1.5
    python benchmarks/coders.py --data coco:IMAGES,ANNOTATIONS.json --all    # rates over both networks, n and z

benchmarks/rivals.py says which packages the rivals need; those that are missing are named in the table.

A map is one of the three finest levels of an image, quantised in intervals of one width between two open ones.
Every coder codes and decodes every map on its own, on one core, and must give it back exactly. Rates count the streams,
with their tables; what a codec of features sends beside its symbols is none of a symbol coder's. Speed is from symbols
of one byte to a stream and back, in processor time of all threads, the best of three passes for a coder of more than
50 million symbols a second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from rivals import SLOW, Coder, Missing, Shape, Stream, Symbols, rivals

from midstream import _native, data, models
from midstream.codec.paper.quantize import uniform_thresholds, z_thresholds
from midstream.codec.paper.symbols import CODERS, decode_maps, encode_maps

NETWORKS = ("picodet-s-416", "yolox-nano-416")
ALPHABETS = (2, 3, 4, 8)
ZS = (0.5, 1.0, 1.5, 2.0)
#: Of the slow ones, the one that `--all` has time for.
ALSO_IN_ALL = "zstd -19, packed"
LEVELS = 3
#: A coder above this speed is measured again: its passes are short enough for the machine to disturb them.
REPEAT_ABOVE = 50e6
REPETITIONS = 3
T = TypeVar("T")
Pyramids = list[list[np.ndarray]]


def ours(coder: str, n: int) -> Coder:
    def decode(stream: Stream, shape: Shape) -> Symbols:
        return decode_maps(coder, n, [stream], [shape[0]], (shape[1], shape[2]), "the map")

    return Coder(f"**{coder}**", lambda symbols: encode_maps(coder, [symbols], n)[0], decode)


def finest_levels(network: str, spec: str, count: int) -> Pyramids:
    """Of `count` images spread evenly over the data set: float32 [C, H, W] of each level, finest first."""
    model, images = models.load(network), data.load(spec).images
    chosen = images[:: max(len(images) // count, 1)][:count]
    return [list(model.front(data.read_image(image.path)).values())[:LEVELS] for image in chosen]


def thresholds_for(n: int, z: float) -> list[float]:
    """The paper's for its n; for others n - 2 intervals of one width over the same -z .. z (n = 2: the sign)."""
    return z_thresholds(n, z) if n in (3, 4) else uniform_thresholds(n, 2 * z / max(n - 2, 1))


def symbol_maps(pyramids: Pyramids, n: int, z: float) -> list[Symbols]:
    """uint8 [C', H, W] of every level of every image, C' channels being those that are not constant."""
    maps, thresholds = [], thresholds_for(n, z)
    for values in (level for pyramid in pyramids for level in pyramid):
        flat = np.ascontiguousarray(values.reshape(len(values), -1))
        symbols = _native.quantize(flat, thresholds, n)[4]
        if len(symbols):
            maps.append(symbols.reshape(-1, *values.shape[1:]))
    return maps


def order_0_entropy(maps: Sequence[Symbols], n: int) -> float:
    """Of all symbols together, in bits."""
    counts = np.sum([np.bincount(m.reshape(-1), minlength=n) for m in maps], axis=0)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def bits_a_symbol(streams: Sequence[Stream], maps: Sequence[Symbols]) -> float:
    return 8 * sum(memoryview(stream).nbytes for stream in streams) / sum(m.size for m in maps)


def encode_all(coder: Coder, maps: Sequence[Symbols]) -> list[Stream]:
    return [coder.encode(m) for m in maps]


def decode_all(coder: Coder, streams: Sequence[Stream], maps: Sequence[Symbols]) -> list[Symbols]:
    return [coder.decode(stream, m.shape) for stream, m in zip(streams, maps, strict=True)]


def check(coder: Coder, decoded: Sequence[Symbols], maps: Sequence[Symbols]) -> None:
    if not all(np.array_equal(d, m) for d, m in zip(decoded, maps, strict=True)):
        raise SystemExit(f"{coder.name} does not give the symbols back")


def timed(action: Callable[[], T], symbols: int) -> tuple[T, float]:
    """What the action returns, and its speed in symbols a second of processor time, which suffers least from others."""

    def once() -> tuple[T, float]:
        start = time.process_time()
        result = action()
        return result, symbols / (time.process_time() - start)

    result, speed = once()
    if speed > REPEAT_ABOVE:
        speed = max(speed, *(once()[1] for _ in range(REPETITIONS - 1)))
    return result, speed


def row_of(coder: Coder, maps: Sequence[Symbols]) -> str:
    total = sum(m.size for m in maps)
    streams, encoding = timed(lambda: encode_all(coder, maps), total)
    decoded, decoding = timed(lambda: decode_all(coder, streams, maps), total)
    check(coder, decoded, maps)
    speeds = " | ".join(f"{speed / 1e6:,.{1 if speed < 100e6 else 0}f}" for speed in (encoding, decoding))
    return f"| {coder.name} | {bits_a_symbol(streams, maps):.3f} | {speeds} |"


def print_table(arguments: argparse.Namespace) -> None:
    n, z = arguments.symbols, arguments.z
    pyramids = finest_levels(arguments.model, arguments.data, arguments.images)
    maps = symbol_maps(pyramids, n, z)
    title = f"{arguments.model}, {len(pyramids)} images, n = {n}, z = {z:g}"
    print(f"{title}: {sum(m.size for m in maps):,} symbols, instructions of {_native.simd_path()}\n")
    print("| coder | bits a symbol | encode Msym/s | decode Msym/s |\n|---|---|---|---|")
    print(f"| order-0 entropy of all symbols together | {order_0_entropy(maps, n):.3f} | | |", flush=True)
    for coder in [*(ours(name, n) for name in CODERS), *rivals(n)]:
        if isinstance(coder, Missing):
            print(f"| {coder.name} | not installed: {coder.install} | | |")
        elif not (arguments.quick and coder.name in SLOW):
            print(row_of(coder, maps), flush=True)


def rate(coder: Coder, maps: Sequence[Symbols]) -> float:
    streams = encode_all(coder, maps)
    check(coder, decode_all(coder, streams, maps), maps)
    return bits_a_symbol(streams, maps)


def cases() -> list[tuple[int, float]]:
    """Pairs of n and z. Two symbols are the sign, whatever z."""
    return [(n, z) for n in ALPHABETS for z in (ZS if n > 2 else ZS[:1])]


def print_all(spec: str, images: int) -> None:
    columns = "network | n | z | order-0 entropy | fast | dense | best rival | its name"
    print(f"| {columns} |\n{'|---' * (columns.count('|') + 1)}|")
    lost = []
    for network in NETWORKS:
        pyramids = finest_levels(network, spec, images)
        for n, z in cases():
            maps = symbol_maps(pyramids, n, z)
            fast, dense = (rate(ours(name, n), maps) for name in ("fast", "dense"))
            others = [c for c in rivals(n) if isinstance(c, Coder) and (c.name not in SLOW or c.name == ALSO_IN_ALL)]
            best, name = min((rate(other, maps), other.name) for other in others)
            case = f"{network} | {n} | {z if n > 2 else 'any'}"
            rates = f"{order_0_entropy(maps, n):.3f} | {fast:.3f} | {dense:.3f} | {best:.3f}"
            print(f"| {case} | {rates} | {name} |", flush=True)
            lost += [case.replace(" | ", ", ")] * (dense >= best)
    verdict = f"not below every rival for {'; '.join(lost)}" if lost else "below every rival everywhere"
    missing = [rival.name for rival in rivals(ALPHABETS[0]) if isinstance(rival, Missing)]
    print(f"\ndense is {verdict} (not measured: {'; '.join([*sorted(SLOW - {ALSO_IN_ALL}), *missing])})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=NETWORKS[0], help="name of a network or a TOML file, not for --all")
    parser.add_argument("--data", required=True, help="coco:IMAGES,ANNOTATIONS.json, or a folder of images")
    parser.add_argument("--images", type=int, default=21)
    parser.add_argument("--symbols", type=int, default=4, help="n, not for --all")
    parser.add_argument("--z", type=float, default=1.5, help="not for --all")
    parser.add_argument("--quick", action="store_true", help=f"without {'; '.join(sorted(SLOW))}")
    parser.add_argument("--all", action="store_true", help="rates only, over both networks and all n and z")
    arguments = parser.parse_args()
    if arguments.all:
        print_all(arguments.data, arguments.images)
    else:
        print_table(arguments)


if __name__ == "__main__":
    main()
