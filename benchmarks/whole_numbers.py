"""int8 and uint8 tensors without loss: the coders of `paper` beside zstd and JPEG XL.

    python benchmarks/whole_numbers.py --networks $MIDSTREAM_ASSETS/networks --images $MIDSTREAM_ASSETS/coco/calib

The tensors are what yolo11n_int8 (YOLO11n with dynamic quantisation, uint8) quantises on its way, every third of those
that are maps of 10,000 elements or more, on two photographs. JPEG XL gets the channels side by side as one image.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import midstream as ms

SIDE, EVERY, LEAST = 320, 3, 10_000
Whole = NDArray[np.uint8]


def tensors(model: Path, images: list[Path]) -> dict[str, list[Whole]]:
    graph = onnx.load(model)
    names = [node.output[0] for node in graph.graph.node if node.op_type == "DynamicQuantizeLinear"][::EVERY]
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    out = defaultdict(list)
    for path in images:
        pixels = cv2.cvtColor(cv2.resize(cv2.imread(str(path)), (SIDE, SIDE)), cv2.COLOR_BGR2RGB)
        fed = {session.get_inputs()[0].name: (pixels / 255).astype(np.float32).transpose(2, 0, 1)[None]}
        for name, values in zip(names, session.run(names, fed), strict=True):
            if values.ndim == 4 and values.size >= LEAST:
                out[name].append(values[0])
    return out


def tiled(x: Whole) -> Whole:
    """The channels [C, H, W] side by side, as square as they go."""
    channels, height, width = x.shape
    side = int(np.ceil(np.sqrt(channels)))
    whole = np.zeros((side * side, height, width), np.uint8)
    whole[:channels] = x
    return np.ascontiguousarray(whole.reshape(side, side, height, width).swapaxes(1, 2).reshape(side * height, -1))


def sizes(x: Whole) -> dict[str, int]:
    counts = np.bincount(x.ravel())
    chances = counts[counts > 0] / x.size
    out = {"order-0 entropy": int(-(chances * np.log2(chances)).sum() * x.size / 8)}
    for coder in ("fast", "dense", "prefix"):
        data = ms.encode({"x": ms.Tensor(x, "CHW")}, coder=coder)
        assert (ms.decode(data)["x"] == x).all()
        out[f"paper, {coder}"] = len(data)
    out["zstd -19"] = len(imagecodecs.zstd_encode(x.tobytes(), level=19))
    out["JPEG XL, effort 9"] = len(imagecodecs.jpegxl_encode(tiled(x), lossless=True, effort=9))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    given = parser.parse_args()
    totals: dict[str, int] = defaultdict(int)
    elements = 0
    for name, found in tensors(given.networks / "yolo11n_int8.onnx", sorted(given.images.rglob("*.jpg"))[:2]).items():
        for x in found:
            own = sizes(x)
            elements += x.size
            for codec, size in own.items():
                totals[codec] += size
            shown = {codec: round(8 * size / x.size, 2) for codec, size in own.items()}
            print(name[-40:], list(x.shape), shown, flush=True)
    for codec, size in totals.items():
        print(f"{codec:20} {8 * size / elements:.3f} bits an element")


if __name__ == "__main__":
    main()
