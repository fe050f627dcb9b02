"""Files: pyramids as .npz and .safetensors, bitstreams, and output that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from midstream.arrays import pack_npz, pack_safetensors, pack_tensors, unpack_pyramid, unpack_tensors
from midstream.errors import InputError
from midstream.limits import Limits

#: File name that stands for standard input and output.
STANDARD = "-"
_SUFFIXES = (".npz", ".safetensors")


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


def read_pyramid(path: str, limits: Limits | None = None) -> dict[str, NDArray[Any]]:
    """A pyramid from a .npy, .npz or .safetensors file, whatever its name; `-` is standard input.

    A .npy is one level with the name of the file's stem (`features` from standard input).

    Raises:
        InputError: not readable, or what `unpack_pyramid` refuses.
    """
    return unpack_pyramid(read_bytes(path), path, limits)


def write_pyramid(path: str, pyramid: Mapping[str, NDArray[Any]]) -> None:
    """Write a pyramid as .npz or .safetensors, by the name's ending; `-` is .npz on standard output.

    Raises:
        InputError: another ending, a bfloat16 level for .npz (numpy's format cannot hold it), or not writable.
    """
    if path != STANDARD and Path(path).suffix not in _SUFFIXES:
        raise InputError(f"{path}: a pyramid is a file ending in {' or '.join(_SUFFIXES)}")
    data = pack_safetensors(pyramid) if path.endswith(".safetensors") else pack_npz(pyramid, path)
    write_bytes(path, data)


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: object) -> None:
    """Arrays and a JSON document as a .safetensors file. Raises InputError."""
    write_bytes(str(path), pack_tensors(tensors, metadata))


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], Any]:
    """What `write_tensors` wrote. Raises InputError."""
    return unpack_tensors(read_bytes(str(path)), str(path))
