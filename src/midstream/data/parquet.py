"""Tables in Parquet with an image a row, as Hugging Face's data sets are.

Images are unpacked into the user's cache, once and by row groups, so that a large table never is in memory and whatever
reads images goes on reading files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midstream.data.base import Dataset, ImageFile
from midstream.data.folder import visible_files
from midstream.data.images import read_bytes
from midstream.data.listed import is_file, place_of
from midstream.data.parquet_labels import Labels, labelled
from midstream.errors import InputError, MissingExtraError, unknown
from midstream.files import expanded, made_once, make_folder

#: Columns of images, the first that is there; and of labels.
_IMAGES, _CLASSES, _OBJECTS = ("image", "img"), ("label", "labels"), "objects"
#: What Hugging Face's data sets for segmentation and depth call their labels.
_UNREAD = ("annotation", "depth_map", "mask", "masks", "segmentation", "semantic_segmentation")
#: Images that are in memory together, and bytes of a column chunk that are read ahead.
_ROWS_AT_ONCE, _READ_AHEAD = 16, 1 << 20
#: Rows of a row group (100 to 1,000 are usual), and bytes of images for each byte of the file, both at most: images are
#: compressed already, and a table that grows so was made to fill a disk.
_MOST_ROWS, _MOST_GROWTH = 1 << 20, 16
#: `validation-00000-of-00004.parquet`
_SHARD = re.compile(r"(.+)-\d+-of-\d+")


def load_parquet(spec: str, where: str, limit: int | None = None) -> Dataset:
    """Images of `FILE`, `DIR` or `DIR,SPLIT`; of these the first `limit`, and what is in their row groups.

    A column `image` (or `img`) holds files: a struct of `bytes` and `path`, or one of the two; paths are relative to
    the table's folder. `objects` has for each image the boxes of its objects, `bbox` as [left, top, width, height] in
    pixels, and their `category`; a table with `label` has a class for each image. Names of classes are those of the
    schema's Hugging Face metadata, or texts in the column. Rows without an image or a class are left out, and counted.

    The files are written to `~/.cache/midstream/parquet`, under a hash of the table's path, size and time of change.

    Raises:
        InputError: a table cannot be read, or has no such columns; the message names it.
        MissingExtraError: without PyArrow.
    """
    tables = [_Table.of(file) for file in _files(where)]
    labels = Labels.of([table.schema for table in tables], _CLASSES, _OBJECTS)
    images: list[ImageFile] = []
    rows: list[Any] = []
    bare = 0
    for table in tables:
        for group in range(table.groups):
            if limit is not None and len(images) >= limit:
                break
            files = table.unpacked(group)
            values = table.values(group, labels.column) if labels.column else [None] * table.rows(group)
            for number, value in enumerate(values):
                if number in files and not labels.is_missing(value):
                    images.append(ImageFile(len(images) + 1, files[number]))
                    rows.append(value)
                else:
                    bare += 1
    if not images:
        raise InputError(f"no row of '{where}' has an image{' and a label' if labels.column else ''}")
    notes: tuple[str, ...] = (f"{bare} rows without an image or a label are left out",) if bare else ()
    unread = sorted({name for table in tables for name in table.schema.names if name in _UNREAD})
    if unread:
        notes += (f"columns that are not read: {', '.join(unread)}; maps of classes are read as files, masks:DIR,DIR",)
    return labelled(spec, images, rows, labels, notes)


def _files(where: str) -> list[Path]:
    path, split = expanded(where), None
    if not path.exists() and "," in where:
        root, _, split = where.rpartition(",")
        path = expanded(root)
    if is_file(path):
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no table or folder {path}")
    found = visible_files(path, [".parquet"])
    if not found and (path / "data").is_dir():
        found = visible_files(path / "data", [".parquet"])
    if not found:
        raise InputError(f"no *.parquet in the folder {path}")
    splits = {file: shard[1] if (shard := _SHARD.fullmatch(file.stem)) else file.stem for file in found}
    names = sorted(set(splits.values()))
    if split is None and len(names) > 1 and any(_SHARD.fullmatch(file.stem) for file in found):
        raise InputError(f"{path} has the splits {', '.join(names[:8])}: name one, parquet:{path},{names[0]}")
    if split not in (None, *names):
        raise unknown(f"split in {path}", str(split), names)
    return [file for file in found if split in (None, splits[file])]


@dataclass(frozen=True)
class _Table:
    """A Parquet file with images.

    Attributes:
        file: the path.
        schema: PyArrow's, of the whole file.
        column: that holds images.
        sizes: rows of each row group.
    """

    file: Path
    schema: Any
    column: str
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, file: Path) -> _Table:
        """Read what the file says of itself. Raises InputError, MissingExtraError."""
        with _opened(file) as parquet:
            schema, about = parquet.schema_arrow, parquet.metadata
            sizes = tuple(about.row_group(group).num_rows for group in range(about.num_row_groups))
        if max(sizes, default=0) > _MOST_ROWS:
            raise InputError(f"{file} has {max(sizes):,} rows in a row group: write it with {_MOST_ROWS:,} at most")
        column = next((name for name in _IMAGES if name in schema.names), None)
        if column is None:
            raise InputError(f"{file} has no column 'image'; it has {', '.join(schema.names[:8])}")
        return cls(file, schema, column, sizes)

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return len(self.sizes)

    def rows(self, group: int) -> int:
        """How many rows a group has."""
        return self.sizes[group]

    def values(self, group: int, column: str) -> list[Any]:
        """A column of a row group."""
        with _opened(self.file) as parquet:
            found: list[Any] = parquet.read_row_group(group, columns=[column]).column(column).to_pylist()
        return found

    def unpacked(self, group: int) -> dict[int, Path]:
        """The images of a row group as files, by their place in it; rows without an image have none."""
        status = self.file.stat()
        about = f"{self.file.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n{self.column}"
        root = Path.home() / ".cache" / "midstream" / "parquet" / hashlib.sha256(about.encode()).hexdigest()
        folder = root / f"{group:05}"
        made_once(folder, lambda beside: self._write(group, beside))
        return {int(path.stem): path for path in folder.iterdir() if path.stem.isdecimal()}

    def _write(self, group: int, folder: Path) -> None:
        make_folder(folder)
        number, left = 0, _MOST_GROWTH * self.file.stat().st_size
        with _opened(self.file) as parquet:
            if _unpacked_bytes(parquet.metadata.row_group(group), self.column) > left:
                raise InputError(f"{self.file} holds more than {_MOST_GROWTH} times its own size in images")
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[self.column]):
                for value in batch.column(0).to_pylist():
                    data = self._image(value, f"row {number} of row group {group} in {self.file}")
                    left -= len(data or b"")
                    if left < 0:
                        raise InputError(f"{self.file} holds more than {_MOST_GROWTH} times its own size in images")
                    if data is not None:
                        (folder / f"{number:08}.image").write_bytes(data)
                    number += 1

    def _image(self, value: object, where: str) -> bytes | None:
        if isinstance(value, dict):
            value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        if isinstance(value, str) and value:
            return read_bytes(self.file.parent / place_of(value, where))
        if value is None or isinstance(value, bytes):
            return value or None
        raise InputError(f"{where} has no image in its column '{self.column}', neither bytes nor a path")


def _unpacked_bytes(group: Any, column: str) -> int:
    """What the columns of images in a row group have without compression, by the file's own account."""
    columns = (group.column(i) for i in range(group.num_columns))
    own = (each for each in columns if each.path_in_schema.partition(".")[0] == column)
    return sum(int(each.total_uncompressed_size) for each in own)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """PyArrow's ParquetFile; what it has against the file is an InputError."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "data") from error
    try:
        with pq.ParquetFile(file, buffer_size=_READ_AHEAD, pre_buffer=False) as parquet:
            yield parquet
    except InputError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from error
