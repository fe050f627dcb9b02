import numpy as np
from numpy.typing import NDArray

MAX_CODE_LENGTH: int
MAX_RICE: int
COMPONENT_LEVELS: int
COMPONENT_SLOTS: int
COMPONENT_SETS: int
MOST_PLACE_CLASSES: int

Octets = bytes | memoryview | NDArray[np.uint8]

def simd_paths() -> list[str]: ...
def simd_path() -> str: ...
def set_simd_path(name: str) -> None: ...
def channel_statistics(
    x: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]: ...
def quantize(
    x: NDArray[np.float32], thresholds: list[float], alphabet: int
) -> tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.uint8],
    NDArray[np.int64],
    NDArray[np.float64],
]: ...
def reconstruct(
    symbols: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32], rows: NDArray[np.int64]
) -> None: ...
def read_pass(x: NDArray[np.float32]) -> float: ...
def empty_floats(rows: int, columns: int) -> NDArray[np.float32]: ...
def pack(symbols: NDArray[np.uint8], width: int) -> bytes: ...
def unpack(data: Octets, count: int, width: int) -> NDArray[np.uint8]: ...
def prefix_encode(symbols: NDArray[np.uint8], lengths: NDArray[np.uint8]) -> bytes: ...
def prefix_decode(data: Octets, lengths: NDArray[np.uint8], count: int) -> NDArray[np.uint8] | None: ...
def fast_encode(maps: list[NDArray[np.uint8]], alphabet: int) -> list[NDArray[np.uint8]]: ...
def fast_decode(
    streams: list[Octets], channels: list[int], height: int, width: int, alphabet: int
) -> NDArray[np.uint8] | None: ...
def fast_costs(stream: Octets, symbols: NDArray[np.uint8], alphabet: int) -> NDArray[np.float32] | None: ...
def dense_costs(
    symbols: NDArray[np.uint8],
    alphabet: int,
    order: NDArray[np.uint8],
    references: NDArray[np.uint8],
    used: int = 0xFFFFFFFF,
) -> NDArray[np.float32]: ...
def dense_encode(
    symbols: NDArray[np.uint8], alphabet: int, order: NDArray[np.uint8], references: NDArray[np.uint8]
) -> bytes: ...
def dense_decode(
    data: Octets,
    channels: int,
    height: int,
    width: int,
    alphabet: int,
    order: NDArray[np.uint8],
    references: NDArray[np.uint8],
) -> NDArray[np.uint8] | None: ...
def dense_references(symbols: NDArray[np.uint8], alphabet: int) -> NDArray[np.uint8]: ...
def component_state() -> NDArray[np.uint32]: ...
def components_levels(scales: NDArray[np.int16], steps: NDArray[np.int16]) -> NDArray[np.uint8]: ...
def components_encode(
    values: NDArray[np.float32],
    places: NDArray[np.uint8],
    known: bool,
    scales: NDArray[np.int16],
    references: NDArray[np.uint16],
    offsets: NDArray[np.int8],
    prediction: NDArray[np.float32],
    steps: NDArray[np.int16],
    widths: NDArray[np.float32],
    lambda_: float,
    state: NDArray[np.uint32],
) -> tuple[bytes, NDArray[np.int32], NDArray[np.float32]]: ...
def components_decode(
    data: Octets,
    height: int,
    width: int,
    scales: NDArray[np.int16],
    references: NDArray[np.uint16],
    offsets: NDArray[np.int8],
    prediction: NDArray[np.float32],
    steps: NDArray[np.int16],
    widths: NDArray[np.float32],
    state: NDArray[np.uint32],
    known: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None: ...
def multiply(a: NDArray[np.float32], b: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...
def rice_encode(values: NDArray[np.uint64], k: int) -> bytes: ...
def rice_decode(data: Octets, k: int, count: int) -> NDArray[np.uint64] | None: ...
def rice_bits(values: NDArray[np.uint64], k: int) -> int: ...
def normalized_histogram(
    x: NDArray[np.float32], mean: NDArray[np.float64], std: NDArray[np.float64], bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
def optimal_centroids(counts: NDArray[np.int64], sums: NDArray[np.float64], n: int) -> list[float]: ...
def crc32c(data: Octets, before: int = 0) -> int: ...
