"""Bits a symbol of `dense` and its rivals on real maps, every coder on the same symbols in the same run.

    pip install imagecodecs zstandard
    python benchmarks/dense_rate.py --model picodet-s-416 --data coco:IMAGES,ANNOTATIONS.json --pictures 21

Symbols are those of the three finest levels at the given n and z, side information of features not counted, that of the
symbols (tables, references) counted. Picture codecs get a level as one grey picture, its channels as tiles;
zstd gets symbols packed in 2 bits (n up to 4). Speed is of one core, encode and decode, symbols in and bytes out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from midstream import _native, data, models
from midstream.codec.normalize import measure
from midstream.codec.quantize import channel_boundaries, lloyd_max_thresholds, z_thresholds
from midstream.codec.symbols import decode_symbols, encode_symbols
from midstream.codec.wire import Reader

Maps = np.ndarray
Rival = tuple[Callable[[Maps], bytes], Callable[[bytes, Maps], object]]


def ours(coder: str, n: int) -> Rival:
    def encode(maps: Maps) -> bytes:
        table, payload = encode_symbols(coder, maps, n)
        return len(table).to_bytes(4, "little") + table + payload

    def decode(stream: bytes, maps: Maps) -> object:
        size = int.from_bytes(stream[:4], "little")
        return decode_symbols(coder, n, Reader(stream[4 : 4 + size], "x"), stream[4 + size :], maps.shape)

    return encode, decode


def rivals(n: int) -> dict[str, Rival]:
    import imagecodecs as ic
    import zstandard

    def tiled(maps: Maps) -> Maps:
        """Channels side by side in rows of about the square root of their number, as feature codecs lay them out."""
        channels, height, width = maps.shape
        across = int(np.ceil(np.sqrt(channels)))
        full = np.zeros((-(-channels // across) * across, height, width), np.uint8)
        full[:channels] = maps
        return np.ascontiguousarray(full.reshape(-1, across, height, width).swapaxes(1, 2).reshape(-1, across * width))

    def untiled(picture: Maps, maps: Maps) -> Maps:
        channels, height, width = maps.shape
        rows = picture.reshape(-1, height, picture.shape[1] // width, width).swapaxes(1, 2)
        return rows.reshape(-1, height, width)[:channels]

    found: dict[str, Rival] = {
        "webp lossless": (
            lambda m: ic.webp_encode(np.repeat(tiled(m)[:, :, None], 3, 2), lossless=True),
            lambda d, m: untiled(ic.webp_decode(d)[:, :, 0], m),
        )
    }
    for effort in (7, 9):
        found[f"jpeg xl, effort {effort}"] = (
            lambda m, e=effort: ic.jpegxl_encode(tiled(m), lossless=True, effort=e, numthreads=1),
            lambda d, m: untiled(ic.jpegxl_decode(d, numthreads=1), m),
        )
    for level in (1, 19):
        found[f"zstd -{level}, packed"] = (
            lambda m, k=level: zstandard.compress(_native.pack(m.reshape(-1), (n - 1).bit_length()), k),
            lambda d, m: _native.unpack(zstandard.decompress(d), m.size, (n - 1).bit_length()).reshape(m.shape),
        )
    return found


def symbol_maps(model: models.SplitModel, pixels: np.ndarray, n: int, z: float) -> list[Maps]:
    out = []
    for name, values in list(model.front(pixels).items())[:3]:
        flat = np.ascontiguousarray(values.reshape(len(values), -1))
        statistics = measure(name, flat)
        thresholds = z_thresholds(n, z) if n in (3, 4) else lloyd_max_thresholds([(flat, statistics)], n)
        out.append(_native.quantize(flat, channel_boundaries(statistics, thresholds)).reshape(values.shape))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="picodet-s-416")
    parser.add_argument("--data", required=True)
    parser.add_argument("--pictures", type=int, default=21)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--z", type=float, default=1.5)
    arguments = parser.parse_args()
    model, pictures = models.load(arguments.model), data.load(arguments.data).pictures
    chosen = pictures[:: max(len(pictures) // arguments.pictures, 1)][: arguments.pictures]
    n = arguments.symbols
    maps = [m for p in chosen for m in symbol_maps(model, data.read_picture(p.path), n, arguments.z)]
    total = sum(m.size for m in maps)
    counts = np.sum([np.bincount(m.reshape(-1), minlength=n) for m in maps], axis=0) / total
    entropy = -sum(c * np.log2(c) for c in counts if c)
    print(f"| {arguments.model}, {len(chosen)} pictures, n = {n}, z = {arguments.z:g} | bits a symbol | Msym/s |")
    print(f"|---|---|---|\n| entropy of all symbols together | {entropy:.3f} | |")
    for name, (encode, decode) in {"rans": ours("rans", n), "dense": ours("dense", n), **rivals(n)}.items():
        start = time.perf_counter()
        streams = [encode(m) for m in maps]
        encoded = time.perf_counter()
        decoded = [decode(s, m) for s, m in zip(streams, maps, strict=True)]
        done = time.perf_counter()
        assert all(np.array_equal(d, m) for d, m in zip(decoded, maps, strict=True)), name
        speed = f"{total / (encoded - start) / 1e6:.1f} / {total / (done - encoded) / 1e6:.1f}"
        print(f"| {name} | {8 * sum(map(len, streams)) / total:.3f} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
