"""A Ray that is running."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cluster:
    """The process that started it, and its address."""

    pid: int
    address: str

    def pids(self, title: str) -> list[int]:
        """Processes of this Ray whose title begins so."""
        found = []
        for process in psutil.Process(self.pid).children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith(title):
                    found.append(process.pid)
            except psutil.NoSuchProcess:
                continue
        return found
