"""What a codec is: `Codec`, whose fields are its options, and `Decoder`, which knows none of them.

A codec of this project is a package in `midstream.codec`; anybody's package can add another one by an entry point of
the group `midstream.codecs` (examples/codec-plugin). All else reads the model: the options of `midstream encode`,
`eval`, `push`, `batch` and `bench`, the specs of `compare`, what results say of a codec.

A decoder reads the codec's part of the header itself, instead of being handed one that somebody else has read: what a
header holds is as much the codec's own as what follows it.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from midstream.codec.container import Opened
from midstream.codec.sequence import IndependentFrames, IndependentUnits, SequenceDecoder, SequenceEncoder
from midstream.errors import InputError, OptionError
from midstream.features import Level
from midstream.layout import Layout
from midstream.limits import Limits

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Capabilities:
    """What a codec can do, and what it needs.

    Attributes:
        partial: of a bitstream whose end is missing, the levels that are whole can be decoded.
        profile: encoding and decoding need the network's profile.
        state: a bitstream may depend on earlier ones.
        devices: kinds of device that it runs on.
        integers: levels of int8 and uint8 are coded, without loss.
    """

    partial: bool = False
    profile: bool = False
    state: bool = False
    devices: tuple[str, ...] = ("cpu",)
    integers: bool = False


@dataclass(frozen=True)
class Shown:
    """How an option appears on the command line, in the metadata of its field.

    Attributes:
        default: what happens without it, where the field's own default does not say so.
        metavar: stands for the value in the help.
        file: the value names a file, of which reports show no more than the name.
        old: earlier spellings, understood for one more release.
    """

    default: str | None = None
    metavar: str | None = None
    file: bool = False
    old: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hints:
    """What an encoder is told beside the pyramid.

    Attributes:
        scores: [height, width] over the network's input, 0 to 1: the highest score that the network gives to anything
            in each cell; or [maps, height, width], by the levels of an ImportanceGrid. None where nobody has asked it.
        beside: bytes that the bitstream will have beside what the encoder writes; a cap holds for all of it.
    """

    scores: NDArray[np.floating[Any]] | None = None
    beside: int = 0


NO_HINTS = Hints()


@dataclass(frozen=True)
class ImportanceGrid:
    """The scores that an encoder would like as a hint.

    Attributes:
        size: (height, width) of each map.
        maps: the names of the levels that each of them is of, together all that are sent.
    """

    size: tuple[int, int]
    maps: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class DecodeRequest:
    """What a decoder is asked for.

    Attributes:
        limits: what may be spent.
        levels: names of the levels to decode, None for all.
        partial: the end of the bitstream may be missing.
        profile: a profile or the name of its file, for codecs that need one.
        threads: how many to use at most, None for all cores.
        device: one of torch's, on which levels are wanted; None for the host. A decoder without a use for it leaves
            them on the host.
    """

    limits: Limits
    levels: Sequence[str] | None = None
    partial: bool = False
    profile: Any = None
    threads: int | None = None
    device: Any = None


@dataclass(frozen=True)
class Declaration:
    """What a bitstream says of itself before any of it is decoded.

    Attributes:
        codec: its name.
        embedded: whether it holds its own profile.
        unit: whether it is a unit of a stream, which may refer to earlier ones.
        shapes: [C, H, W] of the levels by name, in the pyramid's order; None where only a profile that was not given,
            or the embedded one, knows them.
    """

    codec: str
    embedded: bool
    shapes: dict[str, Shape] | None
    unit: bool = False


@dataclass(frozen=True)
class Table:
    """A table to print; the first `left` columns are text, the others numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    left: int = 1


