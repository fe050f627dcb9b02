"""Files of JSON lines: each is written whole, or the file ends with the one before."""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import Any

from midstream.errors import InputError
from midstream.files import STANDARD, check_writable


class Lines:
    """A file of JSON lines."""

    def __init__(self, path: str) -> None:
        """Touch nothing yet; `-` is standard output. Raises InputError for what cannot be written."""
        check_writable(path)
        self.path, self.count, self._size = path, 0, 0
        self._file: int | None = None

    def begin(self) -> None:
        """Open the file, empty. Raises InputError."""
        if self.path == STANDARD:
            sys.stdout.flush()
            self._file = os.dup(sys.stdout.fileno())
            return
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file. Raises InputError where the system has only now found that it is full."""
        if self._file is None:
            return
        try:
            os.close(self._file)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def write(self, line: dict[str, Any]) -> None:
        """Write a line at once. Raises InputError; the file then has the lines before, and no part of this one."""
        data = memoryview((json.dumps(line, allow_nan=False) + "\n").encode())
        written = 0
        assert self._file is not None
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except BrokenPipeError:  # the reader has gone: no mistake of this program's user
            raise
        except OSError as error:
            if self.path != STANDARD and stat.S_ISREG(os.fstat(self._file).st_mode):
                os.ftruncate(self._file, self._size)
            reason = f"{self.path}: cannot be written: {error.strerror}; the first {self.count} answers are whole"
            raise InputError(reason) from error
        self._size += written
        self.count += 1
