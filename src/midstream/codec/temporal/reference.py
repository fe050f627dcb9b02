"""What is kept of a frame, at the encoder and at the decoder: what later frames may be predicted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.arrays import pack_tensors, unpack_tensors
from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE
from midstream.codec.calibrated.parts import Floats
from midstream.codec.calibrated.transform import Size
from midstream.errors import InputError

_LARGEST = float(np.finfo(np.float16).max)


def unit_of(step: int) -> int:
    """The octave of the unit that a key of this step keeps values in: about a step, for which float16 has room."""
    return (step - STEP_INDICES // 2) // STEPS_PER_OCTAVE


@dataclass(frozen=True, repr=False)
class GroupFrame:
    """One group of a frame, in three bytes a coefficient.

    Attributes:
        values: float16 [cells, K], what a decoder makes of the frame, in units of 2^octave.
        symbols: int8 [cells, K], what each coefficient was coded as, within +-127.
        importance, modes: uint8 [height, width], of the cells.
    """

    values: NDArray[np.float16]
    symbols: NDArray[np.int8]
    importance: NDArray[np.uint8]
    modes: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        decoded: Floats,
        symbols: NDArray[np.int8],
        importance: NDArray[np.uint8],
        modes: NDArray[np.uint8],
        octave: int,
    ) -> GroupFrame:
        """Of `decoded` [cells, K]; what is too large for a float16 becomes the largest there is."""
        scaled = np.clip(decoded * np.float32(2.0**-octave), -_LARGEST, _LARGEST)
        return cls(scaled.astype(np.float16), symbols, importance, modes)

    def decoded(self, octave: int) -> Floats:
        """[cells, K], as the next frame is predicted from it."""
        return self.values.astype(np.float32) * np.float32(2.0**octave)


@dataclass(frozen=True, repr=False)
class FrameMemory:
    """One frame.

    Attributes:
        number: of the frame.
        digest: of the units up to it, since its key.
        profile: hash of the profile, [8].
        octave: see GroupFrame.
        sizes, dtypes: of the levels by name.
        groups: in the profile's order.
        contexts: uint32, what predicted frames hand on of what the first group's coder has learnt; None after a key.
            Other groups have few cells, from which there is little to learn.
    """

    number: int
    digest: int
    profile: bytes
    octave: int
    sizes: Mapping[str, Size]
    dtypes: Mapping[str, str]
    groups: tuple[GroupFrame, ...]
    contexts: NDArray[np.uint32] | None

    @cached_property
    def size(self) -> int:
        """Bytes that it takes."""
        arrays = [a for g in self.groups for a in (g.values, g.symbols, g.importance, g.modes)]
        return sum(a.nbytes for a in arrays) + (0 if self.contexts is None else self.contexts.nbytes)

    def pack(self) -> bytes:
        """As bytes, for `unpack`."""
        tensors: dict[str, NDArray[Any]] = {}
        for number, group in enumerate(self.groups):
            parts: dict[str, NDArray[Any]] = {"values": group.values, "symbols": group.symbols}
            parts |= {"importance": group.importance, "modes": group.modes}
            tensors |= {f"{number}/{name}": array for name, array in parts.items()}
        if self.contexts is not None:
            tensors["contexts"] = self.contexts
        about = {"number": self.number, "digest": self.digest, "profile": self.profile.hex(), "octave": self.octave}
        about |= {"sizes": {name: list(size) for name, size in self.sizes.items()}, "dtypes": dict(self.dtypes)}
        return pack_tensors(tensors, {**about, "groups": len(self.groups)})

    @classmethod
    def unpack(cls, data: bytes) -> FrameMemory:
        """What `pack` gave. Raises InputError for anything else."""
        tensors, about = unpack_tensors(data, "a frame of the state")
        try:
            assert isinstance(about, dict)
            groups = tuple(_group(tensors, number) for number in range(about["groups"]))
            sizes = {name: (int(height), int(width)) for name, (height, width) in about["sizes"].items()}
            return cls(
                int(about["number"]),
                int(about["digest"]),
                bytes.fromhex(about["profile"]),
                int(about["octave"]),
                sizes,
                {name: str(dtype) for name, dtype in about["dtypes"].items()},
                groups,
                tensors.get("contexts"),
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no state of a StreamDecoder: {error!r}") from error


def _group(tensors: Mapping[str, NDArray[Any]], number: int) -> GroupFrame:
    wanted = {"values": np.float16, "symbols": np.int8, "importance": np.uint8, "modes": np.uint8}
    parts = {name: tensors[f"{number}/{name}"] for name in wanted}
    if any(parts[name].dtype != dtype or parts[name].ndim != 2 for name, dtype in wanted.items()):
        raise ValueError(f"group {number} has arrays of other types")
    return GroupFrame(**parts)
