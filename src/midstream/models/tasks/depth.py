"""A number for every pixel: depth, or any dense regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.models.tasks.base import Image, Vector
from midstream.models.tasks.tensors import Tensors, TensorTask, thinned

#: A pixel is right whose ratio to the truth is below this (Eigen et al. 2014: delta < 1.25).
DELTA = 1.25
#: Numbers are drawn up to here, so that differences of two are finite.
_FAR = 1e300


class Depth(TensorTask):
    """`values` float32 [h, w]."""

    name: ClassVar[str] = "depth"
    needs: ClassVar[Mapping[str, int]] = {"values": 2}

    def fault(self, output: Tensors, classes: int) -> str:
        """See Task."""
        return super().fault(output, classes) or ("" if output.values["values"].size else "a map has no pixels")

    def moved(self, reference: Tensors, now: Tensors) -> Vector:
        """See Task: in units of the mean of the map."""
        before, after = thinned(reference.values["values"]), thinned(now.values["values"])
        unit = max(float(np.abs(before).mean()), 1e-12) * np.sqrt(len(before))
        return np.asarray((after - before) / unit, np.float32)

    def disagreement(self, references: Sequence[Tensors], now: Sequence[Tensors]) -> float:
        """See Task: mean absolute error over mean absolute value, of all images."""
        pairs = [(a.values["values"], b.values["values"]) for a, b in zip(references, now, strict=True)]
        error = sum(float(np.abs(a.astype(np.float64) - b).sum()) for a, b in pairs)
        return min(error / max(sum(float(np.abs(a.astype(np.float64)).sum()) for a, _ in pairs), 1e-12), 1.0)

    def annotate(self, image: Image, output: Tensors, classes: Sequence[str]) -> Image:
        """See Task: the map in colours, in the place of the image."""
        import cv2  # of an extra, which the core does without

        del classes
        values = np.clip(output.values["values"].astype(np.float64), -_FAR, _FAR)
        low, high = float(values.min()), float(values.max())
        scaled = ((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        drawn = cv2.applyColorMap(cv2.resize(scaled, (image.shape[1], image.shape[0])), cv2.COLORMAP_VIRIDIS)
        return np.ascontiguousarray(drawn[:, :, ::-1])

    def listed(self, output: Tensors, classes: Sequence[str], ids: Sequence[int] | None) -> dict[str, Any]:
        """See Task."""
        del classes, ids
        values: NDArray[Any] = output.values["values"]
        return {
            "shape": list(values.shape),
            "min": float(values.min()),
            "median": float(np.median(values)),
            "max": float(values.max()),
        }
