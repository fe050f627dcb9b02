"""Rate and accuracy of a codec on a network and a data set: every byte counted, detections from the bytes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from midstream.codec.api import inspect
from midstream.codec.base import Codec
from midstream.data import Dataset, ImageFile
from midstream.data.reading import Skipped, as_read, read_or_skip
from midstream.errors import InputError, OptionError
from midstream.evaluation.checks import about_labels, about_nothing, require
from midstream.evaluation.table import as_text
from midstream.halves.cache import FrontCache
from midstream.halves.coding import decode_features, encode_features
from midstream.halves.round_trip import round_trip, timed_front
from midstream.metrics.scores import Scores, labelled, score
from midstream.models import FloatPyramid, Image, Output, SplitModel

_BYTES_PER_PIXEL = 3  # the input image as 8-bit RGB
_BYTES_PER_NUMBER = 4  # an array of a network of something else, as float32


class EvalResult(BaseModel):
    """Result of one codec on one network and data set.

    Attributes:
        task: of the network.
        scores: in percent, by metric, of the decoded pyramids; `scores_uncompressed` of the pyramids as they left the
            front. The first metric is the task's main one.
        ap, ap50: of boxes, in percent, and `ap_uncompressed`, `ap50_uncompressed`; segm_*: of masks. The same figures
            as in `scores`, None where the task has no such thing.
        metric: what computed them.
        bytes_per_image: mean length of the bitstream as written.
        side_bytes_per_image: the part that is not payload: header, side information, checksums.
        bits_per_element: 8 * bytes over elements of the whole pyramid (levels that are derived instead of sent, too).
        ratio_to_input: bytes over those of the input as 8-bit RGB at the network's size; of an array, as float32.
        bytes_by_coder: bytes_per_image by coder, of the same symbols: the codec's own and those that were asked for.
        encode_ms, decode_ms, front_ms, back_ms: mean per image; front_ms is None when every pyramid was cached.
        images: images that all of this is of.
        skipped: path of each image that could not be read, and why; of a batch, its table of failures has them.
        notes: what speaks against the figures, a line each.
    """

    model: str
    data: str
    images: int
    codec: dict[str, Any]
    metric: str
    task: str = "detection"
    scores: dict[str, float] = {}
    scores_uncompressed: dict[str, float] = {}
    ap: float | None = None
    ap50: float | None = None
    ap_uncompressed: float | None = None
    ap50_uncompressed: float | None = None
    segm_ap: float | None = None
    segm_ap50: float | None = None
    segm_ap_uncompressed: float | None = None
    segm_ap50_uncompressed: float | None = None
    bytes_per_image: float
    side_bytes_per_image: float
    bits_per_element: float
    elements_per_image: float
    ratio_to_input: float
    bytes_by_coder: dict[str, float]
    encode_ms: float
    decode_ms: float
    front_ms: float | None
    back_ms: float
    skipped: list[Skipped] = []
    notes: list[str] = []

    def __str__(self) -> str:
        """The table that `midstream eval` prints, as plain text."""
        return as_text(self)

    def to_dict(self) -> dict[str, Any]:
        """All of it, as `midstream eval --json` has it."""
        return self.model_dump()


@dataclass
class Tally:
    """What one codec has cost and found so far."""

    outputs: dict[int, Output] = field(default_factory=dict)
    total_bytes: int = 0
    payload_bytes: int = 0
    encode_s: float = 0.0
    decode_s: float = 0.0
    back_s: float = 0.0
    by_coder: dict[str, int] = field(default_factory=dict)


@dataclass
class Images:
    """What the images themselves amount to; `sizes` are (height, width) of those that were read, by id."""

    elements: int = 0
    input_bytes: int = 0
    fronts: int = 0
    front_s: float = 0.0
    outputs: dict[int, Output] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(
    model: SplitModel,
    dataset: Dataset,
    codecs: Sequence[Codec],
    cache: Path | None = None,
    also_coders: Sequence[str] = (),
    on_image: Callable[[], None] = lambda: None,
    strict: bool = False,
) -> list[EvalResult]:
    """Evaluate codecs side by side; the front runs once an image for all of them.

    An image that cannot be read is left out, of rates and accuracies alike, and listed in the result.

    Args:
        model: the network.
        dataset: the images. Without labels, or with labels of another task, accuracy is agreement with the uncompressed
            network's own outputs.
        codecs: with their options; one result each.
        cache: folder for pyramids, see halves.cache.
        also_coders: coders whose bytes for the same symbols are counted as well; only for the codec `paper`.
        on_image: called after every image.
        strict: end at the first image that cannot be read.

    Raises:
        InputError: none of the images can be read (with `strict`, one of them), a profile of another network, other
            coders of a codec that has none; and as `checks.require`, before the work and not after it.
        MissingExtraError: masks on Cityscapes without the benchmark's program; before the work, too.
    """
    dataset = labelled(model.task, dataset)
    require(dataset, model.task, model.classes)
    for codec in codecs:
        codec.check_network(model.name, model.fingerprint)
    variants = [_with_coders(codec, also_coders) for codec in codecs]
    front_cache = FrontCache(cache, model) if cache else None
    images, tallies = Images(), [Tally() for _ in codecs]
    for image in dataset.images:
        pixels = read_or_skip(image.path, images.skipped, strict)
        if pixels is None:
            on_image()
            continue
        size, pyramid = _front(model, image, pixels, front_cache, images)
        for codec, tally, others in zip(codecs, tallies, variants, strict=True):
            _code(model, pyramid, codec, image.id, size, tally)
            for coder, other in others.items():
                data = encode_features(model, pyramid, size, other)
                tally.by_coder[coder] = tally.by_coder.get(coder, 0) + len(data)
        on_image()
    dataset, uncompressed = settled(model, dataset, images)
    return [
        result_of(model, dataset, codec, images, tally, uncompressed)
        for codec, tally in zip(codecs, tallies, strict=True)
    ]


def _with_coders(codec: Codec, coders: Sequence[str]) -> dict[str, Codec]:
    if coders and "coder" not in type(codec).model_fields:
        raise OptionError(
            f"the codec {codec.name} has no choice of coders: leave `also_coders` out, or run others apart"
        )
    return {coder: codec.changed(coder=coder) for coder in coders}


def _front(
    model: SplitModel, image: ImageFile, pixels: Image, cache: FrontCache | None, images: Images
) -> tuple[tuple[int, int], FloatPyramid]:
    pyramid, seconds = timed_front(model, pixels, cache, image.path)
    if seconds is not None:
        images.front_s += seconds
        images.fronts += 1
    size = (pixels.shape[0], pixels.shape[1])
    height, width = model.input_size(size)
    shape = getattr(model, "tensor_shape", None)
    images.input_bytes += math.prod(shape) * _BYTES_PER_NUMBER if shape else height * width * _BYTES_PER_PIXEL
    images.elements += sum(values.size for values in pyramid.values())
    images.outputs[image.id] = model.task.kept(model.back(pyramid, size))
    images.sizes[image.id] = size
    return size, pyramid


def _code(
    model: SplitModel,
    pyramid: FloatPyramid,
    codec: Codec,
    image_id: int,
    size: tuple[int, int],
    tally: Tally,
) -> None:
    done = round_trip(
        model,
        pyramid,
        size,
        lambda: encode_features(model, pyramid, size, codec),
        lambda data: decode_features(data, codec),
    )
    tally.outputs[image_id] = model.task.kept(done.output)
    tally.encode_s += done.encode_s
    tally.decode_s += done.decode_s
    tally.back_s += done.back_s
    tally.total_bytes += len(done.data)
    tally.payload_bytes += inspect(done.data).payload_bytes


def settled(model: SplitModel, dataset: Dataset, images: Images) -> tuple[Dataset, Scores]:
    """The data set as it was read, and the uncompressed network's scores.

    What there is to say of them is left in `images.notes`. Raises as `score`, and where no image was read.
    """
    if not images.sizes:
        raise InputError(f"none of the {len(dataset.images)} images can be read: {images.skipped[0][1]}")
    dataset, images.notes = as_read(dataset, images.sizes)
    images.notes += about_labels(dataset, model.task, model.classes)
    uncompressed = score(model.task, dataset, model.classes, images.outputs, images.outputs)
    images.notes += about_nothing(uncompressed.values, images.outputs.values())
    return dataset, uncompressed


def result_of(
    model: SplitModel,
    dataset: Dataset,
    codec: Codec,
    images: Images,
    tally: Tally,
    uncompressed: Scores,
) -> EvalResult:
    """What a codec's tally amounts to. Raises as `score`."""
    scores = score(model.task, dataset, model.classes, tally.outputs, images.outputs)
    before, after = uncompressed.values, scores.values
    count, total = len(dataset.images), tally.total_bytes
    return EvalResult(
        model=model.name,
        data=dataset.spec,
        images=count,
        codec=codec.describe(),
        metric=scores.metric,
        task=model.task.name,
        scores=after,
        scores_uncompressed=before,
        ap=after.get("ap"),
        ap50=after.get("ap50"),
        ap_uncompressed=before.get("ap"),
        ap50_uncompressed=before.get("ap50"),
        segm_ap=after.get("segm_ap"),
        segm_ap50=after.get("segm_ap50"),
        segm_ap_uncompressed=before.get("segm_ap"),
        segm_ap50_uncompressed=before.get("segm_ap50"),
        bytes_per_image=total / count,
        side_bytes_per_image=(total - tally.payload_bytes) / count,
        bits_per_element=8 * total / images.elements,
        elements_per_image=images.elements / count,
        ratio_to_input=total / images.input_bytes,
        bytes_by_coder={coder: size / count for coder, size in (tally.by_coder | {codec.coder_name: total}).items()},
        encode_ms=1e3 * tally.encode_s / count,
        decode_ms=1e3 * tally.decode_s / count,
        front_ms=1e3 * images.front_s / images.fronts if images.fronts else None,
        back_ms=1e3 * tally.back_s / count,
        skipped=images.skipped,
        notes=images.notes,
    )
