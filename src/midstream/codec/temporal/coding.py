"""One group of a frame, alone or predicted from the frame before: to its stream and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.coding import quantised
from midstream.codec.calibrated.document import ImportanceClasses
from midstream.codec.calibrated.parts import Floats, GroupPart, step_sizes
from midstream.codec.calibrated.transform import Size, by_cell
from midstream.codec.temporal.reference import GroupFrame, octave_of
from midstream.errors import CorruptError

_MOST_SYMBOL = 127


@dataclass(frozen=True)
class FrameSteps:
    """How finely a frame is quantised.

    Attributes:
        indices: int16 [classes], the step's index of each importance class.
        octave: of the unit that its values are kept in.
        octave_before: of the one that values of the frame before are kept in.
    """

    indices: NDArray[np.int16]
    octave: int
    octave_before: int

    @classmethod
    def of(cls, importance: ImportanceClasses, step: int, octave_before: int | None = None) -> FrameSteps:
        """Of a step, and of the octave of the frame before; None for a key.

        The octave falls as steps do: where nothing moves, frames are refined far below the step of the key.
        """
        own = octave_of(step)
        before = own if octave_before is None else octave_before
        return cls(importance.steps(step), min(own, before), before)


@dataclass(frozen=True)
class CodedGroup:
    """A group of a frame.

    Attributes:
        stream: its bytes.
        decoded: [K, height, width], what a decoder makes of it.
        kept: what later frames are predicted from.
        contexts: uint32, what they begin with of what the coder has learnt; None of a key.
    """

    stream: bytes
    decoded: Floats
    kept: GroupFrame
    contexts: NDArray[np.uint32] | None


def code_alone(
    group: GroupPart, steps: FrameSteps, coefficients: Floats, importance: NDArray[np.uint8], known: bool
) -> CodedGroup:
    """A group of a key: as the codec `calibrated` codes it."""
    stream, chosen, decoded = quantised(group, steps.indices, coefficients, importance, known=known)
    symbols = by_cell(np.clip(chosen, -_MOST_SYMBOL, _MOST_SYMBOL).astype(np.int8))
    kept = GroupFrame.of(by_cell(decoded), symbols, importance, np.zeros_like(importance), steps.octave)
    return CodedGroup(stream, decoded, kept, None)


def code_predicted(
    group: GroupPart,
    steps: FrameSteps,
    coefficients: Floats,
    importance: NDArray[np.uint8],
    known: bool,
    before: GroupFrame,
    contexts: NDArray[np.uint32] | None,
    state: NDArray[np.uint32] | None = None,
    refreshed: NDArray[np.uint8] | None = None,
) -> CodedGroup:
    """A group of a frame that is predicted from `before`.

    The coder begins with `contexts` that were handed on and with what the profile has; or, in calibration, with a whole
    `state`, which is left as it has learnt. Cells [height, width] that are to be `refreshed` stand alone.
    """
    if state is None:
        state = _begun(group, contexts)
    stream, modes, symbols, decoded = group.frame_model.encode(
        by_cell(coefficients),
        np.ascontiguousarray(importance),
        known,
        steps.indices,
        step_sizes(steps.indices),
        state,
        before.decoded(steps.octave_before),
        before.symbols,
        before.importance,
        before.modes,
        refreshed,
    )
    kept = GroupFrame.of(decoded, symbols, importance, modes, steps.octave)
    return CodedGroup(stream, decoded.T.reshape(-1, *importance.shape), kept, _carried(state))


def decode_alone(
    group: GroupPart,
    steps: FrameSteps,
    stream: memoryview,
    grid: Size,
    known: NDArray[np.uint8] | None,
    what: str,
) -> tuple[Floats, GroupFrame]:
    """Coefficients [cells, K] of a group of a key, and what is kept of it. Raises CorruptError about `what`."""
    symbols = np.empty((grid[0] * grid[1], len(group.scales)), np.int8)
    sizes = step_sizes(steps.indices)
    found = group.coefficient_model.decode(stream, *grid, steps.indices, sizes, group.state, known, symbols)
    if found is None:
        raise CorruptError(f"{what}: the coefficients do not decode")
    importance, decoded = found
    return decoded, GroupFrame.of(decoded, symbols, importance, np.zeros(grid, np.uint8), steps.octave)


def decode_predicted(
    group: GroupPart,
    steps: FrameSteps,
    stream: memoryview,
    known: NDArray[np.uint8] | None,
    before: GroupFrame,
    contexts: NDArray[np.uint32] | None,
    what: str,
) -> tuple[Floats, GroupFrame, NDArray[np.uint32]]:
    """As `decode_alone`, of a frame that is predicted from `before`; and what later ones begin with."""
    state = _begun(group, contexts)
    found = group.frame_model.decode(
        stream,
        steps.indices,
        step_sizes(steps.indices),
        state,
        before.decoded(steps.octave_before),
        before.symbols,
        before.importance,
        before.modes,
        known,
    )
    if found is None:
        raise CorruptError(f"{what}: the coefficients do not decode")
    importance, modes, symbols, decoded = found
    return decoded, GroupFrame.of(decoded, symbols, importance, modes, steps.octave), _carried(state)


def _begun(group: GroupPart, contexts: NDArray[np.uint32] | None) -> NDArray[np.uint32]:
    state = group.predicted_frames.state.copy()
    if contexts is not None:
        state[_native.FRAME_STATE_CARRIED :] = contexts
    return state


def _carried(state: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return state[_native.FRAME_STATE_CARRIED :].copy()
