"""Time and memory of the codec `calibrated` on a large pyramid: the shapes of R50-FPN at 800x1216, features of noise.

    python benchmarks/large.py

The network is a stand-in that makes smooth noise of those shapes and finds nothing in it, so that only times say
something: what the transform and the coder do does not depend on what the numbers mean. The front of R50-FPN itself
takes seconds on such a machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import midstream as ms
from midstream.calibration.run import fit
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import Views
from midstream.data import ImageFile
from midstream.models import Detections
from midstream.models.tasks.detection import Detection

SHAPES = {"p2": (256, 200, 304), "p3": (256, 100, 152), "p4": (256, 50, 76), "p5": (256, 25, 38)}


class StandIn:
    name = "r50-fpn-shapes"
    classes = ("thing",)
    task = Detection()
    has_masks = False
    derived: dict = {}  # noqa: RUF012 (never written)
    fingerprint = identity = "0" * 64

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return 800, 1216

    def front(self, image: np.ndarray) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(int(image.sum()))
        mixing = np.random.default_rng(0).normal(size=(256, 32)).astype(np.float32)
        out = {}
        for name, (_, height, width) in SHAPES.items():
            small = rng.normal(size=(height // 4 + 1, width // 4 + 1, 32)).astype(np.float32)
            smooth = cv2.resize(small, (width, height)).reshape(-1, 32)
            noise = rng.normal(size=(256, height * width)).astype(np.float32)
            out[name] = (mixing @ smooth.T + 0.3 * noise).reshape(256, height, width)
        return out

    def back(self, pyramid: dict[str, np.ndarray], size: tuple[int, int]) -> Detections:
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def calibrated(model: StandIn, images: int) -> ms.Profile:
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i in range(images):
            path = Path(folder) / f"{i}.png"
            cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8))
            files.append(ImageFile(i + 1, path))
        settings = CalibrationSettings(images, tools=replace(Tools(), sensitivity=False, flips=False))
        views = Views(model, files, Path(folder) / "work", settings)  # type: ignore[arg-type]
        start = time.perf_counter()
        profile = fit(model, views, settings).profile  # type: ignore[arg-type]
        print(f"calibrated in {time.perf_counter() - start:.0f} s, profile of {len(profile.data):,} bytes")
    return profile


class Times:
    """The least of what something took: on the clock, and in processor time, of this thread and of all others."""

    def __init__(self) -> None:
        self.clock = self.own = self.others = float("inf")

    def __call__(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        clock, own, process = time.perf_counter(), time.thread_time(), time.process_time()
        found = function(*arguments, **options)
        own, process = time.thread_time() - own, time.process_time() - process
        self.clock = min(self.clock, time.perf_counter() - clock)
        self.own, self.others = min(self.own, own), min(self.others, process - own)
        return found

    def __str__(self) -> str:
        return f"{self.clock * 1e3:.0f} ({self.own * 1e3:.0f} + {self.others * 1e3:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", type=Path, help="of an earlier run, or where to put this one's")
    arguments = parser.parse_args()
    model = StandIn()
    if arguments.profile is not None and arguments.profile.exists():
        profile = ms.Profile.of(arguments.profile)
    else:
        profile = calibrated(model, arguments.images)
        if arguments.profile is not None:
            arguments.profile.write_bytes(profile.data)
    pyramid = model.front(np.full((2, 2, 3), 7, np.uint8))
    size = sum(values.nbytes for values in pyramid.values()) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print("the least in ms, in brackets processor time of this thread and of others; one and two threads in turn\n")
    print(
        "| quality | bytes | encode, 1 thread | 2 threads | decode, 1 thread | 2 threads |\n|---|---|---|---|---|---|"
    )
    for quality in (30, 60, 90):
        encode, decode = (Times(), Times()), (Times(), Times())
        for _ in range(arguments.rounds):
            for threads, encoding, decoding in zip((1, 2), encode, decode, strict=True):
                options: dict[str, Any] = {"profile": profile, "threads": threads}
                data = encoding(ms.encode, pyramid, "calibrated", quality=quality, **options)
                decoding(ms.decode, data, **options)
        print(f"| {quality} | {len(data):,} | {encode[0]} | {encode[1]} | {decode[0]} | {decode[1]} |", flush=True)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"pyramid {size:.0f} MB; peak memory {after:.0f} MB, {before:.0f} MB of it before the codec ran")


if __name__ == "__main__":
    main()
