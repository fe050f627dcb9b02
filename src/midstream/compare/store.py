"""A folder of results: a manifest that says of which network and images, and a file for every point."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from midstream.data import Dataset
from midstream.errors import InputError
from midstream.files import make_folder, read_bytes, read_tensors, write_bytes, write_tensors
from midstream.masks import run_bytes
from midstream.models import Detections, SplitModel

MANIFEST = "run.json"
_POINTS, _SCORES = "points", "scores"
#: Of a point's key in its file's name, in hexadecimal digits.
_KEY_DIGITS = 32
#: Seconds of an image, in this order.
STAGES = ("front", "encode", "decode", "back")


class ResultsManifest(BaseModel):
    """Whose results a folder holds; a run of another network, data set or number of images is refused."""

    model: str
    identity: str
    data: str
    images: int
    images_hash: str


@dataclass(frozen=True)
class Memory:
    """Peak memory in bytes above what was there before; None where the system does not tell."""

    encode: int | None
    decode: int | None


@dataclass(frozen=True)
class PointRecord:
    """What a pipeline did with every image.

    Attributes:
        sizes: int64 [images], bytes.
        seconds: float64 [images, 4], by STAGES.
        pixels: of the network's input, summed over the images.
        elements: of the pyramid, summed over the images; None where the image is coded.
        detections: by image, in the data set's order.
        description: of the pipeline.
        wait_s: mean of a frame's, see `pipelines.base.Measured`.
    """

    description: dict[str, Any]
    sizes: NDArray[np.int64]
    seconds: NDArray[np.float64]
    pixels: int
    elements: int | None
    detections: list[Detections]
    memory: Memory = field(default=Memory(None, None))
    wait_s: float = 0.0


def images_hash(dataset: Dataset) -> str:
    """A hash of the images' files and of the ground truth."""
    digest = hashlib.sha256()
    for image in dataset.images:
        digest.update(f"{image.id} ".encode() + hashlib.sha256(read_bytes(str(image.path))).digest())
    digest.update(json.dumps(dataset.ground_truth, sort_keys=True, default=repr).encode())
    return digest.hexdigest()


class Store:
    """The folder. Points are found by a hash of all that determines them, whatever run asked for them first."""

    def __init__(self, folder: Path, model: SplitModel, dataset: Dataset) -> None:
        """Open the folder, or make it.

        Raises:
            InputError: it cannot be made, or holds results of another network or of other images.
        """
        self.manifest = ResultsManifest(
            model=model.name,
            identity=model.identity,
            data=dataset.spec,
            images=len(dataset.images),
            images_hash=images_hash(dataset),
        )
        self.folder = folder
        for name in (_POINTS, _SCORES):
            make_folder(folder / name)
        path = folder / MANIFEST
        if path.exists():
            self._check(path)
        write_bytes(str(path), (self.manifest.model_dump_json(indent=2) + "\n").encode())

    def _check(self, path: Path) -> None:
        try:
            there = ResultsManifest.model_validate_json(read_bytes(str(path)))
        except ValidationError as error:
            raise InputError(f"{path} is not a manifest of results: give another folder") from error
        mine = self.manifest
        if there.identity != mine.identity:
            raise InputError(
                f"{self.folder} holds results of another network ({there.model}, {there.identity[:12]}; this is "
                f"{mine.model}, {mine.identity[:12]}): give another folder"
            )
        if there.images_hash != mine.images_hash:
            raise InputError(
                f"{self.folder} holds results on other data ({there.data}, {there.images} images; this is "
                f"{mine.data}, {mine.images} images): give another folder"
            )

    def key(self, description: Mapping[str, Any]) -> str:
        """A point's key: network, images and pipeline."""
        about = [self.manifest.identity, self.manifest.images_hash, description]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]

    def point_path(self, key: str) -> Path:
        """The file of a point."""
        return point_path(self.folder, key)

    def score_path(self, key: str, about: object) -> Path:
        """The file of what a point scored, by all that determines the score."""
        digest = hashlib.sha256(f"{key} {about}".encode()).hexdigest()[:_KEY_DIGITS]
        return self.folder / _SCORES / f"{digest}.safetensors"


def point_path(folder: Path, key: str) -> Path:
    """The file of a point in a folder of results."""
    return folder / _POINTS / f"{key}.safetensors"


def write_point(path: Path, record: PointRecord) -> None:
    """A record as a safetensors file, whole or not at all."""
    found = record.detections
    tensors: dict[str, NDArray[Any]] = {
        "sizes": record.sizes,
        "seconds": record.seconds,
        "counts": np.array([len(each) for each in found], np.int64),
        "boxes": np.concatenate([each.boxes.reshape(-1, 4) for each in found]).astype(np.float32),
        "scores": np.concatenate([each.scores for each in found]).astype(np.float32),
        "labels": np.concatenate([each.labels for each in found]).astype(np.int64),
    }
    if any(each.masks is not None for each in found):
        masks = [mask for each in found for mask in each.masks or []]
        runs = [run_bytes(mask) for mask in masks]
        tensors["mask_sizes"] = np.array([mask["size"] for mask in masks], np.int64).reshape(-1, 2)
        tensors["mask_lengths"] = np.array([len(run) for run in runs], np.int64)
        tensors["mask_runs"] = np.frombuffer(b"".join(runs), np.uint8)
    metadata = {
        "description": record.description,
        "pixels": record.pixels,
        "elements": record.elements,
        "memory": [record.memory.encode, record.memory.decode],
        "wait_s": record.wait_s,
    }
    write_tensors(path, tensors, metadata)


def read_point(path: Path) -> PointRecord | None:
    """The record; None when the file is not there or is damaged, so that the point is measured again."""
    try:
        tensors, metadata = read_tensors(path)
        ends = np.cumsum(tensors["counts"])[:-1]
        boxes, scores, labels = (np.split(tensors[name], ends) for name in ("boxes", "scores", "labels"))
        masks = _masks(tensors, ends) if "mask_runs" in tensors else [None] * len(boxes)
        found = [Detections(*each) for each in zip(boxes, scores, labels, masks, strict=True)]
        return PointRecord(
            description=metadata["description"],
            sizes=tensors["sizes"],
            seconds=tensors["seconds"],
            pixels=metadata["pixels"],
            elements=metadata["elements"],
            detections=found,
            memory=Memory(*metadata["memory"]),
            wait_s=metadata.get("wait_s", 0.0),
        )
    except (InputError, KeyError, ValueError, TypeError):
        return None


def _masks(tensors: Mapping[str, NDArray[Any]], ends: NDArray[np.int64]) -> Sequence[list[dict[str, Any]] | None]:
    runs = np.split(tensors["mask_runs"], np.cumsum(tensors["mask_lengths"])[:-1])
    masks = [
        {"size": size.tolist(), "counts": run.tobytes()} for size, run in zip(tensors["mask_sizes"], runs, strict=False)
    ]
    edges = [0, *ends.tolist(), len(masks)]
    return [masks[start:end] for start, end in pairwise(edges)]
