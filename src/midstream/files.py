"""Files: pyramids as .npz and .safetensors, bitstreams, and output that appears whole or not at all."""

from __future__ import annotations

import io
import json
import os
import secrets
import stat
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.features import DTYPES

#: File name that stands for standard input and output.
STANDARD = "-"
#: Key of a safetensors file's metadata that keeps the pyramid's order, which the format does not.
_ORDER = "midstream.levels"
#: Key of the metadata that holds a JSON document about arrays that are not a pyramid.
_DOCUMENT = "midstream"
_SAFETENSORS_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SUFFIXES = (".npz", ".safetensors")
_ZIP_MAGIC = b"PK\3\4"
_MEMBER_SUFFIX = ".npy"


def read_bytes(path: str, most: int = -1) -> bytes:
    """A file's content, or that of standard input for `-`; no more than `most` bytes of it. Raises InputError."""
    if path == STANDARD:
        return sys.stdin.buffer.read(most)
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def write_bytes(path: str, data: bytes) -> None:
    """Write a file whole: under a temporary name beside it, then renamed. Raises InputError.

    `-` is standard output. A device, a pipe and another name of an open file (/dev/stdout) are written to as they are;
    a link is followed.
    """
    try:
        if path == STANDARD:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif _is_written_directly(path):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as file:
                file.write(data)
        else:
            _replace(Path(path).resolve(), data)
    except BrokenPipeError:  # the reader has gone: no mistake of this program's user
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, in Python 3.11 and 3.12
        raise InputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _is_written_directly(path: str) -> bool:
    # What /dev/stdout and /proc/self/fd/1 lead to may be a regular file, but it is one that is already open.
    return path.startswith(("/dev/", "/proc/")) or (Path(path).exists() and not Path(path).is_file())


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str) -> None:
    """Refuse a file that cannot be written before the work that leads to it. Raises InputError."""
    if path == STANDARD:
        return
    if not path or path.endswith("/") or Path(path).is_dir():
        raise InputError(f"'{path}' cannot be written: it names a folder, not a file")
    if _is_written_directly(path):
        if not os.access(path, os.W_OK):
            raise InputError(f"{path}: cannot be written: permission denied")
        return
    folder = Path(os.path.realpath(path)).parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(f"{path}: cannot be written: {folder} is not a folder that can be written to")


def make_folder(folder: Path) -> None:
    """Make a folder for output, if it is not there. Raises InputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error


def read_pyramid(path: str) -> dict[str, NDArray[Any]]:
    """A pyramid from an .npz or .safetensors file, whatever its name; `-` is standard input.

    Raises:
        InputError: not readable, or neither of the two.
    """
    return unpack_pyramid(read_bytes(path), path)


def unpack_pyramid(data: bytes, origin: str) -> dict[str, NDArray[Any]]:
    """A pyramid from the content of such a file; `origin` is named in errors."""
    try:
        return _from_npz(data) if data[:4] == _ZIP_MAGIC else _from_safetensors(data)
    except MemoryError as error:
        raise InputError(f"{origin}: declares more than there is memory for") from error
    except Exception as error:  # damaged files raise whatever the zip, zlib, numpy and JSON readers happen to meet
        raise InputError(f"{origin}: not a readable .npz or .safetensors file: {error}") from error


def write_pyramid(path: str, pyramid: Mapping[str, NDArray[Any]]) -> None:
    """Write a pyramid as .npz or .safetensors, by the name's ending; `-` is .npz on standard output.

    Raises:
        InputError: another ending, a bfloat16 level for .npz (numpy's format cannot hold it), or not writable.
    """
    if path != STANDARD and Path(path).suffix not in _SUFFIXES:
        raise InputError(f"{path}: a pyramid is a file ending in {' or '.join(_SUFFIXES)}")
    data = pack_safetensors(pyramid) if path.endswith(".safetensors") else _to_npz(path, pyramid)
    write_bytes(path, data)


def _from_npz(data: bytes) -> dict[str, NDArray[Any]]:
    pyramid = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:  # np.load mixes up names that end in .npy themselves
        for member in archive.infolist():
            with archive.open(member) as file:
                name = member.filename.removesuffix(_MEMBER_SUFFIX)
                pyramid[name] = np.lib.format.read_array(file, allow_pickle=False)
    return pyramid


def _to_npz(path: str, pyramid: Mapping[str, NDArray[Any]]) -> bytes:
    for name, values in pyramid.items():
        if values.dtype.kind == "V":
            raise InputError(f"{path}: level '{name}' is {values.dtype}, which .npz cannot hold: write .safetensors")
        if "\0" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{path}: a level named {name!r} cannot be a member of an .npz: write .safetensors")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # np.savez would take level names for its own arguments
        for name, values in pyramid.items():
            with archive.open(f"{name}{_MEMBER_SUFFIX}", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def _from_safetensors(data: bytes) -> dict[str, NDArray[Any]]:
    # Not safetensors.numpy.load: it does not know bfloat16.
    values = {}
    for name, tensor in safetensors.deserialize(data):  # type: ignore[no-untyped-call]
        if tensor["dtype"] not in _SAFETENSORS_TYPES:
            raise ValueError(f"level '{name}' has element type {tensor['dtype']}; valid: {', '.join(DTYPES)}")
        dtype = DTYPES[_SAFETENSORS_TYPES[tensor["dtype"]]]
        values[name] = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    order = json.loads(metadata.get(_ORDER, "null"))
    return {name: values[name] for name in order} if order and sorted(order) == sorted(values) else values


def pack_safetensors(pyramid: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of a .safetensors file that keeps the order of the levels."""
    metadata = {_ORDER: json.dumps(list(pyramid))}
    return safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in pyramid.items()}, metadata)


def pack_tensors(tensors: Mapping[str, NDArray[Any]], document: object) -> bytes:
    """Arrays and a JSON document as the content of a .safetensors file."""
    arrays = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    return bytes(safetensors.numpy.save(arrays, {_DOCUMENT: json.dumps(document)}))


def unpack_tensors(data: bytes, origin: str) -> tuple[dict[str, NDArray[Any]], Any]:
    """What `pack_tensors` packed; `origin` is named in errors. Raises InputError."""
    try:
        size = int.from_bytes(data[:8], "little")
        return safetensors.numpy.load(data), json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_DOCUMENT])
    except Exception as error:  # damaged files raise whatever the readers happen to meet
        raise InputError(f"{origin}: not a readable .safetensors file of midstream: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: object) -> None:
    """Arrays and a JSON document as a .safetensors file. Raises InputError."""
    write_bytes(str(path), pack_tensors(tensors, metadata))


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], Any]:
    """What `write_tensors` wrote. Raises InputError."""
    return unpack_tensors(read_bytes(str(path)), str(path))
