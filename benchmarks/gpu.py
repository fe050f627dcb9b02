"""Images a second of the codecs where features are on a device, beside nvCOMP's ANS on the same symbols.

    python benchmarks/gpu.py --device cuda
    python benchmarks/gpu.py --device cuda --profile picodet.profile

Needs torch, and for the last line of each table `nvidia-nvcomp-cu12` or `-cu13`. Features are noise of those shapes, of
four symbols about as likely as a network's. Wall time, the median of some repeats. Columns: images a second of
`encode_batch` and `decode_batch`; of one image alone, what the calling thread does on the device (with the copies) and
what is left for the pool; a copy of as many bytes as cross the bus, and its share of the image's time. On the CPU there
is no bus: the same work done by torch, to see that it is done.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import midstream as ms
from midstream import features
from midstream.codec.base import Codec
from midstream.codec.calibrated.parts import step_sizes
from midstream.codec.calibrated.transform import grids_of, inverse
from midstream.codec.paper import device_quantizer
from midstream.codec.paper.quantize import z_thresholds
from midstream.features import check_pyramid

SHAPES = {
    "picodet": {"p3": (96, 52, 52), "p4": (96, 26, 26), "p5": (96, 13, 13), "p6": (96, 7, 7)},
    "r50": {"p2": (256, 200, 304), "p3": (256, 100, 152), "p4": (256, 50, 76), "p5": (256, 25, 38)},
}
#: Of the symbols of these rows.
SYMBOLS, Z = 4, 1.5
Pyramid = dict[str, Any]


def milliseconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """The median."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[1:])  # the first one warms up


