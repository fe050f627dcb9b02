"""Single requests to a server: of images that a seed gives, with features of the toy network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tests.helpers import serving
from tests.helpers.serving import SIZE

import midstream as ms
from midstream import models
from midstream.serve.proto import serve_pb2 as pb


def image(seed: int = 0) -> np.ndarray[Any, Any]:
    return serving.image(np.random.default_rng(seed))


@cache
def loaded(model: Path) -> models.SplitModel:
    return models.load(str(model))


def request(model: Path, frame: int = 0, **changes: Any) -> pb.InferRequest:
    network = loaded(model)
    data = ms.encode(network.front(image(frame)), symbols=4, z=1.5)
    fields = {"session": "test", "frame": frame, "bitstream": data, "height": SIZE[0], "width": SIZE[1]}
    return pb.InferRequest(**(fields | changes))
