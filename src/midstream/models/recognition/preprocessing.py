"""What images are made into for networks of a kind, by its origin's own code: a guess, to be checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from midstream.models.recognition.notes import Notes

BYTE = 1 / 255
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET = {"mean": _MEAN, "std": _STD}
_IMAGENET_BGR = {"color": "BGR", "mean": _MEAN[::-1], "std": _STD[::-1]}
_LETTERBOX = {"resize": "letterbox", "anchor": "center", "pad_value": 114}
_TOP_LEFT = {"resize": "letterbox", "anchor": "top-left"}
_YOLO = {**_LETTERBOX, "scale": BYTE}
#: By kind of head: the fields of [input], and whose way it is.
_BY_HEAD: dict[str, tuple[dict[str, Any], str]] = {
    "yolov8": (_YOLO, "Ultralytics'"),
    "yolov5": (_YOLO, "YOLOv5's"),
    "end2end": (_YOLO, "Ultralytics'"),
    "yolox": ({**_TOP_LEFT, "pad_value": 114, "color": "BGR"}, "YOLOX's"),
    "gfl": (_IMAGENET_BGR, "NanoDet's"),
    "scrfd": ({**_TOP_LEFT, "pad_value": 0, "mean": (127.5,) * 3, "std": (128.0,) * 3}, "InsightFace's"),
    "yunet": ({"color": "BGR"}, "OpenCV's"),
    "retinaface": ({"color": "BGR", "mean": (104.0, 117.0, 123.0)}, "RetinaFace's"),
    "mediapipe": (
        {"resize": "letterbox", "anchor": "center", "pad_value": 0, "mean": (127.5,) * 3, "std": (127.5,) * 3},
        "MediaPipe's",
    ),
    "darknet": ({"scale": BYTE}, "darknet's"),
    "detr": ({**IMAGENET}, "DETR's"),
    "rcnn": ({"scale": BYTE}, "torchvision's"),
    "boxes": ({"scale": BYTE}, "RT-DETR's and torchvision's"),
    "faces": ({"mean": (127.0,) * 3, "std": (128.0,) * 3}, "the ultra-light face detectors'"),
}
_OTHERS = (IMAGENET, "ImageNet's")
#: In a graph's first operations: a divisor above, or a factor below, is one of pixels from 0 to 255.
_DIVISOR, _FACTOR, _PIXELS = 50.0, 0.02, 2.0
#: Nodes that move numbers and do not change them.
_SAME = ("Cast", "Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze")
_STEPS = 6


def preprocessing(
    model: onnx.ModelProto, image: str, dtype: str, channels: int, head: str, ultralytics: str
) -> tuple[dict[str, Any], Notes]:
    """The fields of [input] besides name and size, and what to say about them.

    Args:
        model: the graph.
        image: the input that takes the image.
        dtype: of the input.
        channels: of the image.
        head: the kind of head, or "faces" for boxes of faces.
        ultralytics: the task in the file's metadata; "" for a file of somebody else.
    """
    notes = Notes()
    inside = _inside(model, image)
    fields, whose = _BY_HEAD.get(head, _OTHERS)
    if ultralytics:
        fields, whose = ({"scale": BYTE} if ultralytics == "classify" else _YOLO), "Ultralytics'"
    if head == "gfl" and _is_paddle(model):
        fields, whose = IMAGENET, "PaddleDetection's"
    fields = dict(fields)
    if channels == 1:
        fields = {key: value for key, value in fields.items() if key not in ("mean", "std")}
        fields |= {"color": "gray", "scale": BYTE}
        whose = "the usual"
    if dtype == "int8":
        fields = _geometry(fields) | {"mean": (128.0,)}
        notes.recognised.append("the input is int8: pixels less 128")
    elif dtype == "uint8":
        fields = _geometry(fields)
        notes.recognised.append("the input is uint8: pixels as they are")
    elif inside == "pixels":
        fields = _geometry(fields)
        notes.recognised.append("the graph normalises pixels from 0 to 255 itself")
    elif inside == "shares":
        fields = _geometry(fields) | {"scale": BYTE}
        notes.recognised.append("the graph normalises values from 0 to 1 itself")
    text = ", ".join(f"{key} = {_short(value)}" for key, value in fields.items()) or "pixels from 0 to 255, stretched"
    sentence = f"preprocessing is {whose}: {text}"
    if ultralytics:
        notes.recognised.append(sentence)
    else:
        notes.guessed.append(f"{sentence}; check color, scale, mean, std and resize with the code that it came with")
    return fields, notes


def _geometry(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in ("scale", "mean", "std")}


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return str([round(each, 3) for each in value])
    return "1/255" if value == BYTE else str(value)


def _is_paddle(model: onnx.ModelProto) -> bool:
    return "paddle" in model.producer_name.lower() or any(
        value.name.startswith(("save_infer_model", "p2o.")) for value in model.graph.output
    )


def _inside(model: onnx.ModelProto, image: str) -> str:
    """Whether the graph's first operations take "pixels" (0 to 255) or "shares" (0 to 1); "" where nothing tells."""
    constants = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    at = image
    for _ in range(_STEPS):
        readers = [node for node in model.graph.node if at in node.input]
        if len(readers) != 1:
            return ""
        node = readers[0]
        if node.op_type in ("Div", "Mul", "Sub", "Add"):
            others = [name for name in node.input if name != at]
            if len(others) != 1 or others[0] not in constants:
                return ""
            largest = float(np.abs(onnx.numpy_helper.to_array(constants[others[0]]).astype(np.float64)).max(initial=0))
            return _told(node.op_type, largest)
        if node.op_type not in _SAME:
            return ""
        at = node.output[0]
    return ""


def _told(operation: str, largest: float) -> str:
    if operation == "Div":
        return "pixels" if largest > _DIVISOR else "shares"
    if operation == "Mul":
        return "pixels" if largest < _FACTOR else "shares"
    return "pixels" if largest > _PIXELS else "shares"
