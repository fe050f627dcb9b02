"""The version of the package: the one place that it is written in, from which its metadata is built, too."""

from __future__ import annotations

__version__ = "0.1.0"
