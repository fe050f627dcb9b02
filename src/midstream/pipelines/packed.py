"""The paper's Figure 2c: the pyramid laid out as one grey image (see `layout`), in video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.codec.wire import Reader, varint
from midstream.models import FloatPyramid
from midstream.pipelines.layout import places, tile, untile
from midstream.pipelines.shapes import Shapes, read_shapes, write_shapes
from midstream.pipelines.video import NEUTRAL, SAMPLE_BITS, GreyVideo, Packer, Plane, PlaneCodec, Unpacker

#: Least and largest value of each level, or of its channels: [1 or C, 1, 1].
_Ranges = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

#: Encoders refuse images that are smaller, x265 below a block of 16 and vvenc below one of 64.
_LEAST_SIDE = 64


class Packed(PlaneCodec, GreyVideo):
    """The pyramid as one grey image, coded as an intra frame or, frame by frame, as video.

    Values are scaled to whole numbers between the least and the largest value of their level or channel; these two
    are float32 in the stream, as are names and shapes of the levels. In a clip they are of all frames so far, and sent
    again when they have changed. Samples have 10 bits, of which 8-bit values take the upper ones.
    """

    bits: Literal["8", "10"] = Field("10", description="Of a value.")
    range: Literal["level", "channel"] = Field("level", description="What the least and largest value are taken of.")

    def video(self) -> GreyVideo:
        """This."""
        return self

    def packer(self) -> Packer:
        """Shapes and ranges before the first plane."""
        return RangePacker(int(self.bits), self.range == "channel")

    def unpacker(self) -> Unpacker:
        """See `packer`."""
        return RangeUnpacker(int(self.bits))


@dataclass
class RangePacker(Packer):
    """Shapes, then for each frame whether the ranges have grown, and these."""

    bits: int
    by_channel: bool
    ranges: _Ranges = field(default_factory=dict)

    def pack(self, pyramid: FloatPyramid) -> tuple[bytes, Plane]:
        """See Packer."""
        head = b"" if self.ranges else write_shapes(pyramid)
        changed = self._widen(pyramid)
        side = b"".join(np.stack(self.ranges[name]).astype("<f4").tobytes() for name in pyramid) if changed else b""
        # The first frame is as an image's stream begins; later ones say whether ranges follow.
        flag = varint(self.by_channel if head else changed)
        top, shift = (1 << self.bits) - 1, SAMPLE_BITS - self.bits
        values = {
            name: (np.rint((maps - low) / _width(low, high) * top).astype(np.uint16) << shift).astype("<u2")
            for (name, maps), (low, high) in zip(pyramid.items(), self.ranges.values(), strict=True)
        }
        plane = tile(values, places({name: maps.shape for name, maps in pyramid.items()}), NEUTRAL)
        short = [max(_LEAST_SIDE - side, 0) for side in plane.shape]
        return head + flag + side, np.pad(plane, ((0, short[0]), (0, short[1])), constant_values=NEUTRAL)

    def _widen(self, pyramid: FloatPyramid) -> bool:
        """Take in the values of a frame; whether that has changed anything."""
        axes = (1, 2) if self.by_channel else None
        before = dict(self.ranges)
        for name, maps in pyramid.items():
            low, high = maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)
            if name in before:
                low, high = np.minimum(low, before[name][0]), np.maximum(high, before[name][1])
            self.ranges[name] = low, high
        return not before or any(
            not np.array_equal(np.stack(before[name]), np.stack(there)) for name, there in self.ranges.items()
        )


@dataclass
class RangeUnpacker(Unpacker):
    """See RangePacker."""

    bits: int
    by_channel: bool = False
    shapes: Shapes = field(default_factory=dict)
    ranges: _Ranges = field(default_factory=dict)

    def unpack(self, side: Reader, plane: Callable[[], Plane]) -> FloatPyramid:
        """See Unpacker."""
        if not self.shapes:
            self.shapes = read_shapes(side)
            self.by_channel = bool(side.varint())
            changed = True
        else:
            changed = bool(side.varint())
        if changed:
            self.ranges = {n: _read_range(side, s[0] if self.by_channel else 1) for n, s in self.shapes.items()}
        maps = untile(plane(), places(self.shapes))
        shift = SAMPLE_BITS - self.bits
        top = np.float32(((1 << self.bits) - 1) << shift)
        return {name: low + maps[name] / top * (high - low) for name, (low, high) in self.ranges.items()}


def _width(low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the range; a constant map becomes zeros."""
    return np.where(high > low, high - low, np.float32(1))


def _read_range(reader: Reader, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = reader.elements(np.dtype(np.float32), 2 * count).reshape(2, count, 1, 1)
    return low, high
