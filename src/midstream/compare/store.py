"""A folder of results: a manifest that says of which network and images, and a file for every point."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from midstream.data import Dataset
from midstream.errors import InputError
from midstream.files import make_folder, read_bytes, read_tensors, write_bytes, write_tensors
from midstream.models import Output, SplitModel
from midstream.models.tasks import task_named

MANIFEST = "run.json"
_POINTS, _SCORES = "points", "scores"
#: Before the names of what outputs are made of: numbers of all images in a row, and the shapes by image.
_VALUES, _SHAPES = "output ", "shape "
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
        task: of the network, by name.
        outputs: by image, in the data set's order; as much of them as scores need.
        description: of the pipeline.
        wait_s: mean of a frame's, see `pipelines.base.Measured`.
    """

    description: dict[str, Any]
    sizes: NDArray[np.int64]
    seconds: NDArray[np.float64]
    pixels: int
    elements: int | None
    task: str
    outputs: list[Output]
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
        self.task = model.task.name
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
    task = task_named(record.task)
    tensors: dict[str, NDArray[Any]] = {"sizes": record.sizes, "seconds": record.seconds}
    packed = [task.pack(output) for output in record.outputs]
    for name in packed[0] if packed else ():
        each = [arrays[name] for arrays in packed]
        tensors[f"{_VALUES}{name}"] = np.concatenate([values.reshape(-1) for values in each])
        tensors[f"{_SHAPES}{name}"] = np.array([values.shape for values in each], np.int64).reshape(len(each), -1)
    metadata = {
        "description": record.description,
        "task": record.task,
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
        return PointRecord(
            description=metadata["description"],
            sizes=tensors["sizes"],
            seconds=tensors["seconds"],
            pixels=metadata["pixels"],
            elements=metadata["elements"],
            task=metadata["task"],
            outputs=_outputs(tensors, metadata["task"], len(tensors["sizes"])),
            memory=Memory(*metadata["memory"]),
            wait_s=metadata.get("wait_s", 0.0),
        )
    except (InputError, KeyError, ValueError, TypeError):
        return None


def _outputs(tensors: Mapping[str, NDArray[Any]], task: str, count: int) -> list[Output]:
    arrays: list[dict[str, NDArray[Any]]] = [{} for _ in range(count)]
    for name in (key.removeprefix(_SHAPES) for key in tensors if key.startswith(_SHAPES)):
        shapes, values = tensors[f"{_SHAPES}{name}"], tensors[f"{_VALUES}{name}"]
        ends = np.cumsum(shapes.prod(axis=1))
        if len(shapes) != count or (ends[-1] if count else 0) != values.size:
            raise InputError("the file of a point contradicts itself")
        parts = np.split(values, ends[:-1])
        for own, part, shape in zip(arrays, parts, shapes.tolist(), strict=True):
            own[name] = part.reshape(shape)
    return [task_named(task).unpack(own) for own in arrays]
