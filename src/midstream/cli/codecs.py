"""codecs."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from midstream.cli import options
from midstream.cli.console import print_json, print_table
from midstream.codec.base import Codec
from midstream.errors import CodecError
from midstream.pipelines.base import ImageCodec, PipelineCodec
from midstream.pipelines.registry import known_codecs


def codecs_command(json: options.Json = False) -> None:
    """List the codecs that a SPEC of 'compare' may name, for images and for features, with their options.

    A SPEC is NAME:option=value,option=value. Several values, qp=22,27,32, are several points.
    """
    known = known_codecs()
    if json:
        print_json({name: kind.model_json_schema() for name, kind in known.items()})
        return
    rows = []
    for name, kind in known.items():
        if issubclass(kind, Codec):
            here = "needs a profile" if kind.capabilities.profile else "here"
        else:
            here = _program(kind)
        fields = ", ".join(f"{key}={_default(field)}" for key, field in kind.model_fields.items())
        images = issubclass(kind, ImageCodec)
        rows.append([name, "images" if images else "features", fields, here, (kind.__doc__ or "").split("\n")[0]])
    print_table("", ["name", "codes", "options and defaults", "program", ""], rows, left=5)
    print("On clips, codecs of video also have mode=lowdelay and intra_period=64, this project's key_interval=64.")


def _program(kind: type[PipelineCodec]) -> str:
    try:
        kind().made_by()
    except CodecError:
        return "missing"
    return "here"


def _default(field: FieldInfo) -> str:
    value = None if field.is_required() else field.default
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
