"""Zstandard, on half floats and on 8-bit integers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.pipelines.packages import imagecodecs, library_versions
from midstream.pipelines.tensors import TensorCodec, to_float16

_TOP = 255


class _Zstd(TensorCodec):
    level: int = Field(3, ge=1, le=22)

    def made_by(self) -> dict[str, str]:
        """Versions of imagecodecs and zstd."""
        return library_versions(self.name, "zstd")

    def _zstd(self, data: bytes) -> bytes:
        return bytes(imagecodecs(self.name).zstd_encode(data, level=self.level))

    def _unzstd(self, data: bytes) -> bytes:
        return bytes(imagecodecs(self.name).zstd_decode(data))


class Float16Zstd(_Zstd):
    """Half floats."""

    name: ClassVar[str] = "float16+zstd"

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """One frame of zstd."""
        return self._zstd(to_float16(maps).astype("<f2").tobytes())

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The elements."""
        return np.frombuffer(self._unzstd(data), "<f2").reshape(shape)


class Int8Zstd(_Zstd):
    """256 steps between the least and the largest value of each channel, which are float32 in the stream."""

    name: ClassVar[str] = "int8+zstd"

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """One frame of zstd: ranges, then values."""
        low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
        width = np.where(high > low, high - low, np.float32(1))
        values = np.rint((maps - low) / width * _TOP).astype(np.uint8)
        return self._zstd(np.stack([low, high]).astype("<f4").tobytes() + values.tobytes())

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The elements."""
        raw = self._unzstd(data)
        low, high = np.frombuffer(raw, "<f4", 2 * shape[0]).reshape(2, shape[0], 1, 1)
        values = np.frombuffer(raw, np.uint8, offset=8 * shape[0]).reshape(shape)
        return np.asarray(low + values / np.float32(_TOP) * (high - low))
