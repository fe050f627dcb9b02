"""What the paper leaves open, measured: where interval means are taken, precision of the side information, 8-bit range.

Runs on images without labels (the calibration images, never the evaluation ones); accuracy is the agreement with
the uncompressed network (AP against its own detections). Bytes are those of the bitstream that each choice would need.

    python benchmarks/open_points.py --model picodet-s-416 --data folder:$MIDSTREAM_ASSETS/coco/calib --limit 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

from midstream import _native, data, models
from midstream.codec.paper import quantize
from midstream.codec.paper.normalize import ChannelStatistics, CodedStatistics
from midstream.codec.paper.symbols import encode_maps
from midstream.metrics.accuracy import accuracy_of
from midstream.metrics.agreement import reference_dataset

Pyramid = dict[str, np.ndarray]
Coded = tuple[int, int, Pyramid]  # bytes of side information, of payload, decoded pyramid


def flat(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.reshape(len(values), -1))


def measure(values: np.ndarray) -> ChannelStatistics:
    return ChannelStatistics(*_native.channel_statistics(values))


def histogram(values: np.ndarray) -> quantize.Histogram:
    return quantize.Histogram.of(values, measure(values))


def coded_bytes(symbols: np.ndarray, shape: tuple[int, ...], n: int) -> int:
    return len(encode_maps("fast", [symbols.reshape(shape)], n)[0])


def looked_up(table: np.ndarray, symbols: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.take_along_axis(table.astype("f4"), symbols.astype(np.int64), 1).reshape(shape)


def statistics_as(kind: str, s: ChannelStatistics) -> tuple[np.ndarray, np.ndarray, int]:
    """Decoder's mean and std, and the bytes that they take."""
    if kind == "float32":
        return s.mean.astype("f4").astype("f8"), s.std.astype("f4").astype("f8"), 8 * len(s.mean)
    if kind == "float16":
        return s.mean.astype("f2").astype("f8"), s.std.astype("f2").astype("f8"), 4 * len(s.mean)
    coded = CodedStatistics.of(s.mean, s.std, int(kind))
    return coded.mean, coded.std, len(coded.write())


def paper(pyramid: Pyramid, n: int, rule: str | float, scope: str, statistics: str, fit: str = "image") -> Coded:
    """Quantise with interval means taken per `scope` (channel, level, image)."""
    side = payload = 0
    measured = {k: measure(flat(v)) for k, v in pyramid.items()}
    pairs = [(flat(v), measured[k]) for k, v in pyramid.items()]
    shared = None
    if rule == "lloyd-max" and fit == "image":
        shared = quantize.lloyd_max_thresholds([histogram(values) for values, _ in pairs], n)
    parts = {}
    for name, (values, s) in zip(pyramid, pairs, strict=True):
        if isinstance(rule, float):
            thresholds = quantize.z_thresholds(n, rule)
        else:
            thresholds = shared or quantize.lloyd_max_thresholds([histogram(values)], n)
        symbols, counts, sums = _native.quantize(values, thresholds, n)[4:]
        parts[name] = (symbols, counts, (sums - counts * s.mean[:, None]) / s.std[:, None])
    total = (sum(c.sum(0) for _, c, _ in parts.values()), sum(z.sum(0) for _, _, z in parts.values()))
    out = {}
    for name, (symbols, counts, z) in parts.items():
        s = measured[name]
        means = (
            {
                "channel": z / np.maximum(counts, 1),
                "level": np.tile(z.sum(0) / np.maximum(counts.sum(0), 1), (len(z), 1)),
                "image": np.tile(total[1] / np.maximum(total[0], 1), (len(z), 1)),
            }[scope]
            .astype("f2")
            .astype("f8")
        )
        mean, std, size = statistics_as(statistics, s)
        side += size + {"channel": 2 * n * len(z), "level": 2 * n, "image": 0}[scope]
        payload += coded_bytes(symbols, pyramid[name].shape, n)
        out[name] = looked_up(mean[:, None] + std[:, None] * means, symbols, pyramid[name].shape)
    return side + (2 * n if scope == "image" else 0), payload, out


def refined(pyramid: Pyramid, n: int, rule: str | float, statistics: int, bits: int, least: int = 0) -> Coded:
    """Interval means per level, refined per channel in steps of 2^-bits deviations of the coded statistics.

    Channels with fewer than `least` elements for each interval are not refined; their statistics are 3 bits finer.
    """
    side = payload = 0
    out = {}
    for name, v in pyramid.items():
        values, s = flat(v), measure(flat(v))
        if isinstance(rule, float):
            thresholds = quantize.z_thresholds(n, rule)
        else:
            thresholds = quantize.lloyd_max_thresholds([histogram(flat(w)) for w in pyramid.values()], n)
        symbols, counts, sums = _native.quantize(values, thresholds, n)[4:]
        large = values.shape[1] >= least * n
        coded = CodedStatistics.of(s.mean, s.std, statistics if large else statistics + 3)
        z = (sums - counts * coded.mean[:, None]) / coded.std[:, None]
        level = (z.sum(0) / np.maximum(counts.sum(0), 1)).astype("f2").astype("f8")
        own = np.where(counts > 0, z / np.maximum(counts, 1) - level, 0)
        steps = np.rint(np.ldexp(own if large else 0 * own, bits)).astype(np.int64)
        zigzag = np.where(steps < 0, -2 * steps - 1, 2 * steps).astype(np.uint64).reshape(-1)
        refinement = min(_native.rice_bits(zigzag, k) for k in range(20)) // 8 + 4 if large else 1
        side += len(coded.write()) + 2 * n + refinement
        payload += coded_bytes(symbols, pyramid[name].shape, n)
        table = coded.mean[:, None] + coded.std[:, None] * (level + np.ldexp(steps.astype("f8"), -bits))
        out[name] = looked_up(table, symbols, v.shape)
    return side, payload, out


