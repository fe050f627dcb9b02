"""The library htscodecs, which has no Python package, through its shared object (Debian: libhtscodecs2)."""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from functools import cache

import numpy as np
from numpy.typing import NDArray

Octets = NDArray[np.uint8]
_ROOM = 64


@cache
def _buffer(use: str, size: int) -> Octets:
    """Kept, so that only the first call meets pages never touched."""
    return np.empty(size, np.uint8)


def _amid(data: Octets) -> int:
    """Address of a copy with room on both sides.

    The encoder of order 1 with 32 states reads a few bytes outside its input with AVX-512 (htscodecs 1.3), which
    crashes where a map starts a page. The copy takes a hundredth of the time or less.
    """
    held = _buffer("in", (data.size | 0xFFFF) + 1 + 2 * _ROOM)[_ROOM:][: data.size]
    held[:] = data
    return int(held.ctypes.data)


class Rans4x16:
    """rANS of 4 or 32 states in 16-bit words. It returns NULL where it fails; who compares the result will notice."""

    def __init__(self) -> None:
        """Raises ImportError where the library is not installed."""
        name = find_library("htscodecs")
        if name is None:
            raise ImportError("htscodecs")
        library, pointer, number = ctypes.CDLL(name), ctypes.c_void_p, ctypes.c_uint
        self._bound, self._compress = library.rans_compress_bound_4x16, library.rans_compress_to_4x16
        self._bound.argtypes, self._bound.restype = (number, ctypes.c_int), number
        self._compress.argtypes = (pointer, number, pointer, pointer, ctypes.c_int)
        self._uncompress = library.rans_uncompress_to_4x16
        self._uncompress.argtypes = (pointer, number, pointer, pointer)
        self._compress.restype = self._uncompress.restype = pointer

    def compress(self, symbols: Octets, order: int) -> bytes:
        size = ctypes.c_uint(self._bound(symbols.size, order))
        out = _buffer("out", size.value)
        self._compress(_amid(symbols.reshape(-1)), symbols.size, out.ctypes.data, ctypes.byref(size), order)
        return out[: size.value].tobytes()

    def uncompress(self, stream: bytes, shape: tuple[int, ...]) -> Octets:
        out = np.empty(shape, np.uint8)
        size = ctypes.c_uint(out.size)
        self._uncompress(_amid(np.frombuffer(stream, np.uint8)), len(stream), out.ctypes.data, ctypes.byref(size))
        return out
