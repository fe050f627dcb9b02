"""One image through encoder, decoder and the network's back, timed: what every measurement is made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midstream.halves.levels import completed
from midstream.models import FloatPyramid, Image, Output, SplitModel

if TYPE_CHECKING:  # the cache knows what decides the last bit, with packages that the core lacks
    from midstream.halves.cache import FrontCache


@dataclass(frozen=True)
class RoundTrip:
    """What crossed, what came of it, and what it took.

    Attributes:
        data: the bitstream, as written.
        output: of the back, from what was decoded.
        encode_s, decode_s, back_s: seconds; what is derived instead of sent belongs to decoding.
    """

    data: bytes
    output: Output
    encode_s: float
    decode_s: float
    back_s: float


def round_trip(
    model: SplitModel,
    pyramid: FloatPyramid,
    size: tuple[int, int],
    encode: Callable[[], bytes],
    decode: Callable[[bytes], FloatPyramid],
) -> RoundTrip:
    """Encode, decode from the bytes alone, derive what was not sent, run the back.

    Args:
        model: the network.
        pyramid: what its front made, which tells the levels and their order; `encode` has it already.
        size: (height, width) of the image.
        encode: gives the bitstream.
        decode: gives the levels that were sent.

    Raises:
        MidstreamError: whatever encoder, decoder and network raise.
    """
    start = time.perf_counter()
    data = encode()
    encoded = time.perf_counter()
    received = completed(model, decode(data), list(pyramid))
    decoded = time.perf_counter()
    output = model.back(received, size)
    return RoundTrip(data, output, encoded - start, decoded - encoded, time.perf_counter() - decoded)


def timed_front(
    model: SplitModel, pixels: Image, cache: FrontCache | None = None, source: Path | None = None
) -> tuple[FloatPyramid, float | None]:
    """What the front makes of an image, and its seconds; None where `cache` had it from the file `source`."""
    kept = None if cache is None or source is None else cache.get(source)
    if kept is not None:
        return kept, None
    start = time.perf_counter()
    pyramid = model.front(pixels)
    seconds = time.perf_counter() - start
    if cache is not None and source is not None:
        cache.put(source, pyramid)
    return pyramid, seconds
