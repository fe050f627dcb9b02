"""Files: what is read, output that appears whole or not at all, and who may write where."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from midstream.arrays import pack_npz, pack_safetensors, pack_tensors, unpack_pyramid, unpack_tensors
from midstream.errors import InputError
from midstream.limits import Limits
from midstream.locks import check_free, held, lock, open_file, open_locked

#: File name that stands for standard input and output.
STANDARD = "-"
#: Bytes of a file that memory is taken for at once: a limit is far above what most files hold.
_READ_AT_ONCE = 1 << 24
#: Names of files that are not whole yet; a film has an ending, which its writer goes by.
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp(\.mp4)?")
_SUFFIXES = (".npz", ".safetensors")


def expanded(path: str) -> Path:
    """A path whose `~` or `~USER` stands for a home folder; that of nobody known here stays a name, as in a shell."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises RuntimeError for an unknown user)


def read_bytes(path: str, most: int = -1) -> bytes:
    """A file's content, or that of standard input for `-`; no more than `most` bytes of it. Raises InputError."""
    if path == STANDARD:
        return _read(sys.stdin.buffer, most)
    try:
        with Path(path).open("rb") as file:
            return _read(file, most)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise InputError(f"{path!r}: cannot be read: no file has such a name") from error


def _read(file: BinaryIO, most: int) -> bytes:
    """As `file.read(most)`, which takes memory for as much as it may read; all of it for -1."""
    if most < 0:
        return file.read()
    parts, left = [], most
    while left and (part := file.read(min(left, _READ_AT_ONCE))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


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
    check_free(_lock_of(target), str(target))
    with closing(Temporary(target)) as temporary:
        temporary.path.write_bytes(data)
        temporary.keep()


class Temporary:
    """A file beside `target` that takes its place when it is whole.

    It is locked meanwhile: one that is not was left by a process that was killed, and the next that writes into the
    folder removes it.
    """

    def __init__(self, target: Path, suffix: str = "") -> None:
        """Make the file at `path`, whose name ends in `suffix`. Raises OSError."""
        _remove_left(target.parent)
        self._target = target
        self._file: int | None = None
        while self._file is None:
            self.path = target.with_name(f".{secrets.token_hex(8)}.tmp{suffix}")
            self._file = open_locked(self.path, os.O_EXCL)
        if sys.platform == "win32":  # renames no file that is open
            os.close(self._file)
            self._file = None

    def keep(self) -> None:
        """Rename the file to what it is for, with the mode of what was there. Raises OSError."""
        if self._target.exists():
            self.path.chmod(stat.S_IMODE(self._target.stat().st_mode))
        self.path.replace(self._target)

    def close(self) -> None:
        """Remove the file, unless it was kept."""
        self.path.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)


@cache
def _remove_left(folder: Path) -> None:
    """Once in a process: there may be a hundred thousand files to look through."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):  # one that cannot be opened, or no locks here
        if not _may_be_ours(path.lstat()):
            return
        file = open_file(path)
        try:
            if lock(file):
                path.unlink()
        finally:
            os.close(file)


def _may_be_ours(status: os.stat_result) -> bool:
    """Whether a file is a regular one of this user's, who has not protected it."""
    mine = sys.platform == "win32" or status.st_uid == os.geteuid()
    return mine and stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IWUSR)


@contextmanager
def locked(path: str | Path, wait: bool = False) -> Iterator[None]:
    """Be the only one to write a file while the block runs; those that would `write_bytes` it are refused, too.

    The lock lies beside the file as `.NAME.lock` and is removed. One that a killed process leaves blocks nobody and is
    removed by the next. What is written as it is (standard output, devices, pipes) is not locked.

    Args:
        path: of the file, or of a link to it; need not be there.
        wait: for another process that has it, instead of being refused.

    Raises:
        InputError: another process has it, or it cannot be made.
    """
    if str(path) == STANDARD or _is_written_directly(str(path)):
        yield
        return
    with held(_lock_of(Path(os.path.realpath(path))), str(path), wait):
        yield


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Make a folder for output, if it is not there, and be the only one to write into it; the lock is its `.lock`.

    A folder that was made for nothing is removed again.

    Raises:
        InputError: another process is writing into it, or it cannot be made.
    """
    made = not folder.exists()
    make_folder(folder)
    try:
        with held(folder / ".lock", str(folder)):
            yield
    finally:
        if made:
            with suppress(OSError):  # mostly: there is something in it
                folder.rmdir()


def check_empty(folder: Path, besides: Collection[str] = ()) -> None:
    """Refuse a folder for output that has something in it but for what is named in `besides`.

    Hidden files, as that of `own_folder`, do not count, and a folder that is not there is empty. Raises InputError.
    """
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if found := [name for name in there if not name.startswith(".") and name not in besides]:
        raise InputError(f"{folder} is not empty, '{found[0]}' is in it: name a new folder, or remove what is there")


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


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
    target = Path(os.path.realpath(path))
    check_free(_lock_of(target), path)
    folder = target.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(f"{path}: cannot be written: {folder} is not a folder that can be written to")


def made_once(root: Path, write: Callable[[Path], None]) -> None:
    """Make a folder that is not there: whole or not at all, and once, however many processes ask for it.

    Args:
        root: the folder; those above it are made, too.
        write: fills the folder that it is given, which it makes itself.

    Raises:
        InputError: a folder above cannot be made; and whatever `write` raises.
    """
    if root.is_dir():
        return
    make_folder(root.parent)
    with locked(root, wait=True):  # another process may be making the same
        beside = root.with_name(f".{root.name}.tmp")
        if not root.is_dir():
            shutil.rmtree(beside, ignore_errors=True)  # what a process left that was killed
            try:
                write(beside)
                beside.rename(root)
            finally:
                shutil.rmtree(beside, ignore_errors=True)


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


def check_other_file(output: str | None, option: str, *sources: str | None) -> None:
    """Refuse to write into what is read. Raises InputError.

    Args:
        output: the file that is to be written; None and `-` are none.
        option: that names it.
        sources: what is read: files, or folders of them.
    """
    if output in (None, STANDARD) or not Path(output := str(output)).exists():
        return
    for source in sources:
        if source in (None, STANDARD) or not Path(source := str(source)).exists():
            continue
        inside = Path(source).is_dir() and Path(output).resolve().parent == Path(source).resolve()
        if inside or Path(output).samefile(source):
            raise InputError(f"{option} {output} is what is read: give another name")
