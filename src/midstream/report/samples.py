"""Images for the report: detections with and without coding, feature maps, symbols."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.codec.paper.decoder import open_levels
from midstream.compare.store import PointRecord
from midstream.data import Dataset, ImageFile, read_image
from midstream.data.images import ARRAY_SUFFIX
from midstream.errors import BitstreamError, InputError, MidstreamError
from midstream.halves.levels import completed, sent
from midstream.masks import decode_mask
from midstream.metrics.agreement import REFERENCE_THRESHOLD
from midstream.models import Detections, FloatPyramid, Image, Output, SplitModel, Task
from midstream.models.tasks import task_named
from midstream.pipelines.clips import AnyPipeline, EachFrame, StreamPipeline
from midstream.pipelines.features import FeaturePipeline
from midstream.pipelines.image import ImagePipeline
from midstream.report.feature_maps import figure_3, grey_figure, symbol_figure

#: Images that are shown.
_IMAGES = 3
_LONGEST_SIDE = 960
#: Height of letters in an image of so many pixels on its longest side; larger ones have larger letters.
_LETTERS, _LETTERS_SIDE = 0.4, 600
_JPEG_QUALITY = 82
#: RGB, told apart by brightness, too: found by both networks, found only by this one.
_KEPT, _NEW = (0, 158, 115), (213, 94, 0)
_SAME_OVERLAP = 0.5


@dataclass(frozen=True)
class Exhibit:
    """An image with its caption; `data` is a URL that holds all of it."""

    caption: str
    data: str


@dataclass(frozen=True)
class Candidate:
    """A point that is shown: its label, and what it takes to run it again."""

    label: str
    pipeline: AnyPipeline
    record: PointRecord


def detection_rows(dataset: Dataset, classes: Sequence[str], points: Sequence[Candidate]) -> list[list[Exhibit]]:
    """For each of a few images, the detections of every point on it; the first point is the one to compare with.

    The images are those on which the first point finds most; of clips, two frames of each of those clips. Of arrays
    there is nothing to draw into.
    """
    if dataset.images[0].path.suffix.lower() == ARRAY_SUFFIX:
        return []
    found, task = points[0].record.outputs, task_named(points[0].record.task)
    rows = []
    for number in _chosen(dataset, found):
        image = dataset.images[number]
        pixels = read_image(image.path)
        where = "" if image.clip is None else f"{image.clip.name}, {image.time_s:.2f} s, "
        row = []
        for point in points:
            shown = drawn(pixels, task, point.record.outputs[number], found[number], classes)
            caption = f"{where}{point.label}: {point.record.sizes[number]:,} bytes"
            row.append(Exhibit(caption, _url(shown)))
        rows.append(row)
    return rows


def _chosen(dataset: Dataset, found: Sequence[Output]) -> list[int]:
    """Places of the images that are shown."""
    parts = _by_confidence(dataset, found)[:_IMAGES]
    shown = sorted(parts, key=lambda part: part.start)
    return [place for part in shown for place in dict.fromkeys((part[len(part) // 3], part[2 * len(part) // 3]))]


def _by_confidence(dataset: Dataset, found: Sequence[Output]) -> list[range]:
    """Places of the images of each part, those first in which most is found in an image."""
    parts, first = [], 0
    for part in dataset.parts:
        parts.append(range(first, first + len(part)))
        first += len(part)
    return sorted(parts, key=lambda part: -sum(_confident(found[place]) for place in part) / len(part))


def busiest_part(dataset: Dataset, found: Sequence[Output]) -> tuple[int, Sequence[ImageFile]]:
    """The clip in which most is found in a frame: the place of its first one, and all of them."""
    places = _by_confidence(dataset, found)[0]
    return places.start, dataset.images[places.start : places.stop]


def _confident(found: Output) -> int:
    return int((found.scores >= REFERENCE_THRESHOLD).sum()) if isinstance(found, Detections) else 0


def feature_rows(model: SplitModel, image: ImageFile, points: Sequence[Candidate]) -> list[Exhibit]:
    """The busiest channel of the finest level as it is and as each point decodes it, with symbols where it has them;
    for a coded image, the image as decoded."""
    pixels = read_image(image.path)
    pyramid = model.front(pixels)
    level, channel, values = _busiest(model, pyramid)
    shown = [Exhibit("", _url(grey_figure(f"{level}, channel {channel}: original", values[channel])))]
    for point in points:
        try:
            shown += _coded(model, pixels, pyramid, (level, channel), point)
        except MidstreamError as error:
            shown.append(Exhibit(f"{point.label}: {error}", ""))
    return shown


def _coded(
    model: SplitModel, pixels: Image, pyramid: FloatPyramid, at: tuple[str, int], point: Candidate
) -> list[Exhibit]:
    level, channel = at
    pipeline = _for_image(point.pipeline)
    if isinstance(pipeline, ImagePipeline):
        decoded = pipeline.codec.decode(pipeline.codec.encode(pipeline.source(model, pixels)))
        return [Exhibit(f"{point.label}: the decoded image", _url(_small(decoded)))]
    if not isinstance(pipeline, FeaturePipeline):
        return []
    data = pipeline.codec.encode_for(model, pyramid, (pixels.shape[0], pixels.shape[1]))
    received = completed(model, pipeline.codec.decode(data), list(pyramid))
    out = [Exhibit(point.label, _url(grey_figure("decoded", received[level][channel])))]
    try:
        costs = open_levels(data)[level].channel_costs(channel)
    except (BitstreamError, InputError, KeyError):  # not of the codec paper: it has no symbols to show
        return out
    return out if costs is None else [*out, Exhibit(point.label, _url(symbol_figure("", *costs)))]


def _for_image(pipeline: AnyPipeline) -> AnyPipeline:
    """What codes a clip's first frame as this pipeline does, where that needs no other frames."""
    if isinstance(pipeline, StreamPipeline):
        return FeaturePipeline(pipeline.codec)
    return pipeline.pipeline if isinstance(pipeline, EachFrame) else pipeline


