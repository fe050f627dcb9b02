"""XML from anywhere: elements and text, without the declarations that let a small file stand for a large one."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from midstream.errors import InputError

_MOST_BYTES, _MOST_DEPTH = 4 << 20, 32


def xml_of(file: Path) -> Element:
    """The root element of a file.

    Raises:
        InputError: not readable, not XML, too large or too deep, or with a document type, in which entities would be
            declared; the message names the file and the line.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{file} is too large: more than {_MOST_BYTES:,} bytes")
    parser, builder, depth = expat.ParserCreate(), TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise InputError(f"{file}, line {parser.CurrentLineNumber}: elements are more than {_MOST_DEPTH} deep")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: object) -> None:
        raise InputError(f"{file}, line {parser.CurrentLineNumber}: a document type is not accepted: remove <!DOCTYPE>")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(f"{file}, line {error.lineno}: {expat.ErrorString(error.code)}") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know, or not so
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read: {error}") from error
    return builder.close()
