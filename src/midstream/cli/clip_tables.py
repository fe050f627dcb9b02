"""What the file of a clip holds, for people and programs: video info and inspect."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from midstream.cli.console import SOME_FAILED, note, print_json, print_table
from midstream.codec.clip_info import BytesOf, ClipInfo, UnitParts, clip_info, unit_parts
from midstream.codec.clip_layout import MAGIC
from midstream.codec.clip_reader import ClipReader
from midstream.files import STANDARD, write_bytes


def is_clip(source: str) -> bool:
    """Whether a file, or what waits on standard input, begins as the file of a clip does."""
    if source == STANDARD:
        peek = getattr(sys.stdin.buffer, "peek", None)
        return peek is not None and peek(len(MAGIC))[: len(MAGIC)] == MAGIC
    try:
        if not Path(source).is_file():
            return False
        with Path(source).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):  # whoever reads it says why
        return False


def show_info(source: str, json: bool) -> int:
    """Print what a clip holds; the exit code. Raises InputError, BitstreamError."""
    with ClipReader(source) as reader:
        info = clip_info(reader)
    if json:
        print_json(info.to_dict())
    else:
        print_table(_title(source, info), ["frames", "number", "bytes", "mean", "least", "most"], _by_kind(info))
    return _said(info)


def inspect_clip(source: str, json: bool, plot: str | None) -> int:
    """Print where a clip's bytes go, and draw them; the exit code. Raises InputError, BitstreamError."""
    frames: list[UnitParts] = []
    with ClipReader(source) as reader:
        info = clip_info(reader, lambda unit, codec: frames.append(unit_parts(unit, codec)))
    if plot is not None:
        from midstream.cli.drawing import png
        from midstream.report.clip_figure import clip_figure

        write_bytes(plot, png(clip_figure(Path(source).name, frames)))
    if json:
        print_json(info.to_dict() | {"units": [asdict(frame) for frame in frames]})
    elif plot != STANDARD:
        print_table(_title(source, info), ["part", "bytes", "share"], _by_part(info, frames))
        rows = [[*row, *_chosen(frames, key)] for row, key in zip(_by_kind(info), (True, False), strict=True)]
        print_table("", ["frames", "number", "bytes", "mean", "least", "most", "step", "refers back"], rows)
    return _said(info)


def _said(info: ClipInfo) -> int:
    if info.problem:
        note(info.problem)
    return SOME_FAILED if info.problem else 0


def _title(source: str, info: ClipInfo) -> str:
    sizes = ", ".join(f"{width}x{height}" for height, width in info.sizes) or "size not known"
    codecs = ", ".join(info.codecs) or "no codec"
    profile = f", profile {info.profile}" if info.profile else ""
    return (
        f"{source}: {info.frames:,} frames of {sizes}, {info.duration_s:.2f} s, {info.kbit_per_s:.1f} kbit/s\n"
        f"network {info.network or 'not named'}, codec {codecs}{profile}"
    )


def _by_kind(info: ClipInfo) -> list[list[str]]:
    return [_row("keys", info.keys), _row("predicted", info.others)]


def _row(name: str, of: BytesOf) -> list[str]:
    mean = f"{of.total / of.frames:,.0f}" if of.frames else "-"
    least, most = (f"{of.least:,}", f"{of.most:,}") if of.frames else ("-", "-")
    return [name, f"{of.frames:,}", f"{of.total:,}", mean, least, most]


def _chosen(frames: Sequence[UnitParts], key: bool) -> list[str]:
    """The steps of keys or of other frames, and how far back what they are predicted from lies; from least to most."""
    steps = [frame.step for frame in frames if frame.key == key and frame.step is not None]
    distances = [frame.distance for frame in frames if frame.key == key and frame.distance is not None]
    return [_span(steps), _span(distances)]


def _span(values: Sequence[int]) -> str:
    if not values:
        return "-"
    return f"{min(values)}" + (f" to {max(values)}" if min(values) < max(values) else "")


def _by_part(info: ClipInfo, frames: Sequence[UnitParts]) -> list[list[str]]:
    total = max(info.unit_bytes + info.beside_bytes, 1)
    known = [frame for frame in frames if frame.header_bytes is not None]
    groups = Counter[int]()
    for frame in known:
        groups.update(dict(enumerate(frame.group_bytes or ())))
    parts = {
        "headers of units": sum(frame.header_bytes or 0 for frame in known),
        "features": sum(frame.payload_bytes or 0 for frame in known if frame.group_bytes is None),
        **{f"features, group {number}": size for number, size in sorted(groups.items())},
        "checksums of units": sum(frame.checksum_bytes or 0 for frame in known),
        "units of which nothing is known": sum(frame.bytes for frame in frames if frame.header_bytes is None),
        "beside the units": info.beside_bytes,
    }
    rows = [[name, f"{size:,}", f"{size / total:.1%}"] for name, size in parts.items() if size]
    return [*rows, ["total", f"{info.unit_bytes + info.beside_bytes:,}", ""]]
