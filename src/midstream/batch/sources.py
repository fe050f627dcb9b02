"""What `--input` names: images, bitstreams, videos and tables, in chunks that one task of a cluster reads."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from midstream.batch.schema import INPUT, JobKind
from midstream.data import video
from midstream.data.folder import IMAGE_SUFFIXES, visible_files
from midstream.errors import InputError
from midstream.files import expanded, read_bytes

Row = dict[str, Any]
#: Most bytes of a table of inputs, unless a single one is larger. Blocks of this size lie in Ray's object store.
INPUT_BYTES = 8 << 20
#: Into how many chunks files are dealt, within bounds of what one task may read: a task costs the driver a fraction of
#: a millisecond and some memory, and a chunk comes to few blocks.
_CHUNKS = 512
_LEAST_FILES, _MOST_FILES = 16, 1024
#: Rows that are taken out of a Parquet file at once; their images are in memory together.
_ROWS_AT_ONCE = 16
#: Of a key, in hexadecimal: Ray Data holds those of all inputs that are done in memory.
_KEY_DIGITS = 32
_BITSTREAM_SUFFIXES = (".mids",)
_TABLE_SUFFIXES = (".parquet",)
#: Columns of a table that may hold what is asked for, the first that is there counts. An image may also be a struct
#: of `bytes` and `path`, as Hugging Face's data sets have it.
_IMAGE_COLUMNS = ("image", "picture", "bytes", "data", "path")
_BITSTREAM_COLUMNS = ("bitstream",)


class Chunk(Protocol):
    """A part of the input; travels to the machine that reads it."""

    @property
    def count(self) -> int | None:
        """How many inputs there are, where that is known."""
        ...

    def read(self) -> Iterator[pa.Table]:
        """Tables of `schema.INPUT`; what cannot be read is a row with an error."""
        ...


@dataclass(frozen=True)
class Files:
    """Whole files: (id, path) of each."""

    files: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """A file is an input."""
        return len(self.files)

    def read(self) -> Iterator[pa.Table]:
        """As Chunk."""
        return _tables(self._row(name, path) for name, path in self.files)

    def _row(self, name: str, path: str) -> Row:
        try:
            return content_row(name, read_bytes(path))
        except InputError as error:
            return _failed(name, str(error))


@dataclass(frozen=True)
class VideoFrames:
    """The frames of a video, numbered from 0."""

    path: str

    @property
    def count(self) -> None:
        """What a container says of its length is not to be relied on."""

    def read(self) -> Iterator[pa.Table]:
        """As Chunk."""
        return _tables(self._rows())

    def _rows(self) -> Iterator[Row]:
        number = 0
        try:
            for frame in video.Video(self.path).frames():
                yield self._row(f"{self.path}#{number:08}", frame)
                number += 1
        except InputError as error:
            yield _failed(f"{self.path}#{number:08}", str(error))

    def _row(self, name: str, frame: video.VideoFrame) -> Row:
        if frame.image is None:
            return _failed(name, frame.problem)
        return content_row(name, frame.image.tobytes(), frame.image.shape[:2], raw=True)


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file: contents, or paths of files, in `column`."""

    path: str
    group: int
    first_row: int
    rows: int
    column: str
    sizes: bool

    @property
    def count(self) -> int:
        """A row is an input."""
        return self.rows

    def read(self) -> Iterator[pa.Table]:
        """As Chunk."""
        return _tables(self._rows())

    def _rows(self) -> Iterator[Row]:
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                named = "id" in file.schema_arrow.names
                columns = [self.column, *(["id"] if named else []), *(["height", "width"] if self.sizes else [])]
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[self.group], columns=columns):
                    for row in batch.to_pylist():
                        name = str(row["id"]) if named else f"{self.path}#{self.first_row + done:08}"
                        yield self._row(name, row)
                        done += 1
        except (OSError, pa.ArrowException) as error:
            yield _failed(f"{self.path}#{self.first_row + done:08}", f"{self.path}: cannot be read: {error}")

    def _row(self, name: str, row: Row) -> Row:
        value = row[self.column]
        if isinstance(value, dict):
            value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        try:
            if isinstance(value, str):
                value = read_bytes(str(Path(self.path).parent / value))
            if not isinstance(value, bytes):
                raise InputError(f"row '{name}' of {self.path} has no bytes in the column '{self.column}'")
        except InputError as error:
            return _failed(name, str(error))
        size = (row["height"], row["width"]) if self.sizes else (None, None)
        return content_row(name, value, size)


