"""The decoder of `calibrated`, and what `inspect` finds in its bitstreams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from midstream.codec.base import Declaration, Decoder, DecodeRequest, Shape, StreamInfo, Table
from midstream.codec.calibrated.decoding import begin_calibrated
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import (
    CODEC,
    Shapes,
    profile_for,
    read_chunk,
    read_stream_header,
    stream_shape,
)
from midstream.codec.container import CRC_BYTES, VERSION, Opened
from midstream.limits import Limits
from midstream.wording import readable


@dataclass(frozen=True, kw_only=True)
class CalibratedInfo(StreamInfo):
    """Of `calibrated`.

    Attributes:
        profile: hash of the profile that made it, in hexadecimal.
        embedded: whether the profile is in the stream.
        step: index of the finest step; eight are an octave.
        dtypes: element types of the levels by name; None as `shapes`.
        group_bytes: of each group's stream.
        group_levels: names of each group's levels; None as `shapes`.
        profile_bytes: of the embedded profile.
    """

    profile: str
    embedded: bool
    step: int
    dtypes: dict[str, str] | None
    group_bytes: list[int]
    group_levels: list[list[str]] | None
    profile_bytes: int

    def table(self) -> Table:
        """See StreamInfo."""
        levels = ", ".join(
            f"{readable(name)} {'x'.join(map(str, shape))}" for name, shape in (self.shapes or {}).items()
        )
        rate = "" if self.bits_per_element is None else f", {self.bits_per_element:.3f} bits per element"
        title = (
            f"bitstream version {self.version}, codec {self.codec}: step {self.step}, profile {self.profile}"
            f"{' (embedded)' if self.embedded else ''}\n{levels or 'levels as the profile has them (--profile)'}{rate}"
        )
        rows = [["header", f"{self.header_bytes:,}"]]
        rows += [["profile", f"{self.profile_bytes:,}"]] if self.embedded else []
        for number, size in enumerate(self.group_bytes):
            names = "" if self.group_levels is None else f": {' '.join(map(readable, self.group_levels[number]))}"
            rows.append([f"group {number}{names}", f"{size:,}"])
        rows += [["checksum", f"{self.checksum_bytes:,}"], ["total", f"{self.total_bytes:,}"]]
        return Table(title, ["part", "bytes"], rows)


class CalibratedDecoder(Decoder):
    """See Decoder."""

    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        """See Decoder; an embedded profile is not looked at."""
        header = read_stream_header(opened, request.limits, len(data))
        profile = given_profile(request)
        if header.profile_bytes or profile is None:
            return Declaration(CODEC, bool(header.profile_bytes), None)
        return Declaration(
            CODEC, False, declared_shapes(header, profile_for(header.key, b"", profile), request.limits)[0]
        )

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, Any]:
        """See Decoder."""
        return self.begin(opened, data, request)()

    def begin(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Callable[[], dict[str, Any]]:
        """See Decoder."""
        header = read_stream_header(opened, request.limits, len(data))
        embedded, streams = read_chunk(data, header)
        profile = profile_for(header.key, embedded, given_profile(request))
        return begin_calibrated(
            header, streams, profile, request.levels, request.limits, request.threads, request.device
        )

    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> CalibratedInfo:
        """See Decoder; there is nothing that only decoding tells."""
        del symbols
        profile = given_profile(request)
        header = read_stream_header(opened, request.limits, len(data))
        embedded, streams = read_chunk(data, header)
        known = profile_for(header.key, embedded, profile) if embedded or profile is not None else None
        shapes = dtypes = groups = None
        if known is not None:
            shapes, dtypes = declared_shapes(header, known, request.limits)
            groups = [[level.about.name for level in group.levels] for group in known.groups]
        elements = sum(c * h * w for c, h, w in shapes.values()) if shapes else None
        return CalibratedInfo(
            version=VERSION,
            codec=CODEC,
            profile=header.key.hex(),
            embedded=bool(embedded),
            step=header.step,
            shapes=shapes,
            dtypes=dtypes,
            group_bytes=[len(stream) for stream in streams],
            group_levels=groups,
            header_bytes=header.header_bytes,
            profile_bytes=header.profile_bytes,
            payload_bytes=sum(header.streams),
            checksum_bytes=CRC_BYTES,
            total_bytes=header.total,
            bits_per_element=8 * header.total / elements if elements else None,
        )


def given_profile(request: DecodeRequest) -> Profile | None:
    """What the request has for one."""
    return None if request.profile is None else Profile.of(request.profile)


def declared_shapes(header: Shapes, profile: Profile, limits: Limits) -> tuple[dict[str, Shape], dict[str, str]]:
    """[C, H, W] and element types of the levels by name. Raises CorruptError, LimitError."""
    sizes, dtypes = stream_shape(header, profile, limits)
    return {name: (profile.channels[name], *size) for name, size in sizes.items()}, dtypes
