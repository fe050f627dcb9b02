"""What is kept of a frame, at the encoder and at the decoder: what later frames may be predicted from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from midstream import _native
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.cached import cached_property
from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE
from midstream.codec.calibrated.parts import Floats
from midstream.codec.calibrated.profile import HASH_BYTES, Profile
from midstream.codec.calibrated.profile_file import COUNTS, LEARNT, MIXED, PREDICTED
from midstream.codec.calibrated.transform import Size
from midstream.codec.chain import MOST_FRAMES
from midstream.errors import InputError

#: Values are whole numbers of 2^(octave - FRACTION_BITS): sixteenths of a step, of which an int16 holds 2,000 steps.
FRACTION_BITS = 4
_LARGEST = float(np.iinfo(np.int16).max)


def octave_of(step: int) -> int:
    """log2 of a step, rounded down: what values are kept beside."""
    return (step - STEP_INDICES // 2) // STEPS_PER_OCTAVE


@dataclass(frozen=True, repr=False)
class GroupFrame:
    """One group of a frame, in three bytes a coefficient.

    Attributes:
        values: int16 [cells, K], what a decoder makes of the frame, in units of 2^(octave - FRACTION_BITS).
        symbols: int8 [cells, K], what each coefficient was coded as, within +-127.
        importance, modes: uint8 [height, width], of the cells.
    """

    values: NDArray[np.int16]
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
        """Of `decoded` [cells, K], rounded; what is too large becomes the largest there is."""
        with np.errstate(over="ignore", invalid="ignore"):  # a frame with values out of range is refused, later
            scaled = decoded * np.float32(2.0 ** (FRACTION_BITS - octave))
            np.rint(scaled, out=scaled)
            np.clip(scaled, -_LARGEST, _LARGEST, out=scaled)
            return cls(scaled.astype(np.int16), symbols, importance, modes)

    def decoded(self, octave: int) -> Floats:
        """[cells, K], as the next frame is predicted from it."""
        return self.values.astype(np.float32) * np.float32(2.0 ** (octave - FRACTION_BITS))


@dataclass(frozen=True, repr=False)
class FrameMemory:
    """One frame.

    Attributes:
        number: of the frame.
        digest: of its unit.
        profile: hash of the profile, [8].
        octave: see GroupFrame.
        sizes, dtypes: of the levels by name.
        groups: in the profile's order.
        contexts: uint32, what predicted frames hand on of what the coders of the first group, or of all layers, have
            learnt; empty after a key. Other groups have few cells, from which there is little to learn.
    """

    number: int
    digest: int
    profile: bytes
    octave: int
    sizes: Mapping[str, Size]
    dtypes: Mapping[str, str]
    groups: tuple[GroupFrame, ...]
    contexts: tuple[NDArray[np.uint32], ...]

    @cached_property
    def size(self) -> int:
        """Bytes that it takes."""
        arrays = [a for g in self.groups for a in (g.values, g.symbols, g.importance, g.modes)]
        return sum(a.nbytes for a in [*arrays, *self.contexts])

    def contexts_of(self, number: int) -> NDArray[np.uint32] | None:
        """What a group's coder begins with; None for what the profile has."""
        return self.contexts[number] if number < len(self.contexts) else None

    def pack(self) -> bytes:
        """As bytes, for `unpack`."""
        tensors: dict[str, NDArray[Any]] = {}
        for number, group in enumerate(self.groups):
            parts: dict[str, NDArray[Any]] = {"values": group.values, "symbols": group.symbols}
            parts |= {"importance": group.importance, "modes": group.modes}
            tensors |= {f"{number}/{name}": array for name, array in parts.items()}
        tensors |= {f"{number}/contexts": contexts for number, contexts in enumerate(self.contexts)}
        about = {"number": self.number, "digest": self.digest, "profile": self.profile.hex(), "octave": self.octave}
        about |= {"sizes": {name: list(size) for name, size in self.sizes.items()}, "dtypes": dict(self.dtypes)}
        return pack_tensors(tensors, {**about, "groups": len(self.groups)})

    @classmethod
    def unpack(cls, data: bytes) -> FrameMemory:
        """What `pack` gave. Raises InputError for anything else."""
        tensors, document = unpack_tensors(data, "a frame of the state")
        try:
            about = _About.model_validate_json(json.dumps(document))
            groups = tuple(_group(tensors, number) for number in range(about.groups))
            handing_on = sum(name.endswith("/contexts") for name in tensors)
            contexts = tuple(_contexts(tensors[f"{number}/contexts"]) for number in range(handing_on))
        except (KeyError, ValueError) as error:
            raise InputError(f"this is no state of a StreamDecoder: {error!r}") from error
        profile = bytes.fromhex(about.profile)
        return cls(about.number, about.digest, profile, about.octave, about.sizes, about.dtypes, groups, contexts)


class _About(BaseModel):
    """The document of a frame of a state."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
    number: int = Field(ge=0, lt=MOST_FRAMES)
    digest: int = Field(ge=0, lt=1 << 32)
    profile: str = Field(pattern=f"^[0-9a-f]{{{2 * HASH_BYTES}}}$")
    octave: int = Field(ge=octave_of(0), le=octave_of(STEP_INDICES - 1))
    sizes: dict[str, tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]]
    dtypes: dict[str, Literal["float32", "float16", "bfloat16"]]
    groups: int = Field(ge=1)


def handed_on(profile: Profile, contexts: Sequence[NDArray[np.uint32] | None]) -> tuple[NDArray[np.uint32], ...]:
    """Of what the groups' coders have learnt, what is kept."""
    return tuple(each for each in contexts[: profile.layers] if each is not None)


def _group(tensors: Mapping[str, NDArray[Any]], number: int) -> GroupFrame:
    wanted = {"values": np.int16, "symbols": np.int8, "importance": np.uint8, "modes": np.uint8}
    parts = {name: tensors[f"{number}/{name}"] for name in wanted}
    if any(
        parts[name].dtype != dtype or parts[name].ndim != 2 or not parts[name].size for name, dtype in wanted.items()
    ):
        raise ValueError(f"group {number} has arrays of other types")
    return GroupFrame(**parts)


def _contexts(state: NDArray[Any]) -> NDArray[np.uint32]:
    """What the coder trusts, checked."""
    if state.dtype != np.uint32 or state.shape != (PREDICTED.size - _native.FRAME_STATE_CARRIED,):
        raise ValueError("contexts of another size")
    slots, rest = np.split(state, [PREDICTED.slots - _native.FRAME_STATE_CARRIED])
    weights, learnt = np.split(rest.view(np.int32), [PREDICTED.weights])
    for values, (least, most) in ((slots & 1023, COUNTS), (weights, MIXED), (learnt, LEARNT)):
        if not least <= values.min() <= values.max() <= most:
            raise ValueError("contexts out of range")
    return state
