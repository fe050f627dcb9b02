"""A description as a TOML file with comments, for people to go on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from midstream.models.recognition.preprocessing import BYTE

#: Characters of a line, and dots that a line of a description may have (see description.parse_description).
_WIDTH, _DOTS = 110, 60
_NOTES = {
    "size": "height, width",
    "resize": 'or "stretch", "letterbox"',
    "color": '"RGB", "BGR" or "gray"',
    "scale": "1 / 255",
    "mean": "of (x * scale - mean) / std, in the order of color",
    "score_threshold": "scores below it are no detections; low for measuring, 0.25 for use",
    "nms_iou": "of two boxes of a class that overlap by more, the better one stays",
    "softmax": "true: the output is logits",
    "stride": "pixels of the input to a cell",
}


def to_toml(values: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """The text of a description. Values are what TOML has; tables come after everything else."""
    lines = [f"# {line}" for comment in comments for line in _wrapped(comment)]
    lines += [_line(key, value) for key, value in values.items() if not _is_table(value)]
    for key, value in values.items():
        if not _is_table(value):
            continue
        for table in value if isinstance(value, list) else [value]:
            lines += ["", f"[[{key}]]" if isinstance(value, list) else f"[{key}]"]
            lines += [_line(name, each) for name, each in table.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _line(key: str, value: Any) -> str:
    bare = key.replace("_", "").replace("-", "")
    name = key if bare.isascii() and bare.isalnum() else _text(key)
    note = _NOTES.get(key, "") if key != "scale" or value == BYTE else ""
    line = f"{name} = {_value(value)}"
    if isinstance(value, list | tuple) and (len(line) > _WIDTH or line.count(".") > _DOTS):
        return f"{name} = [\n{_rows(value)}\n]"
    return f"{line:<34}# {note}" if note else line


def _rows(values: Sequence[Any]) -> str:
    rows, row = [], "   "
    for each in values:
        part = f" {_value(each)},"
        if len(row) + len(part) > _WIDTH or (row + part).count(".") > _DOTS:
            rows.append(row)
            row = "   "
        row += part
    return "\n".join([*rows, row])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    return repr(value)


def _text(value: str) -> str:
    """A basic string, whose escapes are JSON's; TOML wants DEL escaped, too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrapped(text: str) -> list[str]:
    """A comment's lines, without what TOML has no place for in one."""
    lines, line = [], ""
    for word in "".join(c if c.isprintable() or c.isspace() else "?" for c in text).split():
        if line and len(line) + len(word) > _WIDTH:
            lines.append(line)
            line = "  "
        line += (" " if line.strip() else "") + word
    return [*lines, line]
