"""The entropy model of a group's coefficients (docs/format.md, "Entropy model"): how probable each value is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.cached import cached_property

#: What the frequencies of a row add up to.
WHOLE = 1 << _native.ROW_PRECISION
#: Rows of importance classes: by the classes of the cells to the west and north.
IMPORTANCE_ROWS = _native.MOST_IMPORTANCE_CLASSES**2


@dataclass(frozen=True, repr=False)
class RowNetwork:
    """One hidden layer, in whole numbers: which row of probabilities something has.

    Attributes:
        bias: int16 [items, units].
        weights: int16 [inputs, units].
        out: int32 [units + 1], of the units and a one.
    """

    bias: NDArray[np.int16]
    weights: NDArray[np.int16]
    out: NDArray[np.int32]


@dataclass(frozen=True, repr=False)
class EntropyPart:
    """How probable values of coefficients are.

    Attributes:
        values: chooses a row of magnitudes, an item a coefficient.
        flags: chooses a row of flags, an item a band of 16 coefficients.
        value_rows, flag_rows, importance_rows: uint16 [rows, symbols + 1], where the places of symbols begin, and end
            at WHOLE; those of importance classes are by the classes to the west and north.
    """

    values: RowNetwork
    flags: RowNetwork
    value_rows: NDArray[np.uint16]
    flag_rows: NDArray[np.uint16]
    importance_rows: NDArray[np.uint16]

    def __repr__(self) -> str:
        return f"EntropyPart({len(self.values.bias)} coefficients)"

    def __getstate__(self) -> dict[str, Any]:
        """The fields: a native model cannot be copied."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def model(self) -> _native.EntropyModel:
        """What the coder takes. Raises ValueError for arrays that do not belong together, or could overflow."""
        networks = [(net.bias, net.weights, net.out) for net in (self.values, self.flags)]
        return _native.EntropyModel(*networks[0], self.value_rows, *networks[1], self.flag_rows, self.importance_rows)
