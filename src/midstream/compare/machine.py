"""What a result was measured on and with."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from midstream.codec.threads import core_count

_PACKAGES = (
    "numpy", "onnxruntime", "opencv-python-headless", "pycocotools", "bjontegaard", "imagecodecs", "av",
    "imageio-ffmpeg", "edgefirst-tracker", "torch", "torchvision",
)  # fmt: skip


def machine() -> dict[str, str]:
    """Processor, cores, memory, system, Python."""
    return {
        "processor": _processor(),
        "cores": str(core_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def packages() -> dict[str, str]:
    """Versions of the packages that decide results, of those that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (AttributeError, ValueError, OSError):
        return "unknown"
