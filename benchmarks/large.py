"""Time and memory of the codec `calibrated` on a large pyramid: the shapes of R50-FPN at 800x1216, features of noise.

    python benchmarks/large.py --threads 2

The network is a stand-in that makes smooth noise of those shapes and finds nothing in it, so that only times say
something: what the transform and the coder do does not depend on what the numbers mean. The front of R50-FPN itself
takes seconds on such a machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import midstream as ms
from midstream.calibration.run import fit
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import Views
from midstream.data import ImageFile
from midstream.models import Detections

SHAPES = {"p2": (256, 200, 304), "p3": (256, 100, 152), "p4": (256, 50, 76), "p5": (256, 25, 38)}


class StandIn:
    name = "r50-fpn-shapes"
    classes = ("thing",)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=20)
    arguments = parser.parse_args()
    model = StandIn()
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i in range(arguments.images):
            path = Path(folder) / f"{i}.png"
            cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8))
            files.append(ImageFile(i + 1, path))
        settings = CalibrationSettings(arguments.images, tools=replace(Tools(), sensitivity=False, flips=False))
        views = Views(model, files, Path(folder) / "work", settings)  # type: ignore[arg-type]
        start = time.perf_counter()
        profile = fit(model, views, settings).profile  # type: ignore[arg-type]
        print(f"calibrated in {time.perf_counter() - start:.0f} s, profile of {len(profile.data):,} bytes")
    pyramid = model.front(np.full((2, 2, 3), 7, np.uint8))
    size = sum(values.nbytes for values in pyramid.values()) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    for quality in (30, 60, 90):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            data = ms.encode(pyramid, "calibrated", profile=profile, quality=quality, threads=arguments.threads)
            encoded = time.perf_counter()
            ms.decode(data, profile=profile, threads=arguments.threads)
            times.append((encoded - start, time.perf_counter() - encoded))
        encode, decode = np.min(times, axis=0)
        print(f"quality {quality}: {len(data):,} bytes, encode {encode * 1e3:.0f} ms, decode {decode * 1e3:.0f} ms")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"pyramid {size:.0f} MB; peak memory {after:.0f} MB, {before:.0f} MB of it before the codec ran")


if __name__ == "__main__":
    main()
