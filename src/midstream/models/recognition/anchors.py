"""Raw maps [1, A * (5 + C), h, w] of YOLO: of which generation they are. Shapes are alike, the arithmetic is not.

YOLOv2, v3 and v4 (Redmon and Farhadi 2016, 2018; Bochkovskiy et al. 2020) have sides exp(t) p, Ultralytics' v5 and v7
after it (2 sigmoid(t))^2 p. A name says which; so do, nearly, the activations of darknet, in which the first were
written. Anchors are in none of these graphs: they are those that the networks for COCO or VOC have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

#: Width and height in pixels, by the files *.cfg and *.yaml of these networks.
_NINE_V3 = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
_NINE_V4 = ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401))
_SIX_V3 = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
#: YOLOv4-tiny repeats its fourth anchor, and leaves out the first.
_SIX_V4 = ((23, 27), (37, 58), (81, 82), (81, 82), (135, 169), (344, 319))
#: Of YOLOv2, in cells of 32 pixels: for COCO, for VOC, and for VOC of the small one.
_FIVE = {
    "coco": ((0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434), (7.88282, 3.52778), (9.77052, 9.16828)),
    "voc": ((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071)),
    "tiny voc": ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52)),
}
_VOC, _OF_TINY = 20, 10
_STRIDES = (8, 16, 32, 64)
#: Anchors of a cell: of a network with several maps, and of YOLOv2.
_EACH, _EACH_V2 = 3, 5
#: darknet's slope of the leaky rectifier.
_SLOPE = 0.1
#: Logits of objectness lie below this for most cells, in every trained network.
_NOTHING_THERE = -1.0
_GENERATION = re.compile(r"yolo[_-]?v?(\d{1,2})(?!\d)")
#: Those with anchors; others have maps of other numbers.
_WITH_ANCHORS = {0: "", 2: "YOLOv2", 3: "YOLOv3", 4: "YOLOv4", 5: "YOLOv5", 7: "YOLOv7"}


@dataclass(frozen=True)
class Origin:
    """What a graph shows of where it comes from.

    Attributes:
        generation: of YOLO, that a name says; 0 where none does.
        leaky, mish: whether it has these activations.
        convolutions: how many there are.
        splits: whether half of a map's channels goes its own way (cross stage partial networks).
    """

    generation: int = 0
    leaky: bool = False
    mish: bool = False
    convolutions: int = 0
    splits: bool = False


def origin_of(model: onnx.ModelProto, name: str = "") -> Origin:
    """Look at a graph; `name` is its file's."""
    graph = model.graph
    said = [name, graph.name, graph.doc_string, model.producer_name, model.doc_string]
    said += [value.name for value in [*graph.input, *graph.output]]
    said += [text for entry in model.metadata_props for text in (entry.key, entry.value[:1000])]
    found = next((each for text in said if (each := _GENERATION.search(text.lower()))), None)
    kinds = [node.op_type for node in graph.node]
    slopes = [a.f for node in graph.node if node.op_type == "LeakyRelu" for a in node.attribute if a.name == "alpha"]
    return Origin(
        int(found[1]) if found else 0,
        any(abs(slope - _SLOPE) < _SLOPE / 10 for slope in slopes),
        "Mish" in kinds or ("Softplus" in kinds and "Tanh" in kinds),
        kinds.count("Conv"),
        "Split" in kinds or "Slice" in kinds,
    )


@dataclass(frozen=True)
class Maps:
    """Raw maps of YOLO.

    Attributes:
        tables: the description's [head] without thresholds, the likeliest first; more than one where nothing decides.
        classes: how many there are.
        whose: the generation in words.
        why: what says so; "" where nothing does.
        sure: whether a name says it, or values that are no logits any more.
    """

    tables: Sequence[dict[str, Any]]
    classes: int
    whose: str
    why: str
    sure: bool


