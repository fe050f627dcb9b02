"""Files of networks that are not ONNX: what each is, and how an ONNX file is made of it."""

from __future__ import annotations

from pathlib import Path

from midstream.errors import InputError

_ORIGIN = "export ONNX from the framework that the network comes from"
_TORCH = (
    "export it with torch.onnx.export, or with its maker's own command (yolo export model=FILE format=onnx); "
    "in Python a torch network is split without a file by midstream.models.TorchSplit"
)
_EXPORTED = (
    "in Python it is split as any torch module: midstream.split(torch.export.unflatten(torch.export.load(FILE)), ...); "
    "or export it with torch.onnx.export"
)
#: By ending: what it is, and what to do.
_KINDS = {
    ".tflite": ("a TFLite network", "convert it with tf2onnx: python -m tf2onnx.convert --tflite FILE --output X.onnx"),
    ".pb": ("a TensorFlow graph", "convert it with tf2onnx: python -m tf2onnx.convert --saved-model FOLDER"),
    ".h5": ("a Keras network", "convert it with tf2onnx: tf2onnx.convert.from_keras(model)"),
    ".keras": ("a Keras network", "convert it with tf2onnx: tf2onnx.convert.from_keras(model)"),
    ".xml": ("an OpenVINO IR", f"it has no way back to ONNX: {_ORIGIN}"),
    ".bin": ("weights of an OpenVINO IR or another format", _ORIGIN),
    ".pt": ("a torch network", _TORCH),
    ".pth": ("a torch network", _TORCH),
    ".pt2": ("a torch ExportedProgram", _EXPORTED),
    ".torchscript": ("a torch network", _TORCH),
    ".safetensors": ("weights without a graph", _TORCH),
    ".engine": ("a TensorRT engine, which is for one GPU", "take the ONNX file that it was built from"),
    ".plan": ("a TensorRT engine, which is for one GPU", "take the ONNX file that it was built from"),
    ".trt": ("a TensorRT engine, which is for one GPU", "take the ONNX file that it was built from"),
    ".ort": ("ONNX Runtime's own format", "take the ONNX file that it was made from"),
    ".mlmodel": ("a Core ML network", _ORIGIN),
    ".mlpackage": ("a Core ML network", _ORIGIN),
    ".pdmodel": ("a Paddle network", "convert it with paddle2onnx: paddle2onnx --model_dir FOLDER --save_file X.onnx"),
    ".caffemodel": ("a Caffe network", _ORIGIN),
    ".param": ("an ncnn network", _ORIGIN),
    ".mnn": ("an MNN network", _ORIGIN),
    ".rknn": ("a Rockchip network, which is for one chip", "take the ONNX file that it was made from"),
    ".hef": ("a Hailo network, which is for one chip", "take the ONNX file that it was made from"),
}
#: Of the first bytes of a file, whatever it is called: (from where, what, ending).
_MAGIC = ((4, b"TFL3", ".tflite"), (0, b"PK\x03\x04", ".pt"), (0, b"\x89HDF", ".h5"), (4, b"ORTM", ".ort"))
_HEAD = 8


def other_format(path: Path) -> InputError | None:
    """The error for a file that is of another format by its ending or its first bytes; None for any other."""
    ending = path.suffix.lower()
    if ending not in _KINDS:
        ending = _by_content(path)
    if not ending:
        return None
    what, advice = _KINDS[ending]
    return InputError(f"{path}: {what}, not ONNX: {advice}")


def _by_content(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return next((ending for start, magic, ending in _MAGIC if head[start:].startswith(magic)), "")
