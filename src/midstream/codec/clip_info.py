"""What the file of a clip holds, and where its bytes go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from midstream.codec.api import inspect
from midstream.codec.clip_layout import ClipUnit
from midstream.codec.clip_reader import ClipReader
from midstream.codec.laid_out import open_bitstream
from midstream.codec.registry import codec_numbered
from midstream.errors import BitstreamError, MidstreamError

#: Sizes of images that are listed, of a clip that changes its own.
_MOST_SIZES = 8


def duration_of(frames: int, first_s: float, last_s: float) -> float:
    """Seconds of a clip: up to its last frame, which takes as long as the others on average; to the microsecond.

    0 of a clip of one frame at its begin, of which nobody knows how long that is.
    """
    between_s = (last_s - first_s) / (frames - 1) if frames > 1 else 0.0
    return round(last_s + between_s, 6)


def kbit_per_s(size: int, duration_s: float) -> float:
    """The rate of `size` bytes over a clip's time; 0 where that is not known."""
    return 8e-3 * size / duration_s if duration_s else 0.0


@dataclass
class BytesOf:
    """Bytes of some units: how many units, and the sum, the least and the most of their bytes."""

    frames: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, size: int) -> None:
        """One more."""
        self.least = size if not self.frames else min(self.least, size)
        self.frames, self.total, self.most = self.frames + 1, self.total + size, max(self.most, size)


@dataclass
class ClipInfo:
    """Of the file of a clip.

    Attributes:
        network, profile: as its header has them.
        frames: whole units.
        duration_s: see `duration_of`.
        sizes: (height, width) of its images, the first few.
        codecs: frames by the codec's name.
        keys, others: bytes of units that a decoder can begin with, and of the others.
        beside_bytes: of header, records and index, beside the units.
        problem: what is missing or damaged; empty for a whole file.
    """

    network: str
    profile: str
    frames: int = 0
    duration_s: float = 0.0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    codecs: dict[str, int] = field(default_factory=dict)
    keys: BytesOf = field(default_factory=BytesOf)
    others: BytesOf = field(default_factory=BytesOf)
    beside_bytes: int = 0
    problem: str = ""

    @property
    def unit_bytes(self) -> int:
        """Of all units."""
        return self.keys.total + self.others.total

    @property
    def kbit_per_s(self) -> float:
        """Of the units over the clip's time; 0 where that is not known."""
        return kbit_per_s(self.unit_bytes, self.duration_s)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"unit_bytes": self.unit_bytes, "kbit_per_s": self.kbit_per_s}


@dataclass(frozen=True)
class UnitParts:
    """Of one unit of a clip: its codec, and where its bytes go; None where the codec does not say.

    Attributes:
        step: index of its finest step.
        distance: how many frames back the one lies that it is predicted from.
        group_bytes: of each group of levels, which add up to `payload_bytes`.
    """

    number: int
    time_s: float
    key: bool
    bytes: int
    codec: str
    header_bytes: int | None
    payload_bytes: int | None
    checksum_bytes: int | None
    step: int | None = None
    distance: int | None = None
    group_bytes: list[int] | None = None


def clip_info(reader: ClipReader, each: Callable[[ClipUnit, str], None] = lambda unit, codec: None) -> ClipInfo:
    """Go through a clip from its begin; `each` is called with every unit and the name of its codec.

    What is missing ends it; what is damaged is left out up to the next key. Either is the problem of what is returned.
    """
    info = ClipInfo(reader.header.network, reader.header.profile)
    first_s = last_s = 0.0
    units = 0

    def damaged(error: BitstreamError) -> None:
        info.problem = str(error)

    try:
        for unit in reader.units(damaged=damaged):
            codec = _codec_of(unit.data)
            info.codecs[codec] = info.codecs.get(codec, 0) + 1
            (info.keys if unit.key else info.others).add(len(unit.data))
            if unit.size is not None and unit.size not in info.sizes and len(info.sizes) < _MOST_SIZES:
                info.sizes.append(unit.size)
            first_s = first_s if info.frames else unit.time_s
            last_s, units = unit.time_s, units + len(unit.data)
            info.frames += 1
            each(unit, codec)
    except BitstreamError as error:
        info.problem = str(error)
    info.duration_s = duration_of(info.frames, first_s, last_s)
    info.beside_bytes = reader.position - units
    return info


def unit_parts(unit: ClipUnit, codec: str) -> UnitParts:
    """Where the bytes of a unit go, by its header."""
    about = unit.number, unit.time_s, unit.key, len(unit.data), codec
    try:
        seen = inspect(unit.data)
    except MidstreamError:  # `decode` says what is wrong with it
        return UnitParts(*about, None, None, None)
    found = seen.to_dict()
    frame, before = found.get("frame"), found.get("refers_to")
    return UnitParts(
        *about,
        seen.header_bytes,
        seen.total_bytes - seen.header_bytes - seen.checksum_bytes,
        seen.checksum_bytes,
        found.get("step"),
        None if frame is None or before is None else frame - before,
        found.get("group_bytes"),
    )


def _codec_of(data: bytes) -> str:
    try:
        return codec_numbered(open_bitstream(memoryview(data)).codec).name
    except BitstreamError:
        return "unknown"
