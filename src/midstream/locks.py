"""Locks of the system's on files: they end with the process that has them, however it ends."""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from midstream.errors import InputError

#: Of what a lock's file says of its holder.
_WHO_BYTES = 200
_WHO = re.compile(r"process \d+ on [\w.-]+", re.ASCII)
#: In a folder of several people, a link in the place of a lock would have its target emptied, and a pipe may block.
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
#: What the system says of a link, a folder and a socket, and `open_file` of the rest.
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)

if sys.platform == "win32":

    def lock(file: int, wait: bool = False) -> bool:
        """Lock an open file. Raises OSError: on Windows another process could not read what is locked."""
        raise OSError("no locks")

else:
    import fcntl

    def lock(file: int, wait: bool = False) -> bool:
        """Lock an open file; False where another process has it. Raises OSError on a file system without locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError):  # the second by some network file systems
            return False
        return True


def open_locked(path: Path, flags: int = 0, wait: bool = False) -> int | None:
    """Open a file for reading and writing, made where it is not there, and lock it.

    Not filelock: that one leaves its files, and as old as we allow would empty the file it locks.

    Returns:
        The descriptor; None where another process has the lock. Where the file system has no locks, as if none had.

    Raises:
        OSError: the file cannot be opened or is not a regular one.
    """
    while True:
        file = open_file(path, os.O_CREAT | flags)
        mine = True
        with suppress(OSError):
            mine = lock(file, wait)
        if mine and _is_at(path, file):
            return file
        os.close(file)
        if not mine:
            return None  # else its last holder has removed it since it was opened


def open_file(path: Path, flags: int = 0) -> int:
    """Open a regular file for reading and writing. Raises OSError, with one of `_NO_FILE` where it is another kind."""
    file = os.open(path, os.O_RDWR | _AS_IT_IS | flags, 0o666)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.ENXIO, "it is not a regular file")


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def held(path: Path, what: str, wait: bool = False) -> Iterator[None]:
    """Have the lock in the file at `path` while the block runs; the file is there as long.

    Raises:
        InputError: another process has it, unless we `wait` for it, or the file cannot be made; `what` is named.
    """
    try:
        file = open_locked(path, wait=wait)
    except OSError as error:
        raise _unusable(path, what, error) from error
    if file is None:
        raise _busy(path, what)
    try:
        with suppress(OSError):  # a full disk: nobody is named
            os.truncate(file, 0)
            os.write(file, f"process {os.getpid()} on {platform.node()}".encode()[:_WHO_BYTES])
        yield
    finally:
        if _is_at(path, file):
            path.unlink()
        os.close(file)


def check_free(path: Path, what: str) -> None:
    """Refuse what another process has locked by the file at `path`, or what is no file there. Raises InputError."""
    try:
        file = open_file(path)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _unusable(path, what, error) from error
        return  # mostly: it is not there
    free = True
    with os.fdopen(file), suppress(OSError):
        free = lock(file)
    if not free:
        raise _busy(path, what)


def _unusable(path: Path, what: str, error: OSError) -> InputError:
    return InputError(f"{what}: cannot be written: {path.name}: {error.strerror}")


def _busy(path: Path, what: str) -> InputError:
    who = ""
    with suppress(OSError), os.fdopen(open_file(path), "rb") as file:
        who = file.read(_WHO_BYTES).decode(errors="replace")
    who = who if _WHO.fullmatch(who) else "another process"  # others may write into the file, too
    return InputError(f"{what}: {who} is writing to it: wait for that one, or give another name")
