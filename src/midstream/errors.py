"""Every error that midstream raises on purpose. Each message names what was wrong and what to do about it."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

_OPTION = re.compile("`([a-z_]+)`")


class MidstreamError(Exception):
    """Base of all errors; the command line prints it as one line and leaves with exit code 2."""

    def begin(self, about: str) -> None:
        """Put what it is about before the message."""
        self.args = (about + str(self),)


class InputError(MidstreamError, ValueError):
    """An argument, a file or a tensor that cannot be used as it is."""


class OptionError(InputError):
    """Options of a codec that cannot be used; the message is made of text in which each option stands in backticks."""

    def __init__(self, text: str) -> None:
        super().__init__(_OPTION.sub(r"\1", text))
        self.text = text

    def begin(self, about: str) -> None:
        """See MidstreamError."""
        super().begin(about)
        self.text = about + self.text

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The message with each option as `spell` has it: the command line names what was typed."""
        return _OPTION.sub(lambda found: spell(found[1]), self.text)


class MissingExtraError(MidstreamError, ImportError):
    """A feature needs a package that is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': {install_command(extra)}")
        self.extra = extra


class CodecError(MidstreamError):
    """A codec of other people, compared with ours, is not here or failed; the message has its command and output."""


class ServiceError(MidstreamError):
    """The other half of a split network cannot be reached, does not fit, or refuses; `code` is gRPC's name for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BitstreamError(MidstreamError):
    """Base of the five ways in which a bitstream can be unusable."""


class TruncatedError(BitstreamError):
    """The bitstream ends before its declared end."""


class CorruptError(BitstreamError):
    """The bitstream contradicts its checksum or the format (docs/format.md)."""


class UnsupportedError(BitstreamError):
    """The bitstream is of a version, codec or coder that this release does not know."""


class LimitError(BitstreamError):
    """The bitstream declares more than the caller's limits allow (see midstream.Limits)."""


class MissingReferenceError(BitstreamError):
    """The unit refers to a frame that was not decoded: it was lost, or belongs to another stream."""


def install_command(extra: str) -> str:
    """What brings an extra. midstream is on no index: it comes once more from the checkout that it came from.

    An editable install stays one. Where the checkout is gone, or nobody wrote down which it was, the command is one to
    run in another.
    """
    from importlib import metadata  # only for those who need the hint

    try:
        about = json.loads(metadata.distribution("midstream").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        about = {}
    checkout = Path(unquote(urlsplit(about.get("url", "")).path))
    if "dir_info" not in about or not checkout.is_dir():
        return f"pip install '.[{extra}]' in a checkout of midstream"
    editable = "--editable " if about["dir_info"].get("editable") else ""
    return f"pip install {editable}{shlex.quote(f'{checkout}[{extra}]')}"


def unknown(what: str, given: str, valid: Iterable[str], limit: int = 8) -> InputError:
    """An error for a name that is not among `valid`: the nearest names when the list is long, else all of them."""
    names = list(valid)
    if len(names) > limit:
        near = difflib.get_close_matches(given, names, n=limit, cutoff=0.4) or names[:limit]
        return InputError(f"unknown {what} '{given}'; the nearest of {len(names)} are: {', '.join(near)}")
    return InputError(f"unknown {what} '{given}'; valid: {', '.join(names)}")