def paper_figure(model: SplitModel, image: ImageFile) -> Exhibit:
    """The founding paper's Figure 3: the busiest channel of the finest level, as 4 symbols and as 3."""
    level, channel, values = _busiest(model, model.front(read_image(image.path)))
    return Exhibit("", _url(figure_3(level, values, channel)))


def _busiest(model: SplitModel, pyramid: FloatPyramid) -> tuple[str, int, NDArray[np.float32]]:
    """The finest level that is sent: its name, its channel of the largest variance, and all of it."""
    level = next(iter(sent(model, pyramid)))
    return level, int(np.argmax(pyramid[level].var(axis=(1, 2)))), pyramid[level]


def drawn(pixels: Image, task: Task[Any], found: Output, reference: Output, classes: Sequence[str]) -> Image:
    """The image with an output drawn into it; of detections, those that the reference has in another colour."""
    if isinstance(found, Detections) and isinstance(reference, Detections):
        return _detections_drawn(pixels, found, reference, classes)
    return _small(task.annotate(pixels, found, classes))


def _detections_drawn(pixels: Image, found: Detections, reference: Detections, classes: Sequence[str]) -> Image:
    """An image, made smaller if it is large, with what was found in it: boxes, classes, scores, and masks as a tint.

    What the reference found, too, is in one colour, the rest in another.
    """
    canvas = _small(pixels)
    scale = canvas.shape[1] / pixels.shape[1]
    letters = _LETTERS * max(1.0, max(canvas.shape[:2]) / _LETTERS_SIDE)
    kept = reference.scores >= REFERENCE_THRESHOLD
    for index, (box, score, label) in enumerate(zip(found.boxes, found.scores, found.labels, strict=True)):
        if score < REFERENCE_THRESHOLD:
            continue
        same = _overlaps(box, reference.boxes[kept & (reference.labels == label)])
        colour = _KEPT if (same >= _SAME_OVERLAP).any() else _NEW
        if found.masks is not None:
            _tint(canvas, decode_mask(found.masks[index]), colour)
        left, top, right, bottom = (round(float(side) * scale) for side in box)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 2, cv2.LINE_AA)
        text = f"{classes[int(label)]} {score:.2f}"
        place = (left + 2, max(top - 4, 10))
        for ink, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, letters, ink, width, cv2.LINE_AA)
    return canvas


def _tint(canvas: Image, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Half of the colour where the mask is."""
    size = (canvas.shape[1], canvas.shape[0])
    there = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    canvas[there] = canvas[there] // 2 + np.array(colour, np.uint8) // 2


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box [4] with others [n, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.clip(sides, 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return np.asarray(common / np.maximum(areas - common, 1e-9))


def _small(pixels: Image) -> Image:
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _url(pixels: Image) -> str:
    data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
