"""All levels of a pyramid as vectors, one a cell of the coarsest level, and their principal components."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError
from midstream.files import read_tensors, write_tensors
from midstream.models import FloatPyramid

Floats = NDArray[np.float32]
#: Vectors that are added to the covariance at once.
_BATCH = 2048
DIGEST_BYTES = 8
#: One component of so many or fewer is found by iteration, more by the whole decomposition.
_FEW = 16


@dataclass(frozen=True)
class Cells:
    """Levels brought to the coarsest by moving space into channels (pixel-unshuffle), and back.

    Attributes:
        shapes: of the levels, [C, H, W].
    """

    shapes: Mapping[str, tuple[int, int, int]]

    @classmethod
    def of(cls, pyramid: FloatPyramid) -> Cells:
        """Of a pyramid's levels."""
        return cls({name: (maps.shape[0], maps.shape[1], maps.shape[2]) for name, maps in pyramid.items()})

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the coarsest level."""
        return min(shape[1] for shape in self.shapes.values()), min(shape[2] for shape in self.shapes.values())

    def join(self, pyramid: FloatPyramid) -> Floats:
        """[elements of a cell, rows, columns]; what a level lacks to whole cells repeats its last values."""
        rows, columns = self.grid
        parts = []
        for name, maps in pyramid.items():
            down, across = self._factors(name)
            short = rows * down - maps.shape[1], columns * across - maps.shape[2]
            whole = np.pad(maps, ((0, 0), (0, short[0]), (0, short[1])), mode="edge")
            split = whole.reshape(len(maps), rows, down, columns, across)
            parts.append(split.transpose(0, 2, 4, 1, 3).reshape(-1, rows, columns))
        return np.concatenate(parts)

    def part(self, cells: Floats) -> FloatPyramid:
        """The levels again."""
        rows, columns = self.grid
        out, first = {}, 0
        for name, (channels, height, width) in self.shapes.items():
            down, across = self._factors(name)
            count = channels * down * across
            split = cells[first : first + count].reshape(channels, down, across, rows, columns)
            whole = split.transpose(0, 3, 1, 4, 2).reshape(channels, rows * down, columns * across)
            out[name] = np.ascontiguousarray(whole[:, :height, :width])
            first += count
        return out

    def _factors(self, name: str) -> tuple[int, int]:
        _, height, width = self.shapes[name]
        rows, columns = self.grid
        return -(-height // rows), -(-width // columns)


@dataclass(frozen=True)
class Basis:
    """Principal components of such vectors.

    Attributes:
        cells: what the vectors are of.
        mean: float32 [elements].
        rows: float32 [components, elements], orthonormal, the most important first.
        network: fingerprint of the network whose features they are of; empty where they are of one clip.
    """

    cells: Cells
    mean: Floats
    rows: Floats
    network: str = ""

    def forward(self, pyramid: FloatPyramid) -> Floats:
        """Components [components, rows, columns]. Raises InputError for a pyramid of other levels."""
        if Cells.of(pyramid) != self.cells:
            raise InputError(
                f"the basis is for levels of {dict(self.cells.shapes)}, not {dict(Cells.of(pyramid).shapes)}"
            )
        centred = self.cells.join(pyramid) - self.mean[:, None, None]
        return np.tensordot(self.rows, centred, 1)

    def inverse(self, components: Floats) -> FloatPyramid:
        """The levels of components."""
        return self.cells.part(np.tensordot(self.rows.T, components, 1) + self.mean[:, None, None])

    def first(self, count: int) -> Basis:
        """With the first components alone."""
        return Basis(self.cells, self.mean, self.rows[:count], self.network)

    def write(self, path: Path) -> None:
        """As a safetensors file."""
        shapes = [[name, *shape] for name, shape in self.cells.shapes.items()]
        write_tensors(path, {"mean": self.mean, "rows": self.rows}, {"levels": shapes, "network": self.network})


def read_basis(path: Path) -> Basis:
    """The basis in a file. Raises InputError."""
    tensors, about = read_tensors(path)
    try:
        shapes = {str(name): (int(c), int(h), int(w)) for name, c, h, w in about["levels"]}
        mean, rows = (np.asarray(tensors[name], np.float32) for name in ("mean", "rows"))
        elements = Cells(shapes).join({n: np.zeros(s, np.float32) for n, s in shapes.items()}).shape[0]
        if rows.ndim != 2 or rows.shape[1] != elements or mean.shape != (elements,):
            raise ValueError(f"its vectors are not of {elements} elements")
        return Basis(Cells(shapes), mean, rows, str(about["network"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} holds no basis: {error}") from error


def digest(path: Path) -> bytes:
    """Of a file, DIGEST_BYTES long: which basis a stream is of. Raises InputError."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()[:DIGEST_BYTES]
    except OSError as error:
        raise InputError(f"cannot read the basis {path}: {error.strerror or error}") from error


def fit_basis(pyramids: Iterable[FloatPyramid], components: int, network: str = "") -> Basis:
    """The principal components of all cells of some pyramids.

    Args:
        pyramids: the levels that are sent, all of the same shapes.
        components: how many, at most as many as a cell has elements.
        network: fingerprint.

    Raises:
        InputError: no pyramid, or pyramids of different shapes.
        MissingExtraError: without scipy.
    """
    try:
        from scipy.linalg import eigh
        from scipy.sparse.linalg import eigsh
    except ImportError as error:
        raise MissingExtraError("fitting a basis", "compare") from error
    cells, waiting, count = None, [], 0
    total, products = np.zeros(0), np.zeros((0, 0), np.float32)
    for pyramid in pyramids:
        if cells is None:
            cells = Cells.of(pyramid)
        elif Cells.of(pyramid) != cells:
            raise InputError(
                "the images give pyramids of different shapes: a basis is for one size of the network's input"
            )
        vectors = cells.join(pyramid).reshape(-1, cells.grid[0] * cells.grid[1])
        if not count:
            total, products = np.zeros(len(vectors)), np.zeros((len(vectors), len(vectors)), np.float32)
        waiting.append(vectors)
        count += vectors.shape[1]
        total += vectors.sum(1, dtype=np.float64)
        if sum(each.shape[1] for each in waiting) >= _BATCH:
            products += _products(waiting)
            waiting = []
    if cells is None:
        raise InputError("there is no image to fit a basis to")
    if waiting:
        products += _products(waiting)
    mean = (total / count).astype(np.float32)
    products /= count
    products -= np.outer(mean, mean)
    wanted = min(components, len(mean))
    if wanted < len(mean) // _FEW:
        start = np.random.default_rng(0).normal(size=len(mean)).astype(np.float32)
        values, vectors = eigsh(products, wanted, v0=start)
    else:
        values, vectors = eigh(products, subset_by_index=[len(mean) - wanted, len(mean) - 1])
    order = np.argsort(-values)[:wanted]
    return Basis(cells, mean, np.ascontiguousarray(vectors[:, order].T, np.float32), network)


def basis_of_one(pyramid: FloatPyramid, components: int) -> Basis:
    """The principal components of one pyramid's own cells, of which there are at most as many as cells."""
    cells = Cells.of(pyramid)
    joined = cells.join(pyramid)
    vectors = joined.reshape(len(joined), -1)
    mean = vectors.mean(1)
    found = np.linalg.svd(vectors - mean[:, None], full_matrices=False)[0]
    return Basis(cells, mean, np.ascontiguousarray(found[:, :components].T))


def _products(vectors: list[Floats]) -> Floats:
    joined = np.concatenate(vectors, axis=1)
    return joined @ joined.T
