"""encode, decode and inspect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import typer

from midstream.cli import options
from midstream.cli.axes import with_axes
from midstream.cli.clip_tables import inspect_clip, is_clip
from midstream.cli.codec_options import check_file, takes_codec
from midstream.cli.console import note, print_json, print_table
from midstream.cli.profile_tables import inspect_profile, is_profile
from midstream.codec.api import decode, encode, inspect
from midstream.codec.base import Codec
from midstream.codec.calibrated.profile import Profile
from midstream.codec.paper.decoder import open_levels
from midstream.codec.paper.options import Paper
from midstream.errors import BitstreamError, InputError, LimitError, unknown
from midstream.files import STANDARD, check_writable, read_bytes, read_pyramid, write_bytes, write_pyramid
from midstream.limits import Limits
from midstream.models import Image

PyramidFile = Annotated[
    str,
    typer.Argument(
        help="Pyramid, .npz or .safetensors: level name -> [C, H, W] (or see --axes); a .npy is one level; - for stdin."
    ),
]
BitstreamFile = Annotated[str, typer.Argument(help="Bitstream; - for standard input.")]
AnyFile = Annotated[str, typer.Argument(help="Bitstream, file of a clip, or profile; - for standard input.")]


#: Of the number of a channel.
_MOST_DIGITS = 9


@takes_codec()
def encode_command(
    source: PyramidFile,
    output: options.Output,
    codec: Codec,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            help="What the axes are of arrays that are not [C, H, W]: 1NC (tokens behind a batch's axis), HWC, CT, TC, "
            "C, GNC (heads, tokens, numbers); of one of several with its name, tokens:1NC. Can be repeated.",
            metavar="[LEVEL:]AXES",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option(help="Rows and columns of the tokens.", metavar="[LEVEL:]ROWSxCOLUMNS")
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(
            help="So many tokens at the begin are not of the grid, such as a class token.", metavar="[LEVEL:]N"
        ),
    ] = None,
    max_elements: options.MaxElements = options.MOST_ELEMENTS,
    threads: options.Threads = None,
) -> None:
    """Code a feature pyramid into a bitstream.

    Example: midstream encode pyramid.npz -o pyramid.mids --symbols 4 --z 1.5 --coder dense

    Example: midstream encode pyramid.npz -o pyramid.mids --codec calibrated --profile M.profile --max-bytes 8000

    Example: midstream encode tokens.npy -o tokens.mids --axes 1NC --grid 14x14 --extra 1
    """
    check_writable(output)
    pyramid = read_pyramid(source, replace(Limits(), elements=max_elements))
    data = encode(with_axes(pyramid, axes or [], grid or [], extra or []), codec, threads=threads)
    write_bytes(output, data)
    if output != STANDARD:
        info = inspect(data, profile=codec.decoding_profile)
        rate = "" if info.bits_per_element is None else f", {info.bits_per_element:.3f} bits per element"
        note(f"{output}: {info.total_bytes:,} bytes{rate}")


def decode_command(
    source: BitstreamFile,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write, .npz or .safetensors; - for .npz on standard output.")
    ],
    levels: Annotated[str | None, typer.Option(help="Decode only these levels, separated by commas.")] = None,
    max_elements: options.MaxElements = options.MOST_ELEMENTS,
    partial: Annotated[
        bool, typer.Option("--partial", help="Decode the levels that are complete, if the bitstream is truncated.")
    ] = False,
    profile: options.ProfileFile = None,
    threads: options.Threads = None,
) -> None:
    """Reconstruct a feature pyramid from a bitstream.

    Example: midstream decode pyramid.mids -o decoded.npz --levels p5
    """
    check_file("--profile", profile, source)
    check_writable(output)
    wanted = levels.split(",") if levels is not None else None
    with _naming(source):
        limits = replace(Limits(), elements=max_elements)
        pyramid = decode(
            _bitstream(source, limits), levels=wanted, limits=limits, partial=partial, profile=profile, threads=threads
        )
    write_pyramid(output, pyramid)
    if output != STANDARD:
        note(f"{output}: " + ", ".join(f"{name} {list(values.shape)}" for name, values in pyramid.items()))


def inspect_command(
    source: AnyFile,
    json: options.Json = False,
    drawn: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="LEVEL:CHANNEL",
            help="Draw the symbols of this channel and the bits that each of them takes.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="The .png to write, with --map.")] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            help="Of the file of a clip: draw the bytes of its frames over time, keys marked.", metavar="FILE.png"
        ),
    ] = None,
    profile: options.ProfileFile = None,
) -> None:
    """Show what a bitstream, the file of a clip, or a profile holds, and where its bytes go.

    Example: midstream inspect pyramid.mids --map p3:17 -o map.png

    Example: midstream inspect street.midv --plot bytes.png

    Example: midstream inspect network.profile
    """
    if (drawn is None) != (output is None):
        raise InputError("--map LEVEL:CHANNEL and -o FILE.png go together")
    check_file("--profile", profile, source)
    if plot is not None:
        from midstream.cli.drawing import check_png

        check_png(plot)
    if is_clip(source):
        if drawn is not None:
            raise InputError("--map is of a bitstream: the file of a clip has many")
        raise typer.Exit(inspect_clip(source, json, plot))
    if plot is not None:
        raise InputError("--plot is of the file of a clip (.midv), which this is not")
    with _naming(source):
        data = _bitstream(source, Limits())
        if is_profile(data):
            if drawn is not None or profile is not None:
                raise InputError("--map and --profile are for a bitstream: this is a profile")
            inspect_profile(Profile.parse(data, source), json)
        elif drawn is not None and output is not None:
            _draw_map(data, drawn, output)
        else:
            _inspect_bitstream(data, json, profile)


def _draw_map(data: bytes, place: str, output: str) -> None:
    from midstream.cli.drawing import check_png, png

    check_png(output)
    write_bytes(output, png(_drawn_map(data, place)))
    if output != STANDARD:
        note(f"{output}: symbols of {place} and the bits that they take")


def _inspect_bitstream(data: bytes, json: bool, profile: str | None) -> None:
    known = None if profile is None else Profile.read(profile)
    try:
        info = inspect(data, symbols=True, profile=known)
    except LimitError as error:  # too much to decode: what the header says
        info = inspect(data, profile=known)
        note(f"without entropies: {error}")
    if json:
        print_json(info.to_dict())
    else:
        table = info.table()
        print_table("\n".join([table.title, *map(str, info.layouts)]), table.columns, table.rows, left=table.left)


def _drawn_map(data: bytes, place: str) -> Image:
    name, _, number = place.rpartition(":")
    if not name or not number.isdecimal() or len(number) > _MOST_DIGITS:
        raise InputError(f"--map is LEVEL:CHANNEL, such as p3:17, not '{place}'")
    codec = inspect(data).codec
    if codec != Paper.name:
        raise InputError(f"a bitstream of the codec {codec} has no symbols of channels: only {Paper.name} has")
    levels = open_levels(data)
    if name not in levels:
        raise unknown("level", name, levels)
    channels = levels[name].header.shape[0]
    if int(number) >= channels:
        raise InputError(f"level '{name}' has channels 0 to {channels - 1}, not {number}")
    found = levels[name].channel_costs(int(number))
    if found is None:
        raise InputError(f"level '{name}', channel {number} holds one value only: it has no symbols")
    from midstream.report.feature_maps import symbol_figure

    return symbol_figure(f"{name}, channel {number}", *found)


def _bitstream(source: str, limits: Limits) -> bytes:
    """The bytes of a bitstream, which a device has without end. Raises InputError; LimitError for too many."""
    most = max(limits.chunk_bytes, 4 * limits.elements)  # coding makes nothing larger than float32
    data = read_bytes(source, most + 1)
    if len(data) > most:
        raise LimitError(f"too large for a bitstream: more than {most:,} bytes")
    return data


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Errors of a bitstream say which file it is."""
    try:
        yield
    except BitstreamError as error:
        raise type(error)(f"{source}: {error}") from error
