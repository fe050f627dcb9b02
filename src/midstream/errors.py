"""Every error that midstream raises on purpose. Each message names what was wrong and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MidstreamError(Exception):
    """Base of all errors; the command line prints it as one line and leaves with exit code 2."""


class InputError(MidstreamError, ValueError):
    """An argument, a file or a tensor that cannot be used as it is."""


class MissingExtraError(MidstreamError, ImportError):
    """A feature needs a package that is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'midstream[{extra}]'")


class CodecError(MidstreamError):
    """A codec of other people, compared with ours, is not here or failed; the message has its command and output."""


class ServiceError(MidstreamError):
    """The other half of a split network cannot be reached, does not fit, or refuses; `code` is gRPC's name for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BitstreamError(MidstreamError):
    """Base of the four ways in which a bitstream can be unusable."""


class TruncatedError(BitstreamError):
    """The bitstream ends before its declared end."""


class CorruptError(BitstreamError):
    """The bitstream contradicts its checksum or the format (docs/format.md)."""


class UnsupportedError(BitstreamError):
    """The bitstream is of a version, codec or coder that this release does not know."""


class LimitError(BitstreamError):
    """The bitstream declares more than the caller's limits allow (see midstream.Limits)."""


def unknown(what: str, given: str, valid: Iterable[str], limit: int = 8) -> InputError:
    """An error for a name that is not among `valid`: the nearest names when the list is long, else all of them."""
    names = list(valid)
    if len(names) > limit:
        near = difflib.get_close_matches(given, names, n=limit, cutoff=0.4) or names[:limit]
        return InputError(f"unknown {what} '{given}'; the nearest of {len(names)} are: {', '.join(near)}")
    return InputError(f"unknown {what} '{given}'; valid: {', '.join(names)}")
