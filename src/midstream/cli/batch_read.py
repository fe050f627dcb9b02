"""batch read: the table of a job, as it is for people and for programs."""

from __future__ import annotations

import base64
import json as json_format
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midstream.cli.console import note, print_table
from midstream.files import own_folder, write_bytes
from midstream.wording import counted

if TYPE_CHECKING:
    from midstream.batch.folder import Folder

_SHOWN_ROWS, _SHOWN_ITEMS = 20, 3
#: Columns that are for programs.
_HASHES = ("key", "sha256")


def read_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a job.")],
    failures: Annotated[bool, typer.Option("--failures", help="Show the inputs that failed, with the reason.")] = False,
    columns: Annotated[str | None, typer.Option(help="Show only these columns, separated by commas.")] = None,
    limit: Annotated[int | None, typer.Option(help="Show at most this many rows.", min=1)] = None,
    extract: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the bitstreams as files, named after the inputs' keys.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, binary columns as base64.")
    ] = False,
) -> None:
    """Show the rows of a job's table. The files are plain Parquet, which other programs read as well.

    Example: midstream batch read coded --json --columns id,bytes | jq .bytes

    Example: duckdb -c "SELECT avg(bytes) FROM 'coded/results/*.parquet'"
    """
    from midstream.batch import schema  # noqa: F401
    from midstream.batch.folder import Folder

    there = Folder(folder)
    manifest = there.manifest()
    names = None if columns is None else columns.split(",")
    if extract is not None:
        _extract(there, extract, limit, ".midv" if manifest.groups else ".mids")
        return
    rows = islice(there.rows(there.failures if failures else there.results, names), limit)
    if json:
        for row in rows:
            sys.stdout.write(json_format.dumps(row, default=_encoded) + "\n")
        return
    title = (
        f"{manifest.kind} with {manifest.model}: {there.count(there.results):,} done, "
        f"{there.count(there.failures):,} failed"
    )
    _print_rows(title, rows)


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _print_rows(title: str, rows: Iterator[dict[str, Any]]) -> None:
    first = list(islice(rows, _SHOWN_ROWS + 1))
    names = [name for name in (first[0] if first else {}) if name not in _HASHES]
    print_table(title, names, [[_cell(row[name]) for name in names] for row in first[:_SHOWN_ROWS]])
    if len(first) > _SHOWN_ROWS:
        note("and more; all of them: --json")


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list):
        return ", ".join(_item(item) for item in value[:_SHOWN_ITEMS]) + (", ..." if len(value) > _SHOWN_ITEMS else "")
    return f"{value:.1f}" if isinstance(value, float) else "" if value is None else str(value)


def _item(item: dict[str, Any]) -> str:
    if "score" in item:
        return f"{item['name']} {item['score']:.2f}"
    if "frame" in item:
        return f"{item['frame']}: {item['error'] or counted(item['bytes'], 'byte')}"
    return f"{item['level']} {item['channels']}x{item['height']}x{item['width']}"


def _extract(folder: Folder, target: Path, limit: int | None, suffix: str) -> None:
    count = 0
    with own_folder(target):
        for row in islice(folder.rows(folder.results, ["key", "bitstream"]), limit):
            write_bytes(str(target / f"{row['key']}{suffix}"), row["bitstream"])
            count += 1
    note(f"{target}: {count:,} bitstreams")
