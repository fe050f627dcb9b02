"""Codecs and pipelines by name, and the specs that choose them: `NAME:option=value,option=value,value`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from midstream.errors import InputError, unknown
from midstream.named import named_subclasses
from midstream.pipelines import codecs
from midstream.pipelines.base import Codec, PictureCodec, Pipeline, PyramidCodec
from midstream.pipelines.features import FeaturePipeline
from midstream.pipelines.image import AnchorSize, ImagePipeline

#: A spec may ask for so many points: each is a run over all pictures.
_MOST_POINTS = 100


@dataclass(frozen=True)
class Curve:
    """Points of one codec with different options, in the order of the spec.

    Attributes:
        spec: as it was given.
        label: the spec as it was given, files by their names.
        points: a pipeline each.
    """

    spec: str
    label: str
    points: tuple[Pipeline, ...]


@cache
def known_codecs() -> dict[str, type[Codec]]:
    """All codecs by name: whatever the modules in `midstream.pipelines.codecs` define."""
    for module in pkgutil.iter_modules(codecs.__path__):
        importlib.import_module(f"{codecs.__name__}.{module.name}")
    return named_subclasses(Codec)


def make_codec(name: str, options: Mapping[str, Any]) -> Codec:
    """A codec from its name and its options, which may be text.

    Raises:
        InputError: an unknown name or option, or a value that it does not take; the message lists those it does.
    """
    known = known_codecs()
    if name not in known:
        raise unknown("codec", name, known, limit=len(known))
    kind = known[name]
    for key in options:
        if key not in kind.model_fields:
            raise unknown(f"option of {name}", key, kind.model_fields)
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:  # about options together, in the codec's own words
            raise InputError(f"{name}: {first['ctx']['error']}") from error
        where = str(first["loc"][0])
        raise InputError(f"{name}: {where} '{options[where]}': {first['msg']}") from error


def parse_curve(text: str, anchor_size: AnchorSize = "input") -> Curve:
    """The points of a spec.

    Args:
        text: `NAME` or `NAME:option=value[,value...][,option=value...]`. Several values of an option are several
            points; with several such options, every combination is one. A list as one value has slashes:
            `paper:thresholds=-1/0/1`.
        anchor_size: for codecs of pictures.

    Raises:
        InputError: see `make_codec`; or the text is not of this form, or asks for too many points.
    """
    name, _, rest = text.partition(":")
    choices: dict[str, list[str]] = {}
    key = ""
    for part in rest.split(",") if rest else []:
        left, equals, right = part.partition("=")
        if equals:
            key = left.strip()
            if key in choices:
                raise InputError(f"'{text}': {key} is given twice; several values are separated by commas: {key}=1,2")
            choices[key] = []
        value = (right if equals else left).strip()
        if not key or not value:
            raise InputError(f"'{text}' is not NAME:option=value,value,option=value, such as vvc:preset=fast,qp=32,37")
        choices[key].append(value)
    combinations = list(product(*choices.values()))
    if len(combinations) > _MOST_POINTS:
        raise InputError(f"'{text}' asks for {len(combinations)} points; at most {_MOST_POINTS} make sense")
    made = [make_codec(name.strip(), dict(zip(choices, values, strict=True))) for values in combinations]
    return Curve(
        text, _label(made[0], choices), tuple(dict.fromkeys(pipeline_of(codec, anchor_size) for codec in made))
    )


def _label(codec: Codec, choices: Mapping[str, Sequence[str]]) -> str:
    """The spec that `choices` are from, with the name of each file in place of its path."""
    parts = []
    for key, values in choices.items():
        files = isinstance(getattr(codec, key), Path)
        parts.append(f"{key}={','.join(Path(value).name if files else value for value in values)}")
    return f"{codec.name}:{','.join(parts)}" if parts else codec.name


def pipeline_of(codec: Codec, anchor_size: AnchorSize = "input") -> Pipeline:
    """The pipeline that a codec belongs to."""
    if isinstance(codec, PictureCodec):
        return ImagePipeline(codec, anchor_size)
    assert isinstance(codec, PyramidCodec)
    return FeaturePipeline(codec)
