"""The decoder of the units of a stream, and what `inspect` finds in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.base import Declaration, Decoder, DecodeRequest, StreamInfo, Table
from midstream.codec.calibrated.decoder import declared_shapes, given_profile
from midstream.codec.calibrated.decoding import Dequantised, RowsDone, begin_groups, limited_grids, wanted_levels
from midstream.codec.calibrated.parts import Floats
from midstream.codec.calibrated.prediction import with_expected
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import Shapes, profile_for, stream_shape
from midstream.codec.calibrated.transform import Size
from midstream.codec.chain import ReferringUnits, digest_of
from midstream.codec.container import CRC_BYTES, VERSION, Opened
from midstream.codec.sequence import SequenceDecoder
from midstream.codec.temporal.coding import FrameSteps, decode_alone, decode_predicted
from midstream.codec.temporal.reference import FrameMemory, GroupFrame, handed_on
from midstream.codec.temporal.units import CODEC, UnitHeader, read_unit_chunk, read_unit_header
from midstream.errors import InputError

_OTHER_STATE = "the state that was restored is of another profile"


class TemporalUnits(ReferringUnits[FrameMemory]):
    """See SequenceDecoder."""

    unpacked = staticmethod(FrameMemory.unpack)

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, Any]:
        """See SequenceDecoder."""
        header = read_unit_header(opened, request.limits, len(data))
        before = None
        if header.profile is None:
            before = self.reference(header.number, header.distance, header.digest)
        arrays, memory = decode_unit(header, data, before, request)
        self.keep(memory, before is None)
        return arrays


def decode_unit(
    header: UnitHeader, data: memoryview, before: FrameMemory | None, request: DecodeRequest
) -> tuple[dict[str, Any], FrameMemory]:
    """The levels of a unit that refers to `before`, None for a key, and what is kept of the frame.

    Raises:
        CorruptError: a unit that does not decode; LimitError: more than the limits allow; InputError: no such level, or
            another profile than the unit's.
    """
    streams = read_unit_chunk(data, header)
    key = before.profile if header.profile is None and before is not None else header.profile
    assert key is not None
    profile = profile_for(key, b"", given_profile(request))
    wanted = wanted_levels(profile, request.levels)
    shapes: Shapes = header if before is None else _shapes_of(before, header, profile)
    sizes, dtypes = stream_shape(shapes, profile, request.limits)
    grids = limited_grids(profile, range(len(profile.groups)), sizes, request.limits)
    if before is not None:
        _check_memory(before, profile, grids)
    steps = FrameSteps.of(profile.about.importance, header.step, None if before is None else before.octave)
    kept: list[GroupFrame] = []
    contexts: list[NDArray[np.uint32]] = []

    def coefficients(
        number: int, known: NDArray[np.uint8] | None, expected: Floats | None, done: RowsDone | None
    ) -> Dequantised:
        del done  # all rows at once: a GroupFrame is of the whole group
        group, stream, what = profile.groups[number], streams[number], f"group {number}"
        if before is None:
            decoded, frame = decode_alone(group, steps, stream, grids[number], known, what)
        else:
            own = before.groups[number], before.contexts_of(number)
            decoded, frame, learnt = decode_predicted(group, steps, stream, known, *own, what)
            contexts.append(learnt)
        kept.append(frame)
        return frame.importance, with_expected(decoded, expected)

    arrays = begin_groups(
        profile, dict(enumerate(grids)), sizes, dtypes, wanted, coefficients, request.threads, request.device
    )()
    learnt = handed_on(profile, contexts)
    return arrays, FrameMemory(header.number, digest_of(data), key, steps.octave, sizes, dtypes, tuple(kept), learnt)


def _shapes_of(before: FrameMemory, header: UnitHeader, profile: Profile) -> UnitHeader:
    """The header with the sizes and element types of the frame that it refers to. Raises InputError."""
    order = profile.about.order
    if sorted(before.sizes) != sorted(order) or sorted(before.dtypes) != sorted(order):
        raise InputError(_OTHER_STATE)
    sizes, dtypes = tuple(before.sizes[name] for name in order), tuple(before.dtypes[name] for name in order)
    return replace(header, sizes=sizes, dtypes=dtypes)


def _check_memory(before: FrameMemory, profile: Profile, grids: Sequence[Size]) -> None:
    """Refuse a restored frame that this profile did not make. Raises InputError."""
    fits = len(before.groups) == len(profile.groups) and len(before.contexts) in {0, profile.layers}
    for group, grid, kept in zip(profile.groups, grids, before.groups, strict=False):
        shape = math.prod(grid), len(group.scales)
        fits = fits and kept.values.shape == kept.symbols.shape == shape
        fits = fits and kept.importance.shape == kept.modes.shape == grid
        fits = fits and kept.importance.max() < profile.about.importance.classes
        fits = fits and kept.modes.max() <= len(group.predicted_frames.gains)
    if not fits:
        raise InputError(_OTHER_STATE)


@dataclass(frozen=True, kw_only=True)
class UnitInfo(StreamInfo):
    """Of a unit of a stream.

    Attributes:
        frame: its number.
        key: whether it stands alone.
        refers_to: the number of the frame that it is predicted from; None of a key.
        profile: hash of the profile that made it, in hexadecimal; None where the key says it.
        step: index of the finest step; eight are an octave.
        group_bytes: of each group's stream.
    """

    frame: int
    key: bool
    refers_to: int | None
    profile: str | None
    step: int
    group_bytes: list[int]

    def table(self) -> Table:
        """See StreamInfo."""
        kind = "a key" if self.key else f"predicted from frame {self.refers_to}"
        title = f"bitstream version {self.version}, codec {self.codec}: frame {self.frame}, {kind}, step {self.step}"
        if self.profile is not None:
            title += f", profile {self.profile}"
        rows = [["header", f"{self.header_bytes:,}"]]
        rows += [[f"group {number}", f"{size:,}"] for number, size in enumerate(self.group_bytes)]
        rows += [["checksum", f"{self.checksum_bytes:,}"], ["total", f"{self.total_bytes:,}"]]
        return Table(title, ["part", "bytes"], rows)


class TemporalDecoder(Decoder):
    """See Decoder: by themselves, keys decode."""

    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        """See Decoder; of a unit that refers to another one, shapes are those of the other."""
        header = read_unit_header(opened, request.limits, len(data))
        profile = given_profile(request)
        if header.profile is None or profile is None:
            return Declaration(CODEC, False, None)
        return Declaration(
            CODEC, False, declared_shapes(header, profile_for(header.profile, b"", profile), request.limits)[0]
        )

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, Any]:
        """See Decoder."""
        return TemporalUnits().decode(opened, data, request)

    def sequence(self) -> SequenceDecoder:
        """See Decoder."""
        return TemporalUnits()

    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> UnitInfo:
        """See Decoder; there is nothing that only decoding tells."""
        del symbols
        header = read_unit_header(opened, request.limits, len(data))
        read_unit_chunk(data, header)
        profile, shapes = given_profile(request), None
        if header.profile is not None and profile is not None:
            shapes = declared_shapes(header, profile_for(header.profile, b"", profile), request.limits)[0]
        elements = sum(c * h * w for c, h, w in shapes.values()) if shapes else None
        return UnitInfo(
            version=VERSION,
            codec=CODEC,
            frame=header.number,
            key=header.profile is not None,
            refers_to=None if header.profile is not None else header.number - header.distance,
            profile=None if header.profile is None else header.profile.hex(),
            step=header.step,
            shapes=shapes,
            group_bytes=list(header.streams),
            header_bytes=header.header_bytes,
            payload_bytes=sum(header.streams),
            checksum_bytes=CRC_BYTES,
            total_bytes=header.total,
            bits_per_element=8 * header.total / elements if elements else None,
        )