def of_maps(outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], origin: Origin) -> Maps | None:
    """Outputs as maps of YOLO; None for others, and for maps for which no anchors are known.

    Args:
        outputs: of one image, by name.
        size: (height, width) of the network's input.
        origin: what the graph shows.
    """
    strides = [_stride(value.shape, size) for value in outputs.values()]
    if not strides or 0 in strides or len(set(strides)) != len(strides) or origin.generation not in _WITH_ANCHORS:
        return None
    each = _EACH if len(strides) > 1 or origin.generation > 2 else _EACH_V2
    shapes = [value.shape for value in outputs.values()]
    widths = {shape[4] if len(shape) == 5 else shape[1] / each for shape in shapes}
    width = widths.pop()
    fits = all(shape[1] == each for shape in shapes if len(shape) == 5)
    if widths or width <= 5 or width % 1 or not fits:
        return None
    classes = int(width) - 5
    chances = all(value.min(initial=0) >= 0 and value.max(initial=0) <= 1 for value in outputs.values())
    whose, why, sure = _generation(strides, origin, chances)
    plain = not (sure or origin.leaky or origin.mish)
    if not whose or (plain and not _mostly_nothing(outputs, each, int(width))):
        return None
    ordered = dict(sorted(zip(strides, outputs, strict=True)))  # the finest first, as all heads have them
    strides = list(ordered)
    table: dict[str, Any] = {"strides": strides, "maps": list(ordered.values()), "decoded": False}
    table |= {} if chances else {"sigmoid": True}
    tables = []
    for one in (whose, *([] if why or sure else ["YOLOv3"])):
        anchors = _anchors(one, strides, classes, origin)
        if anchors is not None:
            exponential = {"exponential": True} if one in ("YOLOv2", "YOLOv3", "YOLOv4") else {}
            exponential |= {"softmax": True} if one == "YOLOv2" else {}
            tables.append({**table, **exponential, "anchors": anchors})
    return Maps(tables, classes, whose, why, sure) if tables else None


def _stride(shape: Sequence[int], size: tuple[int, int]) -> int:
    """Of a map, with its anchors in an axis of their own or not; 0 for what is none."""
    if len(shape) not in (4, 5) or shape[0] != 1:
        return 0
    rows, columns = shape[2:4]
    return next((s for s in _STRIDES if (rows, columns) == (-(-size[0] // s), -(-size[1] // s))), 0)


def _generation(strides: Sequence[int], origin: Origin, chances: bool) -> tuple[str, str, bool]:
    """In words, what says so, and whether that is sure; no words for a map that need not be of YOLO at all."""
    if chances and not origin.generation:  # of exp(t) nothing would be left
        return ("YOLOv5", "all numbers are chances", True) if len(strides) > 1 else ("", "", False)
    if origin.generation:
        return _WITH_ANCHORS[origin.generation], "a name says so", True
    if len(strides) == 1:
        return ("YOLOv2", "it has darknet's activations and one map", False) if origin.leaky else ("", "", False)
    if origin.mish:
        return "YOLOv4", "it has the activation Mish", False
    if origin.leaky and len(strides) == 2:
        small = "YOLOv4" if origin.splits else "YOLOv3"
        return small, "it has darknet's activations and two maps", False
    if origin.leaky and strides[0] > strides[-1]:
        return "YOLOv3", "it has darknet's activations, and the coarse map comes first", False
    if origin.leaky:
        return "YOLOv7", "", False  # its small one has them, too
    return "YOLOv5", "it has none of darknet's activations", False


def _anchors(whose: str, strides: Sequence[int], classes: int, origin: Origin) -> list[list[list[float]]] | None:
    """Of each map, [width, height] in pixels; None where none are known for so many maps."""
    if whose == "YOLOv2":
        small = "tiny voc" if origin.convolutions <= _OF_TINY else "voc"
        cells = _FIVE[small if classes == _VOC else "coco"]
        return [[[side * stride for side in anchor] for anchor in cells] for stride in strides]
    later = whose in ("YOLOv4", "YOLOv7")
    known = {2: _SIX_V4 if later else _SIX_V3, 3: _NINE_V4 if later else _NINE_V3}.get(len(strides))
    if known is None or (len(strides) == 2 and whose in ("YOLOv5", "YOLOv7")):
        return None
    return [[list(map(float, known[_EACH * at + i])) for i in range(_EACH)] for at in range(len(strides))]


def _mostly_nothing(outputs: Mapping[str, NDArray[Any]], each: int, width: int) -> bool:
    """Whether what would be objectness says of most cells that nothing is there, which no map of features does."""
    medians = []
    for value in outputs.values():
        shaped = value.reshape(each, -1, width).swapaxes(1, 2) if value.ndim == 5 else value.reshape(each, width, -1)
        medians.append(np.median(shaped[:, :5], axis=2))
    box, objectness = np.split(np.concatenate(medians), [4], axis=1)
    return bool((objectness < _NOTHING_THERE).all() and (objectness < box - 1).all())
