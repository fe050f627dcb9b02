"""Products of matrices and eigenvectors with a fixed order of operations: no BLAS and no number of threads matters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.threads import core_count, run
from midstream.errors import InputError

Doubles = NDArray[np.float64]
#: Rows of a product that a thread takes, and terms of a sum that a cache holds.
_ROWS, _TERMS = 256, 1024


def product(a: NDArray[Any], b: NDArray[Any]) -> Doubles:
    """a [N, M] times b [M, P] of one element type, float32 or float64, [N, P]; sums of 1,024 terms are added up."""
    out = np.zeros((len(a), b.shape[1]))
    run(lambda at: _add_product(out[at : at + _ROWS], a[at : at + _ROWS], b), range(0, len(a), _ROWS), core_count())
    return out


def gram(a: NDArray[Any]) -> Doubles:
    """The inner products [N, N] of the rows of a [N, M], as `product` has them."""
    out = np.zeros((len(a), len(a)))
    run(lambda at: _add_product(out[at : at + _ROWS, at:], a[at : at + _ROWS], a[at:].T), range(0, len(a), _ROWS),
        core_count())  # fmt: skip
    for at in range(_ROWS, len(a), _ROWS):
        out[at:, at - _ROWS : at] = out[at - _ROWS : at, at:].T
    return out


def _add_product(out: Doubles, a: NDArray[Any], b: NDArray[Any]) -> None:
    part = np.empty(out.shape, a.dtype)
    for at in range(0, len(b), _TERMS):
        terms = slice(at, at + _TERMS)
        _native.multiply(np.ascontiguousarray(a[:, terms]), np.ascontiguousarray(b[terms]), part)
        out += part


def eigh(a: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues [N] of a symmetric matrix, least first, and its eigenvectors as columns, as NumPy's `eigh`.

    Raises InputError for numbers that are not finite.
    """
    if not np.isfinite(a).all():
        raise InputError("the network gives numbers that are not finite, or too large to be calibrated on")
    values, rows = _native.eigen(np.ascontiguousarray(a))
    return values, rows.T


def solve(a: Doubles, b: Doubles) -> Doubles:
    """x [N, P] of a x = b, for a symmetric matrix without negative eigenvalues; the least x, where some are zero.

    Raises InputError as `eigh` does.
    """
    values, vectors = eigh(a)
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    return product(vectors, product(vectors.T, b) * inverse[:, None])


def small_product(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """a [N, M] times b [M, P], in their own element type, on one core."""
    out = np.empty((len(a), b.shape[1]), a.dtype)
    _native.multiply(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out
