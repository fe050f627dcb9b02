"""encode, decode and inspect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import typer

from midstream.cli import options
from midstream.cli.console import note, print_json, print_table
from midstream.codec.calibrated.options import CalibratedOptions
from midstream.codec.calibrated.profile import Profile
from midstream.codec.codec import decode, encode_with, open_levels
from midstream.codec.inspect import CalibratedInfo, LevelInfo, StreamInfo, inspect
from midstream.errors import BitstreamError, InputError, LimitError, unknown
from midstream.files import STANDARD, check_writable, read_bytes, read_pyramid, write_bytes, write_pyramid
from midstream.limits import Limits
from midstream.models import Picture

PyramidFile = Annotated[
    str, typer.Argument(help="Pyramid, .npz or .safetensors: level name -> [C, H, W]; .npy is one level; - for stdin.")
]
BitstreamFile = Annotated[str, typer.Argument(help="Bitstream; - for standard input.")]


#: Of the number of a channel.
_MOST_DIGITS = 9


def encode_command(
    source: PyramidFile,
    output: options.Output,
    codec: options.CodecName = "paper",
    symbols: options.Symbols = None,
    z: options.Z = None,
    thresholds: options.Thresholds = None,
    step: options.Step = None,
    coder: options.Coder = None,
    profile: options.ProfileFile = None,
    quality: options.Quality = None,
    max_bytes: options.MaxBytes = None,
    max_loss: options.MaxLoss = None,
    embed: options.Embed = False,
    max_elements: options.MaxElements = options.MOST_ELEMENTS,
    threads: options.Threads = None,
) -> None:
    """Code a feature pyramid into a bitstream.

    Example: midstream encode pyramid.npz -o pyramid.mids --symbols 4 --z 1.5 --coder dense

    Example: midstream encode pyramid.npz -o pyramid.mids --codec calibrated --profile M.profile --max-bytes 8000
    """
    options.check_profile_file(profile, source)
    chosen = options.codec_options(
        codec, symbols, z, thresholds, step, coder, profile, quality, max_bytes, max_loss, embed
    )
    check_writable(output)
    data = encode_with(read_pyramid(source, replace(Limits(), elements=max_elements)), chosen, threads)
    write_bytes(output, data)
    if output != STANDARD:
        info = inspect(data, profile=chosen.profile if isinstance(chosen, CalibratedOptions) else None)
        rate = "" if info.bits_per_element is None else f", {info.bits_per_element:.3f} bits per element"
        note(f"{output}: {info.total_bytes:,} bytes{rate}")


def decode_command(
    source: BitstreamFile,
    output: Annotated[str, typer.Option("--output", "-o", help=".npz or .safetensors to write; - for .npz on stdout.")],
    levels: Annotated[str | None, typer.Option(help="Only these levels, separated by commas.")] = None,
    max_elements: options.MaxElements = options.MOST_ELEMENTS,
    partial: Annotated[
        bool, typer.Option("--partial", help="Of a bitstream that was cut, decode the levels that are whole.")
    ] = False,
    profile: options.ProfileFile = None,
    threads: options.Threads = None,
) -> None:
    """Reconstruct a feature pyramid from a bitstream.

    Example: midstream decode pyramid.mids -o decoded.npz --levels p5
    """
    options.check_profile_file(profile, source)
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
    source: BitstreamFile,
    json: options.Json = False,
    drawn: Annotated[
        str | None,
        typer.Option(
            "--map", metavar="LEVEL:CHANNEL", help="Draw this channel's symbols and the bits that each takes."
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="The .png to write; belongs to --map.")] = None,
    profile: options.ProfileFile = None,
) -> None:
    """Say what a bitstream holds and where its bytes go.

    Example: midstream inspect pyramid.mids --map p3:17 -o map.png
    """
    if (drawn is None) != (output is None):
        raise InputError("--map LEVEL:CHANNEL and -o FILE.png go together")
    options.check_profile_file(profile, source)
    with _naming(source):
        data = _bitstream(source, Limits())
        if drawn is not None and output is not None:
            from midstream.cli.drawing import check_png, png

            check_png(output)
            write_bytes(output, png(_drawn_map(data, drawn)))
            if output != STANDARD:
                note(f"{output}: symbols of {drawn} and the bits that they take")
            return
        known = None if profile is None else Profile.read(profile)
        try:
            info = inspect(data, symbols=True, profile=known)
        except LimitError as error:  # too much to decode: what the header says
            info = inspect(data, profile=known)
            note(f"without entropies: {error}")
    if json:
        print_json(info.to_dict())
    elif isinstance(info, CalibratedInfo):
        _print_calibrated(info)
    else:
        _print(info)


def _print_calibrated(info: CalibratedInfo) -> None:
    shapes = info.shapes or {}
    levels = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    rate = "" if info.bits_per_element is None else f", {info.bits_per_element:.3f} bits per element"
    title = (
        f"bitstream version {info.version}, codec {info.codec}: step {info.step}, profile {info.profile}"
        f"{' (embedded)' if info.embedded else ''}\n{levels or 'levels as the profile has them (--profile)'}{rate}"
    )
    rows = [["header", f"{info.header_bytes:,}"]]
    rows += [["profile", f"{info.profile_bytes:,}"]] if info.embedded else []
    rows += [[f"group {number}", f"{size:,}"] for number, size in enumerate(info.group_bytes)]
    rows += [["checksum", f"{info.checksum_bytes:,}"], ["total", f"{info.total_bytes:,}"]]
    print_table(title, ["part", "bytes"], rows)


def _drawn_map(data: bytes, place: str) -> Picture:
    name, _, number = place.rpartition(":")
    if not name or not number.isdecimal() or len(number) > _MOST_DIGITS:
        raise InputError(f"--map is LEVEL:CHANNEL, such as p3:17, not '{place}'")
    levels = open_levels(data)
    if name not in levels:
        raise unknown("level", name, levels)
    channels = levels[name].header.shape[0]
    if int(number) >= channels:
        raise InputError(f"level '{name}' has channels 0 to {channels - 1}, not {number}")
    found = levels[name].channel_costs(int(number))
    if found is None:
        raise InputError(f"level '{name}', channel {number} holds one value only: it has no symbols")
    from midstream.evaluate.figure import symbol_figure

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


def _print(info: StreamInfo) -> None:
    chosen = ", ".join(f"{key} {_short(value)}" for key, value in info.options.items())
    if info.thresholds:
        chosen += f"; thresholds {_short(info.thresholds)}"
    title = f"bitstream version {info.version}, codec {info.codec}: {chosen}"
    columns = [
        "part", "shape", "type", "coder", "elements", "side info", "payload", "checksum", "bits/element", "bits/symbol",
        "entropy", "raw",
    ]  # fmt: skip
    rows = [["header", "", "", "", "", "", "", f"{info.header_bytes:,} in all", "", "", "", ""]]
    rows += [_row(level) for level in info.levels]
    rows.append(
        [
            "total", f"{info.total_bytes:,} bytes", "", "", f"{info.elements:,}",
            f"{info.side_bytes:,} ({info.side_share:.1%})", f"{info.payload_bytes:,}", f"{info.checksum_bytes:,}",
            f"{info.bits_per_element:.3f}", "", "", "",
        ]
    )  # fmt: skip
    print_table(title, columns, rows, left=4)


def _row(level: LevelInfo) -> list[str]:
    found = level.symbols
    coded = ["", "", ""] if found is None else [
        f"{found.bits_per_symbol:.3f}", f"{found.entropy:.3f}", f"{found.raw_bits}",
    ]  # fmt: skip
    return [
        level.name, "x".join(map(str, level.shape)), level.dtype, level.coder, f"{level.elements:,}",
        f"{level.side_bytes:,} ({level.side_share:.1%})", f"{level.payload_bytes:,}", f"{level.checksum_bytes:,}",
        f"{level.bits_per_element:.3f}", *coded,
    ]  # fmt: skip


def _short(value: object) -> str:
    if isinstance(value, list):
        shown = [f"{v:.6g}" for v in value[:8]]
        return "[" + ", ".join(shown) + (f", ... {len(value)} in all" if len(value) > 8 else "") + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
