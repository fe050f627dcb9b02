"""Codecs and pipelines by name, and the specs that choose them: `NAME:option=value,option=value,value`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from midstream.codec import registry as own
from midstream.codec.base import Codec
from midstream.errors import InputError, unknown
from midstream.named import named_subclasses
from midstream.pipelines import codecs
from midstream.pipelines.base import ImageCodec, Pipeline, PipelineCodec, PyramidCodec
from midstream.pipelines.clips import (
    AnyPipeline,
    ClipPipeline,
    EachFrame,
    FeatureVideoPipeline,
    StreamOptions,
    StreamPipeline,
    VideoPipeline,
)
from midstream.pipelines.features import FeaturePipeline
from midstream.pipelines.image import AnchorSize, ImagePipeline
from midstream.pipelines.own import OwnCodec, without_folders
from midstream.pipelines.video import PlaneCodec, VideoImage, VideoOptions

_Options = TypeVar("_Options", bound=BaseModel)

#: A spec may ask for so many points: each is a run over all images.
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
    points: tuple[AnyPipeline, ...]


@cache
def _others() -> dict[str, type[PipelineCodec]]:
    for module in pkgutil.iter_modules(codecs.__path__):
        importlib.import_module(f"{codecs.__name__}.{module.name}")
    return named_subclasses(PipelineCodec)


def known_codecs() -> dict[str, type[PipelineCodec] | type[Codec]]:
    """All by name: this project's and those of plug-ins, and whatever `midstream.pipelines.codecs` defines.

    A plug-in takes no name of the latter away: it is not compared under it.
    """
    known: dict[str, type[PipelineCodec] | type[Codec]] = {**own.codecs(), **_others()}
    return dict(sorted(known.items()))


def make_codec(name: str, options: Mapping[str, Any]) -> PipelineCodec | OwnCodec:
    """A codec from its name and its options, which may be text.

    Raises:
        InputError: an unknown name or option, or a value that it does not take; the message lists those it does.
    """
    known = known_codecs()
    if name not in known:
        raise unknown("codec", name, known, limit=len(known))
    kind = known[name]
    given = kind.by_present_names(options) if issubclass(kind, Codec) else dict(options)
    for key in given:
        if key not in kind.model_fields:
            raise unknown(f"option of {name}", key, kind.model_fields)
    return _own(kind, given) if issubclass(kind, Codec) else _validated(name, kind, given)


def _validated(name: str, kind: type[_Options], given: Mapping[str, Any]) -> _Options:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = str(first["loc"][0])
        raise InputError(f"{name}: {where} '{given[where]}': {first['msg']}") from error


def _own(kind: type[Codec], given: Mapping[str, Any]) -> OwnCodec:
    try:
        files = {key for key, shown in kind.shown().items() if shown.file}
        return OwnCodec(kind(**given), tuple((key, str(value)) for key, value in given.items() if key in files))
    except InputError as error:
        raise InputError(f"{kind.name}: {error}") from error


def parse_curve(text: str, anchor_size: AnchorSize = "input", clips: bool = False) -> Curve:
    """The points of a spec.

    Args:
        text: `NAME` or `NAME:option=value[,value...][,option=value...]`. Several values of an option are several
            points; with several such options, every combination is one. A list as one value has slashes:
            `paper:thresholds=-1/0/1`.
        anchor_size: for codecs of images.
        clips: whether the points are of clips: codecs of video have the options of `VideoOptions` then, this project's
            those of `StreamOptions`.

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
    given = [dict(zip(choices, values, strict=True)) for values in combinations]
    if clips:
        made: list[AnyPipeline] = [_clip_pipeline(name.strip(), each, anchor_size) for each in given]
    else:
        made = [pipeline_of(make_codec(name.strip(), each), anchor_size) for each in given]
    return Curve(text, _label(made[0].codec, choices), tuple(dict.fromkeys(made)))


def _clip_pipeline(name: str, given: dict[str, str], at: AnchorSize) -> ClipPipeline:
    """The pipeline for clips of a codec, from the codec's options and those that the pipeline has beside them."""
    kind = known_codecs().get(name, PipelineCodec)
    beside = VideoOptions if issubclass(kind, VideoImage | PlaneCodec) else StreamOptions
    fields = beside.model_fields if issubclass(kind, VideoImage | PlaneCodec | Codec) else {}
    codec = make_codec(name, {key: value for key, value in given.items() if key not in fields})
    options = {key: value for key, value in given.items() if key in fields}
    if isinstance(codec, VideoImage):
        return VideoPipeline(codec, _validated(name, VideoOptions, options), at)
    if isinstance(codec, PlaneCodec):
        return FeatureVideoPipeline(codec, _validated(name, VideoOptions, options))
    if isinstance(codec, OwnCodec):
        return StreamPipeline(codec, _validated(name, StreamOptions, options))
    return EachFrame(pipeline_of(codec, at))


def _label(codec: PipelineCodec | OwnCodec, choices: Mapping[str, Sequence[str]]) -> str:
    """The spec that `choices` are from, with the name of each file in place of its path."""
    parts = []
    for key, values in choices.items():
        if isinstance(codec, OwnCodec):
            values = [without_folders(type(codec.codec), {key: value})[key] for value in values]
        elif key in codec.files:
            values = [Path(value).name for value in values]
        parts.append(f"{key}={','.join(values)}")
    return f"{codec.name}:{','.join(parts)}" if parts else codec.name


def pipeline_of(codec: PipelineCodec | OwnCodec, anchor_size: AnchorSize = "input") -> Pipeline:
    """The pipeline that a codec belongs to."""
    if isinstance(codec, ImageCodec):
        return ImagePipeline(codec, anchor_size)
    assert isinstance(codec, PyramidCodec | OwnCodec)
    return FeaturePipeline(codec)
