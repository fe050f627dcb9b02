"""
The native kernels of midstream. Arguments of wrong shapes or ranges raise a ValueError or a TypeError.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, overload

import numpy
import numpy.typing
from numpy.typing import NDArray

def simd_paths() -> list[str]:
    """The instruction sets that this machine can run, slowest first."""

def simd_path() -> str:
    """The instruction set in use."""

def set_simd_path(name: str) -> None:
    """Choose the instruction set. Raises ValueError for an unknown one."""

def channel_statistics(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
) -> tuple[
    Annotated[NDArray[numpy.float64], dict(shape=(None,))],
    Annotated[NDArray[numpy.float64], dict(shape=(None,))],
    Annotated[NDArray[numpy.float32], dict(shape=(None,))],
    Annotated[NDArray[numpy.float32], dict(shape=(None,))],
]:
    """
    Of each row: mean, population standard deviation (both NaN where there is a NaN or an infinity), minimum,
    maximum.
    """

def quantize(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    thresholds: Sequence[float],
    alphabet: int,
) -> tuple[
    Annotated[NDArray[numpy.float64], dict(shape=(None,))],
    Annotated[NDArray[numpy.float64], dict(shape=(None,))],
    Annotated[NDArray[numpy.float32], dict(shape=(None,))],
    Annotated[NDArray[numpy.float32], dict(shape=(None,))],
    Annotated[NDArray[numpy.uint8], dict(shape=(None, None))],
    Annotated[NDArray[numpy.int64], dict(shape=(None, None))],
    Annotated[NDArray[numpy.float64], dict(shape=(None, None))],
]:
    """
    `channel_statistics`; then, of the rows that are finite and not constant, symbols [rows, size], how many
    elements each symbol stands for and their sum [rows, alphabet]. Thresholds count in standard deviations from
    the mean; without any, a row's range is cut into equal steps.
    """

def reconstruct(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    table: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    rows: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
) -> None:
    """Fill the given rows of `out`: element = table[row][symbol]."""

def normalized_histogram(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    mean: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    std: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    bins: int,
) -> tuple[
    Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None,))]
]:
    """
    Of all rows together, each less its mean and over its deviation: elements in each bin, and their sum.
    """

def optimal_centroids(
    counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    sums: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    n: int,
) -> list[float]:
    """
    Ascending centroids of the at most n runs of bins that have the least squared error.
    """

MAX_CODE_LENGTH: int = 15

MAX_RICE: int = 61

LARGEST_PAST: int = 31

def pack(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)], width: int
) -> bytes:
    """Symbols of `width` bits each, the first in the lowest bits."""

def unpack(
    data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8], count: int, width: int
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]: ...
def prefix_encode(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    lengths: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
) -> bytes:
    """
    A canonical prefix code, given by each symbol's code length: 0 for one that does not occur.
    """

def prefix_decode(
    data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8],
    lengths: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    count: int,
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))] | None:
    """None for what is not valid."""

def fast_encode(
    maps: Sequence[
        Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)]
    ],
    alphabet: int,
) -> list[Annotated[NDArray[numpy.uint8], dict(shape=(None,))]]:
    """
    A stream for each of the maps [channels, height, width] of one height and width.
    """

def fast_decode(
    streams: Sequence[bytes | memoryview | numpy.typing.NDArray[numpy.uint8]],
    channels: Sequence[int],
    height: int,
    width: int,
    alphabet: int,
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None))] | None:
    """
    The symbols of all streams, channel after channel; None for what is not valid.
    """

def fast_costs(
    stream: bytes | memoryview | numpy.typing.NDArray[numpy.uint8],
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    alphabet: int,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None, None))] | None:
    """Bits that each symbol takes in its stream; None for malformed tables."""

def dense_encode(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    alphabet: int,
    order: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    references: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    before: tuple[
        Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
        Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    ]
    | None = None,
) -> bytes:
    """
    A stream of symbols [channels, height, width]. `order` lists those that occur, likeliest first; channel c
    looks at channel c - references[c], at none for 0. `before` is (symbols, past) of an earlier frame.
    """

def dense_decode(
    data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8],
    channels: int,
    height: int,
    width: int,
    alphabet: int,
    order: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    references: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    before: tuple[
        Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
        Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    ]
    | None = None,
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None))] | None:
    """None for what is not valid."""

def dense_past(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    before: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    alphabet: int,
    past: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu")],
) -> None:
    """
    Bring `past`, of the frame before, to that of the frame with these symbols.
    """

def dense_references(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    alphabet: int,
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]:
    """For each channel the reference that tells most about it."""

def dense_costs(
    symbols: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    alphabet: int,
    order: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    references: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    used: int = 4294967295,
) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None, None))]:
    """
    Bits that each symbol would take with the contexts of the bits of `used` only.
    """

def rice_encode(
    values: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order="C", device="cpu", writable=False)], k: int
) -> bytes:
    """Golomb-Rice code of parameter k, at most MAX_RICE."""

def rice_decode(
    data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8], k: int, count: int
) -> Annotated[NDArray[numpy.uint64], dict(shape=(None,))] | None:
    """None for what is not valid."""

def rice_bits(
    values: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order="C", device="cpu", writable=False)], k: int
) -> int:
    """Bits that `rice_encode` would write."""

COEFFICIENT_LEVELS: int = 32

COEFFICIENT_SLOTS: int = 145696

COEFFICIENT_SETS: int = 24

MOST_IMPORTANCE_CLASSES: int = 8

def coefficient_state() -> Annotated[NDArray[numpy.uint32], dict(shape=(None,))]:
    """What a coder that has learnt nothing begins with."""

class CoefficientModel:
    """
    Codes coefficients with what a profile knows of one group. It copies its arrays and never changes: any number
    of threads may use it at once. With `whole`, cells are predicted from their neighbours in whole numbers. Raises
    ValueError where sizes disagree or a reference leads to no coefficient.
    """

    def __init__(
        self,
        scales: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)],
        references: Annotated[NDArray[numpy.uint16], dict(shape=(None, 2), order="C", device="cpu", writable=False)],
        offsets: Annotated[NDArray[numpy.int8], dict(shape=(32, 3), order="C", device="cpu", writable=False)],
        prediction: Annotated[
            NDArray[numpy.float32], dict(shape=(3, None, None), order="C", device="cpu", writable=False)
        ],
        whole: bool = False,
        entropy: EntropyModel | None = None,
    ) -> None: ...
    def levels(
        self, steps: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)]
    ) -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None))]:
        """
        The level of expected magnitude of each coefficient in each importance class, [classes, coefficients].
        """

    def encode(
        self,
        values: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        importance: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        known: bool,
        steps: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)],
        step_sizes: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        state: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        learnt: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu")] | None = None,
        bit_worth: float = 0.019999999552965164,
        choices: bool = True,
        told: int = 0,
        parts: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)]
        | None = None,
        expected: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
    ) -> tuple[
        bytes,
        Annotated[NDArray[numpy.int32], dict(shape=(None, None))],
        Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
    ]:
        """
        The stream, what each of the values [cells, coefficients] became (of no cell without `choices`, which take
        time), and what a decoder makes of it [cells, coefficients], or of the first so many that are to be `told`,
        if not 0. Behind the `parts` of PART_WIDTH, uint8 [cells], that there are of a cell all values are zero,
        whatever they say. These two are for entropy models. A map
        that is `known` to the decoder is not in the stream. The coder begins with `state`; `learnt`, which may be
        the same array, becomes what it has learnt. `bit_worth` is the squared error, in steps, for which a bit is
        spent. Of what is `expected` of the first coefficients from elsewhere [cells, ..] only the rest is coded.
        """

    def decode(
        self,
        data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8],
        height: int,
        width: int,
        steps: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)],
        step_sizes: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        state: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        known: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
        symbols: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order="C", device="cpu")] | None = None,
        done: Callable[[Annotated[NDArray[numpy.float32], dict(shape=(None, None))], int], None] | None = None,
        expected: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
    ) -> (
        tuple[
            Annotated[NDArray[numpy.uint8], dict(shape=(None, None))],
            Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
        ]
        | None
    ):
        """
        The importance map [height, width] and the coefficients [cells, coefficients]; None for what is not
        valid. `symbols`, int8 [cells, coefficients], becomes what each coefficient was coded as, within +-127.
        Where cells are predicted in whole numbers, `done` is called, from this thread, with the coefficients and the
        number of rows that are decoded, whether or not what follows is valid: of each row, or, with what is
        `expected` from elsewhere [cells, ..], of each but the last.
        """

BIT_WORTH: float = 0.019999999552965164

MOST_FRAME_MODES: int = 4

FRAME_SLOTS: int = 211168

FRAME_STATE_CARRIED: int = 207616

def frame_state(
    alone: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu")],
) -> Annotated[NDArray[numpy.uint32], dict(shape=(None,))]:
    """
    What a coder of predicted frames begins with: what one of frames that stand alone begins with, as far as it
    goes. From FRAME_STATE_CARRIED on it is handed on from frame to frame.
    """

class FrameModel:
    """
    Codes frames that are predicted from the one before: gains and scales [modes, coefficients] of each way to do
    so, beside a model of frames that stand alone, which is mode 0. Raises ValueError where sizes disagree.
    """

    def __init__(
        self,
        alone: CoefficientModel,
        gains: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        scales: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    ) -> None: ...
    def encode(
        self,
        values: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        importance: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        known: bool,
        steps: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)],
        step_sizes: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        state: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu")],
        reference: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        reference_symbols: Annotated[
            NDArray[numpy.int8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        reference_importance: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        reference_modes: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        refreshed: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
    ) -> tuple[
        bytes,
        Annotated[NDArray[numpy.uint8], dict(shape=(None, None))],
        Annotated[NDArray[numpy.int8], dict(shape=(None, None))],
        Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
    ]:
        """
        The stream, the modes [height, width] of its cells, its symbols within +-127 and what a decoder makes of
        them [cells, coefficients]. Cells [height, width] that are to be `refreshed` stand alone.
        """

    def decode(
        self,
        data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8],
        steps: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)],
        step_sizes: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        state: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu")],
        reference: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        reference_symbols: Annotated[
            NDArray[numpy.int8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        reference_importance: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        reference_modes: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        known: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        | None = None,
    ) -> (
        tuple[
            Annotated[NDArray[numpy.uint8], dict(shape=(None, None))],
            Annotated[NDArray[numpy.uint8], dict(shape=(None, None))],
            Annotated[NDArray[numpy.int8], dict(shape=(None, None))],
            Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
        ]
        | None
    ):
        """
        The importance map and the modes [height, width], the symbols and the coefficients [cells, coefficients];
        None for what is not valid.
        """

ENTROPY_INPUTS: int = 13

ENTROPY_UNITS: int = 16

ENTROPY_ROWS: int = 128

ENTROPY_SYMBOLS: int = 16

FLAG_INPUTS: int = 10

FLAG_UNITS: int = 8

FLAG_ROWS: int = 64

BAND: int = 16

ROW_PRECISION: int = 14

class EntropyModel:
    """
    How probable values of coefficients are: networks of one hidden layer, `bias` [items, units],
    `weights` [inputs, units], `out` [units + 1], for magnitudes (an item a coefficient) and for flags
    (an item a band), and the rows [distributions, symbols + 1] that they choose from: where the
    places of symbols begin, and end. Raises ValueError for what does not fit, or could overflow.
    """

    def __init__(
        self,
        bias: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        weights: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        out: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        rows: Annotated[NDArray[numpy.uint16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        flag_bias: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        flag_weights: Annotated[
            NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
        flag_out: Annotated[NDArray[numpy.int32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        flag_rows: Annotated[NDArray[numpy.uint16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        importance_rows: Annotated[
            NDArray[numpy.uint16], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ],
    ) -> None: ...

def entropy_bases() -> Annotated[NDArray[numpy.int32], dict(shape=(None,))]:
    """The least magnitude that each symbol of magnitudes stands for."""

def record_coefficients(
    model: CoefficientModel,
    chosen: Annotated[NDArray[numpy.int32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    importance: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    steps: Annotated[NDArray[numpy.int16], dict(shape=(None,), order="C", device="cpu", writable=False)],
    step_sizes: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    every: int,
    first: int = 0,
) -> tuple[
    Annotated[NDArray[numpy.int8], dict(shape=(None,))],
    Annotated[NDArray[numpy.uint16], dict(shape=(None,))],
    Annotated[NDArray[numpy.uint8], dict(shape=(None,))],
    Annotated[NDArray[numpy.int8], dict(shape=(None,))],
    Annotated[NDArray[numpy.uint16], dict(shape=(None,))],
    Annotated[NDArray[numpy.uint8], dict(shape=(None,))],
]:
    """
    What an entropy model is fitted to, of coefficients that became `chosen` [cells, coefficients], in one band of
    `every`, the `first` of which decides on the turn: inputs of values, the coefficient and the symbol of each,
    inputs of flags, the band and the flag of each; flat.
    """

@overload
def multiply(
    a: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    b: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
) -> None:
    """out = a @ b, every sum in the order of the inner dimension."""

@overload
def multiply(
    a: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    b: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu")],
) -> None: ...
def eigen(
    a: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
) -> tuple[
    Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None, None))]
]:
    """
    Eigenvalues of a symmetric matrix, least first, and their eigenvectors as rows. Raises ValueError for numbers
    that are not finite.
    """

def first_stage(
    level: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order="C", device="cpu", writable=False)],
    rows: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    centre: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    ratio: int,
    block: Sequence[int],
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    at: int,
) -> bool:
    """
    rows @ level - centre for the elements of a block (top, bottom, left, right) of cells, into
    out[cells, at : at + count * ratio^2], the border repeated beyond it. False where the level is not finite.
    """

class Coarser:
    """
    What a group is expected to be, by a matrix [outputs, inputs], in whole numbers or not: from `most` numbers of a
    cell at the place, of each beside it and of each at its corners, in each group before, and a one. Never changes:
    any number of threads may use it at once. Raises ValueError for numbers that are too large for whole ones.
    """

    def __init__(
        self,
        matrix: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        most: Sequence[int],
        whole: bool,
    ) -> None: ...
    def predict(
        self,
        before: Sequence[
            Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)]
        ],
        before_grid: Sequence[int],
        grid: Sequence[int],
        block: Sequence[int],
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    ) -> bool:
        """
        Of the cells in a block (top, bottom, left, right) of a grid, [cells, outputs], from cells [cells, ..] of groups
        before, on a grid of their own: the matrix times the surroundings of each, as docs/format.md has it. False
        where one of these is not finite.
        """

def least_below(
    first: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    grid: Sequence[int],
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None))]:
    """
    Of each cell of a grid the least of the numbers [height, width] of the cells below it.
    """

def largest(
    values: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
) -> float:
    """
    The largest magnitude of a matrix; a NaN if there is one, 0 of nothing.
    """

PART_WIDTH: int = 64

def parts_expected(
    expected: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    steps: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,))]:
    """
    How many parts of PART_WIDTH hold something that is expected, [cells, ..], to be a quarter of a cell's step or
    more, uint8 [cells].
    """

class SecondStage:
    """
    A basis [coefficients, dimensions] and the deviations [coefficients] of what it gives, in whole numbers. Never
    changes: any number of threads may use it at once. Raises ValueError for deviations that are not above 0.
    """

    def __init__(
        self,
        basis: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        deviations: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    ) -> None: ...
    @property
    def whole_size(self) -> int:
        """Whole numbers that stand for those of a cell."""

    @property
    def coefficients(self) -> int:
        """That a cell has."""

    @property
    def parts(self) -> int:
        """Parts of PART_WIDTH coefficients that a cell has."""

    def round(
        self,
        numbers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        whole: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu")],
        units: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
    ) -> float:
        """
        Numbers [cells, dimensions] as whole numbers int16 [cells, whole_size] of a unit [cells] each. Returns more
        than the largest magnitude that a coefficient of these cells can have; infinity where one has no end.
        """

    def go_on(
        self,
        whole: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        units: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        steps: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        least: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
        made: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu")],
        ends: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu")],
        coefficients: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")],
    ) -> bool:
        """
        Goes on with coefficients [cells, coefficients] of cells of which uint8 [cells] parts were `made`: `least`
        parts, and of what follows as much as may become something in a cell that is quantised with a step. `ends`
        become the parts that this needs. Whether there are more in a cell.
        """

class CellMix:
    """
    What the features of a group's cells come to, by rows and a bias. Never changes.
    """

    def __init__(
        self,
        layer: tuple[
            Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
            Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        ],
    ) -> None: ...
    @property
    def mixed(self) -> int:
        """Numbers that there are of each cell."""

class CellScores:
    """
    The probe of a profile, of cells: a layer of rows and biases, and what is made of it and a one, [maps, ..]. Never
    changes: any number of threads may use it at once. Raises ValueError where these do not belong together.
    """

    def __init__(
        self,
        around: tuple[
            Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
            Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
        ],
        mixed: int,
        out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    ) -> None: ...
    def octaves(
        self,
        mixed: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        width: int,
        top: int,
        rows: int,
    ) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None, None))]:
        """
        log2 of the scores of rows from `top` on, [maps, rows, width], from the numbers [cells, mixed] of all cells.
        """

def score_classes(
    octaves: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    least: float,
    knee: float,
    by: float,
    count: int,
) -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None))]:
    """
    Classes [height, width] from log2 of scores, none of which counts as less than `least`: how many steps of an octave
    divided `by` it is below the knee, rounded, 0 to count - 1.
    """

class Forward:
    """
    The first stage of a group in whole numbers: of each level the basis [k, C], the channels' weights and means [C],
    ratio and what a probe asks. Never changes: any number of threads may use it at once. Raises ValueError where
    these do not belong together.
    """

    def __init__(
        self,
        levels: Sequence[
            tuple[
                Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
                Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
                Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
                int,
                tuple[
                    Annotated[
                        NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)
                    ],
                    Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
                ]
                | None,
            ]
        ],
        second: SecondStage,
        sight: CellMix | None,
    ) -> None: ...
    def room(
        self, cells: int
    ) -> tuple[
        Annotated[NDArray[numpy.int16], dict(shape=(None, None))],
        Annotated[NDArray[numpy.float32], dict(shape=(None,))],
        Annotated[NDArray[numpy.uint8], dict(shape=(None,))],
        Annotated[NDArray[numpy.float32], dict(shape=(None, None))],
        Annotated[NDArray[numpy.float32], dict(shape=(None, None))] | None,
    ]:
        """
        For cells: int16 [cells, whole_size] and float32 [cells], which `begin` makes; uint8 [cells] and float32
        [cells, coefficients], zeros, which `SecondStage.go_on` goes on with; and what a sight sees, zeros [cells,
        mixed], or None.
        """

    def begin(
        self,
        maps: Sequence[
            Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order="C", device="cpu", writable=False)]
        ],
        block: Sequence[int],
        whole: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order="C", device="cpu")],
        units: Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu")],
        mixed: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu")] | None = None,
    ) -> float:
        """
        For a block (top, bottom, left, right) of cells, from levels [C, H, W] with their borders repeated, what
        `SecondStage.round` makes of the first stage and returns: infinity, too, where a level is not finite. With
        a sight, `mixed` becomes what it makes of each cell alone, [cells, mixed].
        """

class Inverse:
    """
    The way back of a group: of each level columns [C, k], means [C] and ratio, and the basis [K, D], in whole numbers
    or not. Never changes: any number of threads may use it at once. Raises ValueError where these do not belong
    together, and for numbers that are too large for whole ones.
    """

    def __init__(
        self,
        levels: Sequence[
            tuple[
                Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
                Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
                int,
            ]
        ],
        basis: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        whole: bool,
        whole_levels: bool,
    ) -> None: ...
    def restore(
        self,
        cells: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
        places: Sequence[
            tuple[
                Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
                Annotated[NDArray[numpy.float32], dict(shape=(None,), order="C", device="cpu", writable=False)],
                Sequence[int],
                Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order="C", device="cpu")],
            ]
            | None
        ],
    ) -> int:
        """
        Put cells [cells, K] into levels: low, high, block (top, bottom, left, right) and array [C, H, W] of each, or
        None. What is not finite, if anything: OF_COEFFICIENTS, or the number of a level; ALL_FINITE otherwise.
        """

ALL_FINITE: int = -1

OF_COEFFICIENTS: int = -2

def crc32c(data: bytes | memoryview | numpy.typing.NDArray[numpy.uint8], before: int = 0) -> int:
    """CRC-32C of data behind data whose own is `before`."""

def empty_floats(rows: int, columns: int) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """Uninitialised, of memory that is used again."""

def read_pass(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order="C", device="cpu", writable=False)],
) -> float:
    """Read all elements once: what speeds of memory are measured by."""
