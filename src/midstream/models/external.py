"""External data of ONNX files: tensors that lie in other files, which have to be in the model's own folder.

What onnx and ONNX Runtime refuse of this differs from release to release, and neither looks at all places that hold
tensors (sparse ones, those of attributes, bodies and functions). So every tensor is looked at here before any is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from onnx.external_data_helper import load_external_data_for_tensor

from midstream.errors import InputError

#: Bytes that several tensors may read of the same place.
_SHARED = 1 << 30


def load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Bring the external data of a model that was read from `path` into it. No tensor is external afterwards.

    Raises:
        InputError: a tensor that lies outside the model's folder, behind a symbolic link, or in no regular file; data
            that are not there.
    """
    tensors = [tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    files: dict[str, int] = {}
    total = sum(_checked_size(tensor, path, files) for tensor in tensors)
    if total > max(_SHARED, sum(files.values())):
        raise InputError(f"{path}: its tensors have more external data than there is in {', '.join(sorted(files)[:5])}")
    for tensor in tensors:
        try:
            load_external_data_for_tensor(tensor, str(path.parent))
        except Exception as error:  # of a class that differs from release to release
            raise InputError(f"{path}: the data of tensor '{tensor.name}' cannot be read: {error}") from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors of a message, wherever it has them."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)


def _checked_size(tensor: Any, path: Path, files: dict[str, int]) -> int:
    """Bytes of a tensor's data, which are where they may be; its file and its size are added to `files`."""
    place = {entry.key: entry.value for entry in tensor.external_data}
    location = place.get("location", "")
    parts = PurePosixPath(location.replace("\\", "/")).parts
    where = f"{path}: tensor '{tensor.name}' lies in '{location}'"
    if not parts or "\0" in location or ".." in parts or PurePosixPath(parts[0]).is_absolute() or ":" in parts[0]:
        raise InputError(f"{where}, which is no file of the model's folder")
    try:
        whole = _file_size(path.parent, location, where)
    except OSError as error:  # of a name that no file can have
        raise InputError(f"{path}: the file of tensor '{tensor.name}' cannot be looked at: {error.strerror}") from error
    offset, length = place.get("offset", "0"), place.get("length", "")
    if not (offset.isdecimal() and (length.isdecimal() or not length) and len(offset + length) < 30):
        raise InputError(f"{where}, at an offset or of a length that is no number")
    if int(offset) + int(length or 0) > whole:
        raise InputError(f"{where}, which is too short for it")
    files[location] = whole
    return int(length or whole - int(offset))


def _file_size(folder: Path, location: str, where: str) -> int:
    file = folder
    for part in PurePosixPath(location).parts:
        file = file / part
        if file.is_symlink():
            raise InputError(f"{where}, a symbolic link, which may lead out of the model's folder: put a copy there")
    if not file.is_file():
        raise InputError(f"{where}, which is not there or is no file")
    return file.stat().st_size
