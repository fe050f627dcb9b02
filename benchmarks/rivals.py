"""Coders of other people for maps of few symbols, with the settings that suit such maps. Each package is optional.

    pip install zstandard imagecodecs blosc2 constriction
    pip install --no-deps compressai    # only its rANS extension is used, which does not need torch
    apt install libhtscodecs2           # Debian's name for the library htscodecs

A coder gets what ours get, a uint8 map [C, H, W], and its stream holds all but C, H and W. Conversions to the form that
a package asks for count as its time: they are its price here.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from types import ModuleType

import numpy as np
from htscodecs import Rans4x16
from numpy.typing import NDArray

from midstream import _native

Symbols = NDArray[np.uint8]
Shape = tuple[int, ...]
Stream = bytes | memoryview | Symbols

#: Names of the coders that take longer than all others together.
SLOW = frozenset({"zstd -19, packed", "xz -9e, packed", "JPEG XL, effort 9"})
#: Orders of rANS 4x16: bit 0 is the previous symbol as context, bit 2 asks for 32 states, bit 7 packs few symbols.
_HTSCODECS_ORDERS = (0, 1, 4, 5, 128, 129, 132, 133)
_COMPRESSAI_BITS = 16


@dataclass(frozen=True)
class Coder:
    """Both directions; the shape is that of the map."""

    name: str
    encode: Callable[[Symbols], Stream]
    decode: Callable[[Stream, Shape], Symbols]


@dataclass(frozen=True)
class Missing:
    """Coders that cannot run here, and what installs them."""

    name: str
    install: str


def rivals(n: int) -> list[Coder | Missing]:
    """All of them for n symbols, a `Missing` in the place of those that are not installed."""
    found: list[Coder | Missing] = [_xz(n)]
    for name, install, make in (
        ("zstd", "pip install zstandard", _zstd),
        ("JPEG XL and WebP", "pip install imagecodecs", _images),
        ("blosc2", "pip install blosc2", _blosc2),
        ("constriction", "pip install constriction", _constriction),
        ("CompressAI's rANS", "pip install --no-deps compressai (which compiles it)", _compressai),
        ("htscodecs' rANS 4x16", "apt install libhtscodecs2", _htscodecs),
    ):
        try:
            found += make(n)
        except ImportError:
            found.append(Missing(name, install))
    return [*found, _memory_copy()]


def _packed(name: str, n: int, compress: Callable[[bytes], bytes], decompress: Callable[[Stream], bytes]) -> Coder:
    """Codecs of bytes get symbols of ceil(log2 n) bits: that is faster and smaller than a byte for each."""
    width = (n - 1).bit_length()

    def encode(symbols: Symbols) -> bytes:
        return compress(_native.pack(symbols.reshape(-1), width))

    def decode(stream: Stream, shape: Shape) -> Symbols:
        return _native.unpack(decompress(stream), int(np.prod(shape)), width).reshape(shape)

    return Coder(f"{name}, packed", encode, decode)


def _zstd(n: int) -> list[Coder]:
    import zstandard

    decompress = zstandard.ZstdDecompressor().decompress
    return [_packed(f"zstd -{k}", n, zstandard.ZstdCompressor(level=k).compress, decompress) for k in (1, 19)]


def _xz(n: int) -> Coder:
    return _packed("xz -9e", n, lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress)


def _tiled(symbols: Symbols) -> Symbols:
    """Channels side by side in rows of about the square root of their number, as feature codecs lay them out."""
    channels, height, width = symbols.shape
    across = int(np.ceil(np.sqrt(channels)))
    full = np.zeros((-(-channels // across) * across, height, width), np.uint8)
    full[:channels] = symbols
    return np.ascontiguousarray(full.reshape(-1, across, height, width).swapaxes(1, 2).reshape(-1, across * width))


def _untiled(image: Symbols, shape: Shape) -> Symbols:
    channels, height, width = shape
    rows = image.reshape(-1, height, image.shape[1] // width, width).swapaxes(1, 2)
    return rows.reshape(-1, height, width)[:channels]


def _images(n: int) -> list[Coder]:
    import imagecodecs as ic

    # Told of fewer bits a sample than 8, JPEG XL's streams are as large or larger: it finds the palette itself.
    def jpeg_xl(effort: int) -> Coder:
        return Coder(
            f"JPEG XL, effort {effort}",
            lambda symbols: ic.jpegxl_encode(_tiled(symbols), lossless=True, effort=effort, numthreads=1),
            lambda stream, shape: _untiled(ic.jpegxl_decode(stream, numthreads=1), shape),
        )

    webp = Coder(  # which has no grey images
        "WebP lossless, method 6",
        lambda symbols: ic.webp_encode(np.repeat(_tiled(symbols)[:, :, None], 3, 2), lossless=True, method=6),
        lambda stream, shape: _untiled(ic.webp_decode(stream)[:, :, 0], shape),
    )
    return [jpeg_xl(7), jpeg_xl(9), webp]


def _blosc2(n: int) -> list[Coder]:
    import blosc2

    # Not packed: the filter, which gathers the bits of one weight, comes to the same.
    shuffle = {"typesize": 1, "filters": [blosc2.Filter.BITSHUFFLE], "filters_meta": [0], "nthreads": 1}
    reading = blosc2.DParams(nthreads=1)

    def decode(stream: Stream, shape: Shape) -> Symbols:
        out = np.empty(shape, np.uint8)
        blosc2.decompress2(stream, dst=out, dparams=reading)
        return out

    def coder(level: int) -> Coder:
        writing = blosc2.CParams(codec=blosc2.Codec.ZSTD, clevel=level, **shuffle)
        return Coder(f"blosc2, bitshuffle, zstd -{level}", lambda s: blosc2.compress2(s, cparams=writing), decode)

    return [coder(level) for level in (1, 9)]


def _frequencies(symbols: Symbols, n: int) -> NDArray[np.uint16]:
    """Of each symbol, at least 1, 2^16 - 1 in all: 1 is left for CompressAI's symbol of what is not in its table."""
    counts = np.bincount(symbols.reshape(-1), minlength=n)
    table = np.maximum(counts * ((1 << _COMPRESSAI_BITS) - 1 - n) // symbols.size, 1)
    table[counts.argmax()] += (1 << _COMPRESSAI_BITS) - 1 - table.sum()
    return table.astype("<u2")


def _constriction(n: int) -> list[Coder]:
    from constriction import stream as coding

    def static(table: NDArray[np.uint16]) -> object:
        return coding.model.Categorical(table.astype(np.float32), perfect=False)

    def encode(symbols: Symbols) -> bytes:
        table, coder = _frequencies(symbols, n), coding.stack.AnsCoder()
        coder.encode_reverse(symbols.reshape(-1).astype(np.int32), static(table))
        return table.tobytes() + coder.get_compressed().tobytes()

    def decode(stream: Stream, shape: Shape) -> Symbols:
        # A copy: for an odd n the words are not aligned.
        coder = coding.stack.AnsCoder(np.frombuffer(stream, np.uint32, offset=2 * n).copy())
        decoded = coder.decode(static(np.frombuffer(stream, "<u2", n)), int(np.prod(shape)))
        return decoded.astype(np.uint8).reshape(shape)

    return [Coder("constriction, ANS, order 0", encode, decode)]


def _compressai(n: int) -> list[Coder]:
    ans = _compressai_extension()
    size, offset = [n + 2], [0]

    def intervals(table: NDArray[np.uint16]) -> list[list[int]]:
        return [[0, *accumulate(table.tolist()), 1 << _COMPRESSAI_BITS]]

    # It takes and gives lists of Python's integers only, which is a good part of its time.
    def encode(symbols: Symbols) -> bytes:
        table, coder = _frequencies(symbols, n), ans.BufferedRansEncoder()
        values = symbols.reshape(-1).tolist()
        coder.encode_with_indexes(values, [0] * len(values), intervals(table), size, offset)
        return table.tobytes() + coder.flush()

    def decode(stream: Stream, shape: Shape) -> Symbols:
        cdf, indexes = intervals(np.frombuffer(stream, "<u2", n)), [0] * int(np.prod(shape))
        values = ans.RansDecoder().decode_with_indexes(bytes(stream[2 * n :]), indexes, cdf, size, offset)
        return np.frombuffer(bytes(values), np.uint8).reshape(shape)

    return [Coder("CompressAI's rANS, order 0", encode, decode)]


def _compressai_extension() -> ModuleType:
    """`compressai.ans` without `compressai`, whose import needs torch and a dozen other packages."""
    package = importlib.util.find_spec("compressai")
    folders = package.submodule_search_locations if package else None
    spec = importlib.machinery.PathFinder.find_spec("ans", folders) if folders else None
    if not spec or not spec.loader:
        raise ImportError("compressai.ans")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _htscodecs(n: int) -> list[Coder]:
    rans = Rans4x16()

    def coder(order: int) -> Coder:
        context, states, packing = order & 1, 32 if order & 4 else 4, ", packed" if order & 128 else ""
        name = f"htscodecs' rANS 4x16, order {context}, {states} states{packing}"
        return Coder(name, lambda symbols: rans.compress(symbols, order), rans.uncompress)

    return [coder(order) for order in _HTSCODECS_ORDERS]


def _memory_copy() -> Coder:
    held: dict[int, Symbols] = {}  # a buffer for each source, so that only the first pass meets pages never touched

    def copy(source: Symbols) -> Symbols:
        if id(source) not in held:
            held[id(source)] = np.empty_like(source)
        np.copyto(held[id(source)], source)
        return held[id(source)]

    return Coder("memory copy, a byte a symbol", copy, lambda stream, shape: copy(stream))