@dataclass(frozen=True, kw_only=True)
class StreamInfo(ABC):
    """What `inspect` found in a bitstream; each codec adds its own attributes.

    Attributes:
        version: of the bitstream.
        codec: its name.
        shapes: [C, H, W] of the levels by name; None where only a profile knows them and none is at hand.
        layouts: of the arrays that are no maps: how they lie in these levels.
        header_bytes, payload_bytes, checksum_bytes, total_bytes: where the bytes go.
        bits_per_element: of the whole bitstream; None without shapes.
    """

    version: int
    codec: str
    shapes: dict[str, Shape] | None
    header_bytes: int
    payload_bytes: int
    checksum_bytes: int
    total_bytes: int
    bits_per_element: float | None
    layouts: tuple[Layout, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, for JSON."""
        return asdict(self)

    @abstractmethod
    def table(self) -> Table:
        """For people."""


class Decoder(ABC):
    """Decodes the bitstreams of one codec.

    `opened` is the beginning of the header, read and checked, with a reader over the codec's own fields; `data` is the
    whole bitstream. Every method raises TruncatedError, CorruptError, UnsupportedError or LimitError for a bitstream
    that is unusable, and InputError for a request that is.
    """

    @abstractmethod
    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        """Read the header alone: in microseconds, whatever the bitstream holds."""

    @abstractmethod
    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, Any]:
        """Level name -> [C, H, W] in the level's own element type, in the pyramid's order.

        Arrays, or tensors on the device that the request names.
        """

    def begin(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Callable[[], dict[str, Any]]:
        """`decode` in two: what is done on the host, now, in any thread, and what is left for the request's device."""
        arrays = self.decode(opened, data, request)
        return lambda: arrays

    @abstractmethod
    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> StreamInfo:
        """Where the bytes go; with `symbols`, what only decoding the symbols tells, too."""

    def sequence(self) -> SequenceDecoder:
        """For the units of one stream."""
        return IndependentUnits(self)


#: Characters of a value in a message.
MOST_SHOWN = 60


def in_words(value: Any) -> str:
    """A value as a message has it, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of so many digits
        return "a number of more digits than anybody reads"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def checked_by(check: Callable[[Any], Any]) -> BeforeValidator:
    """For the metadata of a field: what `check` makes of a value, which may be text. It raises InputError."""
    return BeforeValidator(lambda value: None if value is None else check(value))


@cache
def _shown(codec: type[Codec]) -> dict[str, Shown]:
    """`Codec.shown`, which every call with options asks for."""
    return {
        key: next((each for each in field.metadata if isinstance(each, Shown)), Shown())
        for key, field in codec.model_fields.items()
    }


class Codec(BaseModel, ABC):
    """A codec with its options, checked; the fields are the options, and their descriptions the help.

    Attributes:
        name: as options and specs spell it.
        number: in the bitstream (docs/format.md): below 128 this project's, from 128 on anybody's.
        capabilities: what it can do.
        decoder: decodes what it makes.
        targets: its options that say how small or how good a bitstream is to be. Empty for a codec whose frames have no
            steps: a stream of its cannot be held at a bit rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(property,))
    name: ClassVar[str]
    number: ClassVar[int]
    capabilities: ClassVar[Capabilities]
    decoder: ClassVar[Decoder]
    targets: ClassVar[tuple[str, ...]] = ()

    #: Of the units of its streams, where these may refer to earlier ones.
    stream_number: ClassVar[int | None] = None

    @classmethod
    def decoder_numbered(cls, number: int) -> Decoder:
        """What decodes bitstreams of its `number`, or of its `stream_number`."""
        del number
        return cls.decoder

    def __init__(self, **options: Any) -> None:
        """Check the options. Raises InputError about the first that cannot be used."""
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise _explained(type(self), error) from error
        except UnicodeError as error:  # text from a command line may be any bytes, and pydantic's messages may not
            given = ", ".join(f"`{key}` {ascii(value)[:MOST_SHOWN]}" for key, value in options.items())
            raise OptionError(f"an option is no valid text: {given}") from error

    @model_validator(mode="before")
    @classmethod
    def _earlier_spellings(cls, options: Any) -> Any:
        if not isinstance(options, Mapping):
            return options
        present = cls.by_present_names(options)
        for name in options.keys() - present.keys():
            (now,) = [key for key, shown in cls.shown().items() if name in shown.old]
            message = f"the option {name} is now {now}; the next release no longer knows the earlier name"
            warnings.warn(message, DeprecationWarning, stacklevel=3)
        return present

    @classmethod
    def by_present_names(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options, with each earlier spelling replaced. Raises OptionError for one that is given in both."""
        out = dict(options)
        for key, shown in cls.shown().items():
            for old in shown.old:
                if old in out and key in out:
                    raise OptionError(f"`{old}` is the earlier name of `{key}`: give one of them")
                if old in out:
                    out[key] = out.pop(old)
        return out

    @classmethod
    def shown(cls) -> dict[str, Shown]:
        """How each option appears; not to be written to."""
        return _shown(cls)

    @abstractmethod
    def encode(self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
        """The bitstream of a pyramid; the bytes are the same for any number of threads. Raises InputError."""

    def begin(
        self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None
    ) -> Callable[[], bytes]:
        """`encode` in two: what is done on the device of levels on one, now, and the rest, in any thread.

        A codec that works on no device has its levels on the host from here on. Both raise InputError.
        """
        for level in levels:
            _ = level.values
        return partial(self.encode, levels, hints, threads)

    def sequence(self) -> SequenceEncoder:
        """For the frames of one stream."""
        return IndependentFrames(self)

    def quality_of(self, step: int) -> int | None:
        """The quality that a step of the quantiser comes nearest to; None for a codec that has no such scale."""
        del step
        return None

    def given(self) -> dict[str, Any]:
        """The options that were given."""
        return {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}

    def changed(self, **options: Any) -> Self:
        """The same codec with other options. Raises OptionError."""
        return type(self)(**(self.given() | options))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As `changed`: options are checked, however they come. Raises InputError."""
        del deep
        return self.changed(**(update or {}))

    def describe(self) -> dict[str, Any]:
        """Its name and all that was chosen, for results and reports; JSON can hold it."""
        return {"codec": self.name, **self.model_dump(mode="json")}

    @property
    def coder_name(self) -> str:
        """What writes the symbols, for reports."""
        return self.name

    @property
    def decoding_profile(self) -> Any:
        """The profile that `decode` is to be given, None for none."""
        return None

    @property
    def profile_name(self) -> str:
        """Of the profile that a receiver must hold; empty for none."""
        return ""

    def check_network(self, network: str, cut: str) -> None:
        """Refuse a network that the options are not for. Raises InputError.

        Args:
            network: its name.
            cut: the fingerprint of its front and back.
        """
        del network, cut

    def importance_grid(self, sizes: Mapping[str, tuple[int, int]]) -> ImportanceGrid | None:
        """The scores that the encoder would like as a hint; None where it has no use for them.

        Args:
            sizes: (H, W) of the levels by name.
        """
        del sizes
        return None


def _explained(codec: type[Codec], error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):  # in the codec's own words
        return cause
    where = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        own = ", ".join(f"`{name}`" for name in codec.model_fields)
        return OptionError(f"`{where}` is no option of the codec {codec.name}; its own are {own or 'none'}")
    if cause is not None:
        return OptionError(str(cause))
    if first["type"] == "missing":
        return OptionError(f"the codec {codec.name} needs `{where}`")
    return OptionError(f"`{where}` {in_words(first['input'])}: {first['msg']}")
