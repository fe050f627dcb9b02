"""The page: one file without anything from elsewhere, put together from its parts."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

_FOLDER = files("midstream.watch") / "page"
#: Scripts in their order; they share one scope.
_SCRIPTS = ("figures.js", "charts.js", "live.js")


@dataclass(frozen=True)
class Page:
    """The document, and the header that lets it run its own script and style and nothing else."""

    html: str
    policy: str


def assembled() -> Page:
    """The page with its policy (Content-Security-Policy, level 3)."""
    style = _text("watch.css")
    script = '"use strict";\n' + "\n".join(_text(name) for name in _SCRIPTS)
    html = _text("watch.html").replace("/*style*/", style, 1).replace("/*script*/", script, 1)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, policy)


def _text(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
