"""What runs in the worker processes: a network on one core, one image, clip or score at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from midstream import models
from midstream.compare.memory import codec_memory
from midstream.compare.store import Memory
from midstream.data import ImageFile, read_image
from midstream.errors import InputError
from midstream.files import write_pyramid
from midstream.halves.cache import FrontCache
from midstream.halves.levels import sent
from midstream.halves.round_trip import timed_front
from midstream.models import SplitModel
from midstream.pipelines.base import Measured, Pipeline
from midstream.pipelines.clips import AnyPipeline, ClipFrames, ClipPipeline
from midstream.pipelines.image import ImagePipeline


@dataclass(frozen=True)
class Network:
    """How a process finds the network, and where it keeps pyramids."""

    name: str
    weights: Path | None
    cache: Path | None


class _Held:
    """What this process has loaded."""

    model: SplitModel
    cache: FrontCache | None = None


def start(network: Network) -> None:
    """Load the network; leave when the process that asked for the work has gone, and leave interrupts to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _Held.model = models.load(network.name, network.weights, threads=1)
    _Held.cache = FrontCache(network.cache, _Held.model) if network.cache else None


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def size(image: ImageFile) -> tuple[tuple[int, int] | None, str]:
    """(height, width) of an image, upright; None, and why, where it cannot be read."""
    try:
        pixels = read_image(image.path)
    except InputError as error:
        return None, str(error)
    return (pixels.shape[0], pixels.shape[1]), ""


def measure(pipeline: AnyPipeline, part: tuple[ImageFile, ...]) -> list[Measured]:
    """One image, or the frames of one clip, through one pipeline. Raises CodecError, InputError."""
    if part[0].clip is not None:
        done = cast("ClipPipeline", pipeline).measure_clip(_Held.model, ClipFrames(part, _Held.cache))
    else:
        done = [_measure_image(cast("Pipeline", pipeline), part[0])]
    return [replace(each, output=_Held.model.task.kept(each.output)) for each in done]


def _measure_image(pipeline: Pipeline, image: ImageFile) -> Measured:
    pixels = read_image(image.path)
    if not pipeline.needs_pyramid or _Held.cache is None:
        return pipeline.measure(_Held.model, pixels)
    pyramid, _ = timed_front(_Held.model, pixels, _Held.cache, image.path)
    return pipeline.measure(_Held.model, pixels, pyramid)


def memory(pipeline: Pipeline, image: ImageFile) -> Memory:
    """Peaks of a pipeline's codec with this image."""
    pixels = read_image(image.path)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(pipeline, ImagePipeline):
            source = Path(folder) / "image.npy"
            np.save(source, pipeline.source(_Held.model, pixels), allow_pickle=False)
        else:
            source = Path(folder) / "pyramid.safetensors"
            write_pyramid(str(source), sent(_Held.model, _Held.model.front(pixels)))
        codec = pipeline.codec
        given = codec.given()
        return Memory(*codec_memory(codec.name, given, source))
