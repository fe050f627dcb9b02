"""The training-free chain of MPEG's Feature Coding for Machines: principal components, packed into video."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.codec.wire import Reader, varint
from midstream.errors import CodecError, InputError
from midstream.models import FloatPyramid, SplitModel
from midstream.pipelines.basis import DIGEST_BYTES, Basis, Cells, basis_of_one, digest, read_basis
from midstream.pipelines.codecs.hevc import X265
from midstream.pipelines.codecs.vvc import Vvenc
from midstream.pipelines.packed import RangePacker, RangeUnpacker
from midstream.pipelines.shapes import read_shapes, write_shapes
from midstream.pipelines.video import SAMPLE_BITS, GreyVideo, Packer, Plane, PlaneCodec, Unpacker

#: The components, as the level that they are for the layout.
_LEVEL = "components"
#: Steps on either side of zero, of a basis that is in the stream.
_BASIS_STEPS = 127
_LEAST_DEVIATION = 1e-6


class Fcm(PlaneCodec):
    """Features as FCM's test model lays them out where nothing is trained, as video.

    All levels are brought to the size of the coarsest by moving space into channels, the vectors of its cells are
    turned into principal components, these lie side by side as planes of 10 bits in one picture, and VVC or HEVC codes
    the pictures. The decoder restores the mean and deviation of each level, which are float16 in the stream.
    """

    name: ClassVar[str] = "fcm"
    files: ClassVar[frozenset[str]] = frozenset({"basis"})
    qp: int = Field(32, ge=0, le=51)
    codec: Literal["vvc", "hevc"] = "vvc"
    preset: Literal["faster", "fast", "medium", "slow", "slower"] = "medium"
    components: int = Field(192, ge=1, le=4096, description="At most as many as the basis has.")
    basis: str | None = Field(
        None,
        description="File that benchmarks/fcm_basis.py wrote; without one the components of the image, or of a clip's "
        "first frame, are sent with it.",
    )
    restore: bool = Field(True, description="Whether mean and deviation of each level are sent.")

    def made_by(self) -> dict[str, str]:
        """Versions of ffmpeg and encoder, and the basis."""
        return self.video().made_by() | ({} if self.basis is None else {"basis": digest(Path(self.basis)).hex()})

    def video(self) -> GreyVideo:
        """The encoder of the pictures."""
        kind = _GreyVvenc if self.codec == "vvc" else _GreyX265
        return kind.model_validate({"qp": self.qp, "preset": self.preset})

    def packer(self) -> Packer:
        """The basis, or its digest, before the first picture."""
        return _ComponentPacker(self._fitted(), self.components, self._named(), self.restore)

    def unpacker(self) -> Unpacker:
        """See `packer`."""
        return _ComponentUnpacker(self._fitted(), self.components, self._named(), self.restore)

    def check_network(self, model: SplitModel) -> None:
        """Refuse a network that the basis is not of. Raises InputError."""
        fitted = self._fitted()
        if fitted is not None and fitted.network != model.fingerprint:
            raise InputError(f"the basis {self.basis} is of another network than {model.name}")

    def _fitted(self) -> Basis | None:
        return None if self.basis is None else _read(Path(self.basis), self._named())

    def _named(self) -> bytes:
        return b"" if self.basis is None else digest(Path(self.basis))


class _GreyVvenc(Vvenc, GreyVideo):
    pass


class _GreyX265(X265, GreyVideo):
    pass


@lru_cache(maxsize=2)
def _read(path: Path, named: bytes) -> Basis:
    """The basis in a file of this digest."""
    del named
    return read_basis(path)


class _ComponentPacker(Packer):
    """Begins with the digest of a basis, or with one that is fitted to the first pyramid."""

    def __init__(self, basis: Basis | None, components: int, named: bytes, restore: bool) -> None:
        self._basis = None if basis is None else basis.first(components)
        self._components, self._head, self._restore = components, named, restore
        self._planes = RangePacker(SAMPLE_BITS, by_channel=False)

    def pack(self, pyramid: FloatPyramid) -> tuple[bytes, Plane]:
        if self._basis is None:
            self._head, self._basis = _sent_basis(pyramid, self._components)
        side, plane = self._planes.pack({_LEVEL: self._basis.forward(pyramid)})
        head, self._head = self._head, b""
        return head + (_statistics(pyramid) if self._restore else b"") + side, plane


class _ComponentUnpacker(Unpacker):
    def __init__(self, basis: Basis | None, components: int, named: bytes, restore: bool) -> None:
        self._basis = None if basis is None else basis.first(components)
        self._named, self._restore = named, restore
        self._planes = RangeUnpacker(SAMPLE_BITS)

    def unpack(self, side: Reader, plane: Callable[[], Plane]) -> FloatPyramid:
        if not self._planes.shapes and self._named and side.take(DIGEST_BYTES) != self._named:
            raise CodecError("the stream is of another basis")
        if self._basis is None:
            self._basis = _received_basis(side)
        wanted = _read_statistics(side, list(self._basis.cells.shapes)) if self._restore else {}
        pyramid = self._basis.inverse(self._planes.unpack(side, plane)[_LEVEL])
        for name, (mean, deviation) in wanted.items():
            there = pyramid[name]
            scale = deviation / max(float(there.std()), _LEAST_DEVIATION)
            pyramid[name] = ((there - there.mean()) * np.float32(scale) + np.float32(mean)).astype(np.float32)
        return pyramid


def _statistics(pyramid: FloatPyramid) -> bytes:
    return np.array([[maps.mean(), maps.std()] for maps in pyramid.values()], "<f2").tobytes()


def _read_statistics(side: Reader, names: list[str]) -> dict[str, tuple[float, float]]:
    values = side.elements(np.dtype(np.float16), 2 * len(names)).reshape(-1, 2).astype(float).tolist()
    return {name: (mean, deviation) for name, (mean, deviation) in zip(names, values, strict=True)}


def _sent_basis(pyramid: FloatPyramid, components: int) -> tuple[bytes, Basis]:
    """The components of one pyramid as they go into a stream, and as a decoder has them."""
    fitted = basis_of_one(pyramid, components)
    scales = np.abs(fitted.rows).max(1) / _BASIS_STEPS
    steps = np.rint(fitted.rows / np.maximum(scales, np.finfo(np.float32).tiny)[:, None]).astype(np.int8)
    mean = fitted.mean.astype("<f2")
    parts = [write_shapes(pyramid), varint(len(steps)), mean.tobytes(), scales.astype("<f4").tobytes(), steps.tobytes()]
    head = b"".join(parts)
    return head, _received_basis(Reader(head, Fcm.name))


def _received_basis(side: Reader) -> Basis:
    cells = Cells(read_shapes(side))
    count = side.varint()
    elements = len(cells.join({name: np.zeros(shape, np.float32) for name, shape in cells.shapes.items()}))
    mean = _numbers(side, np.float16, elements)
    scales = _numbers(side, np.float32, count)
    steps = _numbers(side, np.int8, count * elements).reshape(count, elements)
    return Basis(cells, mean, steps * scales[:, None])


def _numbers(side: Reader, kind: Any, count: int) -> NDArray[np.float32]:
    return side.elements(np.dtype(kind), count).astype(np.float32)
