"""An image of what a calibration has measured."""

from __future__ import annotations

import io
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.errors import MissingExtraError
from midstream.models import Image


def sensitivity_figure(sensitivity: Mapping[str, NDArray[np.float64]]) -> Image:
    """Channels of each level by decreasing sensitivity, on a logarithmic scale. Raises MissingExtraError."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing the sensitivity", "compare") from error
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, values in sensitivity.items():
        axes.plot(np.sort(values)[::-1], label=f"{name} ({len(values)} channels)")
    axes.set(xlabel="channel, most sensitive first", ylabel="movement of the outputs per noise", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    drawn = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    return np.ascontiguousarray(drawn[:, :, ::-1], dtype=np.uint8)
