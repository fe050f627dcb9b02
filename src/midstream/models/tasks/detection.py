"""Boxes, with masks or keypoints or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.masks import run_bytes
from midstream.models.detections import Detections, listed_objects
from midstream.models.tasks.base import Image, Task, Vector

#: By which two detections are the same thing, for a disagreement without any classes' precision.
_OVERLAP = 0.5


class Detection(Task[Detections]):
    """Boxes with a class and a score each."""

    name: ClassVar[str] = "detection"
    looks: ClassVar[bool] = True
    directed: ClassVar[bool] = False

    def moved(self, reference: Detections, now: Detections) -> Vector:
        """See Task: for each detection what is lost of its score by the best match; for new ones their score."""
        agreed = _agreed(reference, now)
        lost = reference.scores - agreed.max(axis=1, initial=0)
        extra = now.scores - agreed.max(axis=0, initial=0)
        # Numbers of detections differ; what is compared is the length of the vector only.
        return np.array([np.sqrt((lost**2).sum() + (extra**2).sum())], np.float32)

    def disagreement(self, references: Sequence[Detections], now: Sequence[Detections]) -> float:
        """See Task: the share of the scores that is lost or new. Calibration asks for average precision instead."""
        kept = total = 0.0
        for a, b in zip(references, now, strict=True):
            kept += float(_agreed(a, b).max(axis=1, initial=0).sum()) if len(a) and len(b) else 0.0
            total += max(float(a.scores.sum()), float(b.scores.sum()))
        return 1 - min(kept / total, 1.0) if total > 0 else 0.0

    def importance(self, output: Detections, size: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.float32]:
        """See Task: the best score whose box is centred in the cell."""
        return scores_in_cells(output.boxes, output.scores, size, grid)

    def fault(self, output: Detections, classes: int) -> str:
        """See Task."""
        return output.fault(classes)

    def pack(self, output: Detections) -> dict[str, NDArray[Any]]:
        """See Task."""
        out: dict[str, NDArray[Any]] = {"boxes": output.boxes, "scores": output.scores, "labels": output.labels}
        if output.keypoints is not None:
            out["keypoints"] = output.keypoints
        if output.masks is not None:
            runs = [run_bytes(mask) for mask in output.masks]
            out["mask_sizes"] = np.array([mask["size"] for mask in output.masks], np.int64).reshape(-1, 2)
            out["mask_lengths"] = np.array([len(run) for run in runs], np.int64)
            out["mask_runs"] = np.frombuffer(b"".join(runs), np.uint8)
        return out

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Detections:
        """See Task."""
        try:
            masks = _masks(arrays) if "mask_runs" in arrays else None
            found = Detections(arrays["boxes"], arrays["scores"], arrays["labels"], masks, arrays.get("keypoints"))
        except (KeyError, ValueError) as error:
            raise InputError("these arrays are no detections: boxes, scores and labels do not fit") from error
        return found

    def annotate(self, image: Image, output: Detections, classes: Sequence[str]) -> Image:
        """See Task."""
        from midstream.models.annotate import annotate  # it needs an extra, which the core does without

        return annotate(image, output, classes)

    def listed(self, output: Detections, classes: Sequence[str], ids: Sequence[int] | None) -> dict[str, Any]:
        """See Task."""
        return {"detections": listed_objects(output, classes, ids)}


class InstanceSegmentation(Detection):
    """Boxes with a mask each."""

    name: ClassVar[str] = "instance segmentation"


class Keypoints(Detection):
    """Boxes with named points each: poses, faces."""

    name: ClassVar[str] = "keypoints"


def detections_of(output: object, who: str) -> Detections:
    """The output of a detector. Raises InputError, in the name of `who` asks, for any other."""
    if not isinstance(output, Detections):
        raise InputError(f"{who} is for detectors: this network finds no boxes")
    return output


def scores_in_cells(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.float32]:
    """The best score, 0 to 1, of the boxes [n, 4] that are centred in each cell of a grid over (height, width)."""
    out = np.zeros(grid, np.float32)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    rows = np.clip(np.nan_to_num(centres[:, 1]) / size[0] * grid[0], 0, grid[0] - 1).astype(np.intp)
    columns = np.clip(np.nan_to_num(centres[:, 0]) / size[1] * grid[1], 0, grid[1] - 1).astype(np.intp)
    np.maximum.at(out, (rows, columns), np.clip(scores, 0, 1))
    return out


def _agreed(reference: Detections, now: Detections) -> NDArray[np.float32]:
    same = reference.labels[:, None] == now.labels[None, :]
    overlap = _overlaps(reference.boxes, now.boxes) * same
    return np.asarray(
        np.minimum(overlap / _OVERLAP, 1) * np.minimum(reference.scores[:, None], now.scores[None, :]), np.float32
    )


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union, [len(a), len(b)]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-6), np.float32)


def _masks(arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    runs = np.split(arrays["mask_runs"], np.cumsum(arrays["mask_lengths"])[:-1]) if len(arrays["mask_lengths"]) else []
    pairs = zip(arrays["mask_sizes"], runs, strict=True)
    return [{"size": size.tolist(), "counts": run.tobytes()} for size, run in pairs]
