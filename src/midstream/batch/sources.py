"""What `--input` names: images, bitstreams, videos and tables, in chunks that one task of a cluster reads."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from midstream import data as datasets
from midstream.batch.clips import ClipFile, FrameFiles, VideoGroups, clips_of, frame_id
from midstream.batch.inputs import Chunk, Row, content_row, failed_row
from midstream.batch.schema import JobKind
from midstream.data import Dataset, video
from midstream.data.folder import IMAGE_SUFFIXES, visible_files
from midstream.errors import InputError
from midstream.files import expanded, read_bytes

#: Into how many chunks files are dealt, within bounds of what one task may read: a task costs the driver a fraction of
#: a millisecond and some memory, and a chunk comes to few blocks.
_CHUNKS = 512
_LEAST_FILES, _MOST_FILES = 16, 1024
#: Rows that are taken out of a Parquet file at once; their images are in memory together.
_ROWS_AT_ONCE = 16
_BITSTREAM_SUFFIXES = (".mids",)
_CLIP_SUFFIXES = (".midv",)
_TABLE_SUFFIXES = (".parquet",)
#: Columns of a table that may hold what is asked for, the first that is there counts. An image may also be a struct
#: of `bytes` and `path`, as Hugging Face's data sets have it.
_IMAGE_COLUMNS = ("image", "picture", "bytes", "data", "path")
_BITSTREAM_COLUMNS = ("bitstream",)
#: As which data sets of clips name a video.
_VIDEO = "video:"
#: Column of a table whose bitstreams are groups of frames.
_FRAMES = "frames"


@dataclass(frozen=True)
class Files(Chunk):
    """Whole files: (id, path) of each."""

    files: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """A file is an input."""
        return len(self.files)

    def inputs(self) -> Iterator[Row]:
        """As Chunk."""
        return (self._row(name, path) for name, path in self.files)

    def _row(self, name: str, path: str) -> Row:
        try:
            return content_row(name, read_bytes(path))
        except InputError as error:
            return failed_row(name, str(error))


@dataclass(frozen=True)
class VideoFrames(Chunk):
    """The frames of a video, numbered from 0."""

    path: str

    def inputs(self) -> Iterator[Row]:
        """As Chunk."""
        number = 0
        try:
            for frame in video.Video(Path(self.path)).frames():
                yield self._row(frame_id(self.path, number), frame)
                number += 1
        except InputError as error:
            yield failed_row(frame_id(self.path, number), str(error))

    def _row(self, name: str, frame: video.VideoFrame) -> Row:
        if frame.image is None:
            return failed_row(name, frame.problem)
        return content_row(name, frame.image.tobytes(), frame.image.shape[:2], raw=True)


@dataclass(frozen=True)
class RowGroup(Chunk):
    """A row group of a Parquet file: contents, or paths of files, in `column`."""

    path: str
    group: int
    first_row: int
    rows: int
    column: str
    sizes: bool
    groups: bool

    @property
    def count(self) -> int:
        """A row is an input."""
        return self.rows

    def inputs(self) -> Iterator[Row]:
        """As Chunk."""
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                named = "id" in file.schema_arrow.names
                columns = [self.column, *(["id"] if named else []), *(["height", "width"] if self.sizes else [])]
                columns += [f"{_FRAMES}.list.element.{name}" for name in ("frame", "bytes")] if self.groups else []
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[self.group], columns=columns):
                    for row in batch.to_pylist():
                        name = str(row["id"]) if named else frame_id(self.path, self.first_row + done)
                        yield self._row(name, row)
                        done += 1
        except (OSError, pa.ArrowException) as error:
            yield failed_row(frame_id(self.path, self.first_row + done), f"{self.path}: cannot be read: {error}")

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
            return failed_row(name, str(error))
        size = (row["height"], row["width"]) if self.sizes else (None, None)
        numbers = [each["frame"] for each in row[_FRAMES] if each["bytes"]] if self.groups else None
        return content_row(name, value, size, numbers=numbers)


def find(inputs: Sequence[str], kind: JobKind, key_interval: int | None = None) -> list[Chunk]:
    """The chunks of all that is named, each file once.

    Args:
        inputs: files, folders (the files in them, but for hidden ones) and patterns (`**` for any depth): images,
            videos and Parquet tables, for decoding bitstreams (.mids), files of clips (.midv) and tables; or the folder
            of another job, for its results. Or data sets of clips, such as `clips:DIR`.
        kind: of the job.
        key_interval: frames of a group at most, as which the frames of a clip are coded; None to code each by itself.

    Raises:
        InputError: nothing there, a kind of file that is none of these, a table without a column for the job, images
            beside groups, which are rows of another kind, or labels, which are for `of_dataset`.
    """
    whole = _BITSTREAM_SUFFIXES if kind == "decode" else IMAGE_SUFFIXES
    known = (*whole, *_TABLE_SUFFIXES, *(_CLIP_SUFFIXES if kind == "decode" else video.VIDEO_SUFFIXES))
    chunks: list[Chunk] = []
    files: list[tuple[str, str]] = []
    named = []
    for each in inputs:
        if kind != "decode" and datasets.has_clips(each):
            if each.startswith(_VIDEO):
                named.append(each.removeprefix(_VIDEO))
                continue
            clips = _unlabelled(each) if kind == "eval" else datasets.load(each)
            if key_interval is None:
                files += _frame_files(clips)
            else:
                chunks += clips_of(clips, key_interval)
        else:
            named.append(each)
    for path in dict.fromkeys(path for each in named for path in _expand(each, known)):
        suffix = path.suffix.lower()
        if suffix in whole:
            files.append((str(path), str(path)))
        elif suffix in _TABLE_SUFFIXES:
            chunks += _row_groups(path, kind)
        elif suffix in _CLIP_SUFFIXES and suffix in known:
            chunks.append(ClipFile(str(path)))
        elif suffix in known:
            chunks.append(VideoFrames(str(path)) if key_interval is None else VideoGroups(str(path), key_interval))
        else:
            raise InputError(f"{path}: unknown kind of input; {kind} takes {', '.join(known)}")
    return _of_one_kind([*in_chunks(list(dict.fromkeys(files))), *chunks], kind)


def of_dataset(dataset: Dataset, key_interval: int | None) -> list[Chunk]:
    """The chunks of a data set, for `eval`; its frames in groups, or each by itself, as `find`."""
    if dataset.images[0].clip is None:
        return in_chunks([(str(image.id), str(image.path.absolute())) for image in dataset.images])
    return in_chunks(_frame_files(dataset)) if key_interval is None else [*clips_of(dataset, key_interval)]


def _unlabelled(spec: str) -> Dataset:
    """A data set beside others, whose labels would be lost. Raises InputError where it has some."""
    dataset = datasets.load(spec)
    if dataset.labels is not None:
        raise InputError("one data set at a time: give --input once")
    return dataset


def _frame_files(dataset: Dataset) -> list[tuple[str, str]]:
    """Of clips; as `in_chunks` takes them."""
    return [(path, path) for clip in clips_of(dataset, 1) for path, _ in clip.frames]


def are_groups(chunk: Chunk) -> bool:
    """Whether an input of a chunk is a group of frames."""
    return isinstance(chunk, FrameFiles | VideoGroups | ClipFile) or (isinstance(chunk, RowGroup) and chunk.groups)


def _of_one_kind(chunks: list[Chunk], kind: JobKind) -> list[Chunk]:
    if len({are_groups(chunk) for chunk in chunks}) > 1:
        other = "" if kind == "decode" else ", or give --independent, which codes frames of clips as images, too"
        raise InputError(f"clips and images together: a row is a group of frames or an image. Give each a job{other}")
    return chunks


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
    groups = kind == "decode" and _FRAMES in there.names
    chunks: list[Chunk] = []
    first = 0
    for group in range(about.num_row_groups):
        rows = about.row_group(group).num_rows
        chunks.append(RowGroup(str(path), group, first, rows, column, sizes, groups))
        first += rows
    return chunks
