"""YAML from anywhere: mappings, lists and plain values, without references, by which a small file grows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midstream.data.listed import text_of
from midstream.errors import InputError, MissingExtraError

_MOST_BYTES, _MOST_DEPTH = 1 << 18, 16


def yaml_of(file: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        InputError: not readable, not YAML or no mapping, too large or too deep, or with anchors or tags; the message
            names the file, and the line where there is one.
        MissingExtraError: without PyYAML.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("reading a data.yaml", "data") from error
    text, depth = text_of(file, _MOST_BYTES), 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            where = f"{file}, line {event.start_mark.line + 1}" if event.start_mark is not None else str(file)
            if depth > _MOST_DEPTH:
                raise InputError(f"{where}: lists and mappings are more than {_MOST_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent):
                raise InputError(f"{where}: references (*{event.anchor}) are not accepted: write it out")
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        raise InputError(f"{where}: {getattr(error, 'problem', None) or 'it is not YAML'}") from error
    except InputError:
        raise
    except ValueError as error:  # a date that is none, a number of thousands of digits
        raise InputError(f"{file} has a value that is none: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{file} is no mapping of names to values")
    return {str(key): value for key, value in found.items()}