def eight_bit(pyramid: Pyramid, scope: str) -> Coded:
    """Uniform 8-bit conversion over the range of each level or channel."""
    side = payload = 0
    out = {}
    for name, v in pyramid.items():
        x = flat(v)
        low, high = x.min(1, keepdims=True).astype("f8"), x.max(1, keepdims=True).astype("f8")
        if scope == "level":
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
        span = np.maximum(high - low, 1e-30)
        symbols = np.rint((x - low) / span * 255).astype(np.uint8)
        side += 8 if scope == "level" else 8 * len(x)
        payload += coded_bytes(symbols, v.shape, 256)
        out[name] = (low + symbols / 255 * span).astype("f4").reshape(v.shape)
    return side, payload, out


Choices = dict[str, Callable[[Pyramid], Coded]]


def scopes() -> Choices:
    return {
        f"n={n} z={z}: interval means per {scope}": partial(paper, n=n, rule=z, scope=scope, statistics="float32")
        for n, z in ((4, 1.5), (3, 1.0))
        for scope in ("image", "level", "channel")
    }


def precisions() -> Choices:
    return {
        f"n={n} {rule}: statistics as {kind}": partial(paper, n=n, rule=rule, scope="level", statistics=kind)
        for n, rule, kinds in (
            (4, 1.5, ("float32", "float16", "8", "6", "5", "4", "3", "2")),
            (32, "lloyd-max", ("float32", "9", "8", "7", "6", "5")),
        )
        for kind in kinds
    }


def refinements() -> Choices:
    rows: Choices = {}
    for n, rule, widths in ((4, 1.5, (2, 3, 4, 5)), (3, 1.0, (2, 3)), (8, "lloyd-max", (4,)), (16, "lloyd-max", (5,))):
        for p in widths:
            rows[f"n={n} {rule}: statistics {p} bits, interval means per level"] = partial(
                paper, n=n, rule=rule, scope="level", statistics=str(p)
            )
            for bits in (p - 1, p, p + 1):
                rows[f"n={n} {rule}: statistics {p} bits, refined per channel by {bits} bits"] = partial(
                    refined, n=n, rule=rule, statistics=p, bits=bits
                )
    for n, rule, p in ((4, 1.5, 2), (16, "lloyd-max", 4)):
        for least in (0, 8, 16, 32, 64):
            rows[f"n={n} {rule}: refined where a channel has {least} elements an interval"] = partial(
                refined, n=n, rule=rule, statistics=p, bits=p + 1, least=least
            )
    return rows


def fits_and_ranges() -> Choices:
    rows: Choices = {
        f"n=4 lloyd-max fitted per {fit}": partial(
            paper, n=4, rule="lloyd-max", scope="level", statistics="float32", fit=fit
        )
        for fit in ("image", "level")
    }
    return rows | {f"8 bit, range per {scope}": partial(eight_bit, scope=scope) for scope in ("level", "channel")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="picodet-s-416")
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=100)
    arguments = parser.parse_args()
    model, images = models.load(arguments.model), data.load(arguments.data).head(arguments.limit)
    rows = scopes() | precisions() | refinements() | fits_and_ranges()
    found = {label: {} for label in ["reference", *rows]}
    spent = {label: np.zeros(3) for label in rows}
    for image in images.images:
        pixels = data.read_image(image.path)
        size, pyramid = pixels.shape[:2], model.front(pixels)
        if any((v.min((1, 2)) == v.max((1, 2))).any() for v in pyramid.values()):
            raise SystemExit(f"{image.path}: a channel is constant; this benchmark is of those that are not")
        found["reference"][image.id] = model.back(pyramid, size)
        for label, code in rows.items():
            side, payload, decoded = code(pyramid)
            error = np.mean([np.mean((decoded[k] - v) ** 2) / v.var() for k, v in pyramid.items()])
            spent[label] += (side, payload, error)
            found[label][image.id] = model.back(decoded, size)
    reference = reference_dataset(images, found["reference"], model.classes)
    count = len(images.images)
    print(f"| {arguments.model}, {count} images | side bytes | payload bytes | error / variance | agreement AP |")
    print("|---|---|---|---|---|")
    for label in rows:
        side, payload, error = spent[label] / count
        ap = accuracy_of(reference, found[label], model.classes).ap
        print(f"| {label} | {side:,.0f} | {payload:,.0f} | {error:.5f} | {ap:.2f} |", flush=True)


if __name__ == "__main__":
    main()
