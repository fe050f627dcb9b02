"""Peak memory, in a process of its own so that nothing that ran before hides it: `python -m midstream.compare.memory`.

The codec's is what encode and decode add to the process that holds the image or pyramid, or the peak of the program
that they start, whichever is more; the network's is what loading it and one image add. Linux only: elsewhere the
result is null.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midstream import models
from midstream.data import read_image
from midstream.errors import InputError, MidstreamError
from midstream.files import read_pyramid
from midstream.pipelines.base import ImageCodec
from midstream.pipelines.registry import make_codec

#: Pixels and channels of the first run, whose only use is to load libraries: they are not the codec's.
_WARM_PIXELS, _WARM_CHANNELS = 64, 2
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def codec_memory(codec: str, options: Mapping[str, Any], source: Path) -> list[int | None]:
    """Peaks of encode and decode of a codec on the image (.npy) or pyramid in the file `source`."""
    return _ask({"codec": codec, "options": options, "source": str(source)})


def network_memory(model: str, weights: Path | None, image: Path) -> int | None:
    """Peak of a network with one image, weights included."""
    return _ask({"model": model, "weights": weights and str(weights), "image": str(image)})[0]


def _ask(question: dict[str, Any]) -> list[int | None]:
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(question).encode(), capture_output=True, check=False)
    try:
        answer: list[int | None] = json.loads(done.stdout)
    except json.JSONDecodeError:  # killed for memory, say; what it was asked has failed or will fail elsewhere, too
        return [None, None]
    return answer


def _above(work: Callable[[], Any], starts_programs: bool = False) -> tuple[Any, int | None]:
    """What `work` returns, and the peak that it adds to this process, or that of a program that it starts."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_RESET_PEAK)
        before = _status("VmRSS")
        result = work()
        own = _status("VmHWM") - before
        return result, max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 if starts_programs else 0)
    except (OSError, AttributeError):
        return work(), None


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _codec(question: dict[str, Any]) -> list[int | None]:
    codec: Any = make_codec(question["codec"], question["options"])
    if isinstance(codec, ImageCodec):
        source: Any = np.load(question["source"], allow_pickle=False)
        warm: Any = source[:_WARM_PIXELS, :_WARM_PIXELS]
    else:
        source = read_pyramid(question["source"])
        warm = {name: np.ascontiguousarray(maps[:_WARM_CHANNELS]) for name, maps in source.items()}
    with suppress(InputError):  # fitted to a network: it codes no part of a pyramid, and has no library to load
        codec.decode(codec.encode(warm))
    data, encode = _above(lambda: codec.encode(source), starts_programs=True)  # no decoder is a program
    _, decode = _above(lambda: codec.decode(data))
    return [encode, decode]


def _network(question: dict[str, Any]) -> list[int | None]:
    image = read_image(question["image"])
    weights = question["weights"]

    def work() -> None:
        network = models.load(question["model"], weights and Path(weights), threads=1)
        network.back(network.front(image), (image.shape[0], image.shape[1]))

    return [_above(work)[1]]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    asked = json.load(sys.stdin)
    try:
        print(json.dumps(_codec(asked) if "codec" in asked else _network(asked)))
    except MidstreamError:  # measured, and reported, where the image is
        print("[null, null]")