def content_row(name: str, data: bytes, size: Sequence[int | None] = (None, None), raw: bool = False) -> Row:
    """A row of `schema.INPUT`; with `raw`, the pixels of an image of `size`."""
    content = hashlib.sha256(data).hexdigest()
    key = _key(name, content)
    height, width = size
    return {"key": key, "id": name, "sha256": content, "data": data, "raw": raw, "height": height, "width": width}


def _failed(name: str, error: str) -> Row:
    return {"key": _key(name, "unreadable"), "id": name, "raw": False, "error": error}


def _key(name: str, content: str) -> str:
    return hashlib.sha256(f"{content} {name}".encode(errors="surrogatepass")).hexdigest()[:_KEY_DIGITS]


def _tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    """Rows in tables of at most INPUT_BYTES, or one row."""
    held: list[Row] = []
    size = 0
    for row in rows:
        length = len(row.get("data") or b"")
        if held and size + length > INPUT_BYTES:
            yield pa.Table.from_pylist(held, INPUT)
            held, size = [], 0
        held.append(row)
        size += length
    if held:
        yield pa.Table.from_pylist(held, INPUT)


def find(inputs: Sequence[str], kind: JobKind) -> list[Chunk]:
    """The chunks of all that is named, each file once.

    Args:
        inputs: files, folders (the files in them, but for hidden ones) and patterns (`**` for any depth): images,
            videos and Parquet tables, for decoding bitstreams (.mids) and tables; or the folder of another job, for its
            results.
        kind: of the job.

    Raises:
        InputError: nothing there, a kind of file that is none of these, a table without a column for the job.
    """
    whole = _BITSTREAM_SUFFIXES if kind == "decode" else IMAGE_SUFFIXES
    known = (*whole, *_TABLE_SUFFIXES, *(video.VIDEO_SUFFIXES if kind != "decode" else ()))
    paths = list(dict.fromkeys(path for each in inputs for path in _expand(each, known)))
    chunks: list[Chunk] = []
    files: list[tuple[str, str]] = []
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in whole:
            files.append((str(path), str(path)))
        elif suffix in _TABLE_SUFFIXES:
            chunks += _row_groups(path, kind)
        elif suffix in known:
            chunks.append(VideoFrames(str(path)))
        else:
            raise InputError(f"{path}: unknown kind of input; {kind} takes {', '.join(known)}")
    return [*in_chunks(files), *chunks]


def in_chunks(files: Sequence[tuple[str, str]]) -> list[Chunk]:
    """Files, as (id, path), in chunks."""
    size = min(max(len(files) // _CHUNKS, _LEAST_FILES), _MOST_FILES)
    return [Files(tuple(files[i : i + size])) for i in range(0, len(files), size)]


def _expand(text: str, known: Sequence[str]) -> list[Path]:
    """The absolute paths that a name or pattern stands for."""
    path = expanded(text).absolute()
    if path.is_dir():
        path = path / "results" if (path / "results").is_dir() else path
        found = visible_files(path, known)
        if not found:
            raise InputError(f"{text}: no file in this folder ends in {', '.join(known)}")
        return found
    if path.exists():
        return [path]
    matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    found = sorted(Path(name) for name in matches if Path(name).is_file())
    if not found:
        raise InputError(f"{text}: there is no such file, folder or pattern that matches")
    return found


def _row_groups(path: Path, kind: JobKind) -> list[Chunk]:
    try:
        with pq.ParquetFile(path) as file:
            about, there = file.metadata, file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error
    if not about.num_rows:
        raise InputError(f"{path}: a table without a row")
    wanted = _BITSTREAM_COLUMNS if kind == "decode" else _IMAGE_COLUMNS
    column = next((name for name in wanted if name in there.names), None)
    if column is None:
        raise InputError(
            f"{path}: no column to {kind}; looked for {', '.join(wanted)}, it has {', '.join(there.names[:12])}"
        )
    sizes = kind == "decode" and {"height", "width"} <= set(there.names)
    chunks: list[Chunk] = []
    first = 0
    for group in range(about.num_row_groups):
        rows = about.row_group(group).num_rows
        chunks.append(RowGroup(str(path), group, first, rows, column, sizes))
        first += rows
    return chunks