def made(shapes: dict[str, tuple[int, int, int]], seed: int, device: torch.device) -> Pyramid:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.laplace(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def of_profile(profile: ms.Profile, seed: int, device: torch.device) -> Pyramid:
    """Levels whose coefficients have the profile's deviations in a tenth of the cells, a tenth of them elsewhere."""
    rng, out = np.random.default_rng(seed), {}
    sizes = {level.about.name: level.about.size for group in profile.groups for level in group.levels}
    for group, grid in zip(profile.groups, grids_of(profile.groups, sizes), strict=True):
        busy = np.where(rng.random(grid) < 0.1, 1, 0.1)
        values = rng.laplace(size=(len(group.scales), *grid)) * step_sizes(group.scales)[:, None, None] * busy
        out |= inverse(group, values.astype(np.float32), sizes, 1)
    return {name: torch.from_numpy(out[name]).to(device) for name in profile.about.order}


def copy_times(count: int, device: torch.device, repeats: int) -> tuple[float, float]:
    """Milliseconds for so many bytes to the host, and from it; 0 where the device is the host."""
    if device.type == "cpu":
        return 0.0, 0.0
    there, here = torch.zeros(count, dtype=torch.uint8, device=device), torch.zeros(count, dtype=torch.uint8)
    return milliseconds(there.cpu, device, repeats), milliseconds(lambda: here.to(device), device, repeats)


def row(name: str, batch: float, on_device: float, rest: float, bus: float, crossing: int) -> str:
    whole = on_device + rest
    return (
        f"| {name} | {1e3 / batch:,.1f} | {on_device:.2f} | {rest:.2f} | {crossing / 1e6:.2f} | {bus:.2f} | "
        f"{100 * bus / whole:.1f} % |"
    )


def measure(codec: Codec, images: list[Pyramid], crossing: int, device: torch.device, repeats: int) -> None:
    profile = codec.decoding_profile
    levels = check_pyramid(images[0])
    data = ms.encode_batch(images, codec)
    kept = codec.begin(levels, threads=1)
    out, back = copy_times(crossing, device, repeats)
    batch = milliseconds(lambda: ms.encode_batch(images, codec), device, repeats) / len(images)
    on_device = milliseconds(lambda: codec.begin(levels, threads=1), device, repeats)
    print(row(f"{codec.name}, encode", batch, on_device, milliseconds(kept, device, repeats), out, crossing))

    def decode_all() -> list[Pyramid]:
        return ms.decode_batch(data, like="torch", device=device, profile=profile)

    def decode_host() -> Any:
        return ms.decode(data[0], profile=profile, threads=1)

    batch = milliseconds(decode_all, device, repeats) / len(images)
    whole = milliseconds(
        lambda: ms.decode(data[0], like="torch", device=device, profile=profile, threads=1), device, repeats
    )
    host = milliseconds(decode_host, device, repeats)
    print(f"| {codec.name}, decode | {1e3 / batch:,.1f} | {whole:.2f} (both) | | {crossing / 1e6:.2f} | {back:.2f} | "
          f"{100 * back / whole:.1f} % |")  # fmt: skip
    there = {name: tensor.cpu().numpy() for name, tensor in images[0].items()}
    plain = milliseconds(lambda: ms.encode(there, codec, threads=1), device, repeats)
    print(f"| {codec.name}, arrays on one core: encode {plain:.2f} ms, decode {host:.2f} ms | | | | | | |")


def measure_ans(images: list[Pyramid], device: torch.device, repeats: int) -> None:
    try:
        from nvidia import nvcomp
    except ImportError:
        print("| nvCOMP's ANS: not installed | | | | | | |")
        return
    codec = nvcomp.Codec(algorithm="ANS", cuda_stream=torch.cuda.current_stream(device).cuda_stream)
    levels = check_pyramid(images[0])
    found = device_quantizer.quantise(levels, z_thresholds(SYMBOLS, Z), SYMBOLS)  # type: ignore[arg-type]
    arrays = [nvcomp.as_array(torch.from_numpy(each.symbols).to(device).reshape(-1)) for each in found]
    coded = codec.encode(arrays)
    size = sum(each.buffer_size for each in coded)
    encode = milliseconds(lambda: codec.encode(arrays), device, repeats)
    decode = milliseconds(lambda: codec.decode(coded), device, repeats)
    fast = len(ms.encode(images[0], symbols=SYMBOLS, z=Z))
    print(f"| nvCOMP's ANS of the symbols alone, encode | {1e3 / encode:,.1f} | {encode:.2f} | | | | |")
    print(f"| nvCOMP's ANS of the symbols alone, decode | {1e3 / decode:,.1f} | {decode:.2f} | | | | |")
    print(f"| {size:,} bytes; `fast` {fast:,}, with the side information | | | | | | |")


def title(name: str, elements: int, images: int, device: torch.device) -> None:
    print(f"\n{name}, {4 * elements / 1e6:.1f} MB of float32, {images} images on {device}\n")
    print("| | images/s | device, ms | host, ms | MB over the bus | copy, ms | of the time |\n|" + "---|" * 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", choices=SHAPES, nargs="*", default=list(SHAPES))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", help="for `calibrated`, too, with levels of its sizes")
    arguments = parser.parse_args()
    device = features.torch_device(arguments.device)
    features.WORKING_DEVICES = (*features.WORKING_DEVICES, device.type)
    for name in arguments.shapes:
        shapes = SHAPES[name]
        images = [made(shapes, seed, device) for seed in range(arguments.images)]
        elements = sum(channels * height * width for channels, height, width in shapes.values())
        title(name, elements, arguments.images, device)
        measure(ms.Paper(symbols=SYMBOLS, z=Z), images, elements, device, arguments.repeats)
        if device.type == "cuda":
            measure_ans(images, device, arguments.repeats)
    if arguments.profile:
        profile = ms.Profile.of(arguments.profile)
        images = [of_profile(profile, seed, device) for seed in range(arguments.images)]
        sizes = {level.about.name: level.about.size for group in profile.groups for level in group.levels}
        grids = grids_of(profile.groups, sizes)
        elements = sum(tensor.numel() for tensor in images[0].values())
        crossing = 4 * sum(len(group.scales) * h * w for group, (h, w) in zip(profile.groups, grids, strict=True))
        title(profile.about.network, elements, arguments.images, device)
        measure(ms.Calibrated(profile=profile), images, crossing, device, arguments.repeats)


if __name__ == "__main__":
    main()
