"""Descriptions, cuts and preprocessing, on networks made here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.helpers import toy

from midstream import models
from midstream.data import cityscapes
from midstream.errors import InputError, MissingExtraError
from midstream.models.description import Input, parse_description
from midstream.models.graph import load_graph
from midstream.models.onnx_model import OnnxModel
from midstream.models.preprocess import fitted, place, to_image, to_tensor
from midstream.models.registry import descriptions


@pytest.fixture
def description(tmp_path: Path) -> Path:
    return toy.write_toy(tmp_path)


def image(height: int = 50, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_network_needs_a_toml_file_and_no_code(description: Path) -> None:
    model = models.load(str(description))
    pyramid = model.front(image())
    assert {name: level.shape for name, level in pyramid.items()} == {"p3": (5, 4, 4), "p4": (5, 2, 2)}
    found = model.back(pyramid, (50, 40))
    assert len(found) > 0
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, [0, 2]] <= 40).all()
    assert (found.boxes[:, [1, 3]] <= 50).all()
    assert model.input_size((50, 40)) == (32, 32)
    assert model.classes == toy.CLASSES
    assert repr(model) == "<network toy: detection, 3 classes (cat, dog, ...), input 32x32, cut at p3/8 p4/16>"


@pytest.mark.parametrize(
    ("bad", "was"),
    [
        (image() / np.float32(255), r"float32 \[50, 40, 3\]"),
        (image().astype(np.uint16), r"uint16 \[50, 40, 3\]"),
        (image()[:0], r"uint8 \[0, 40, 3\]"),
        (image()[..., 0], r"uint8 \[50, 40\]"),
        (np.dstack([image(), image()[..., :1]]), r"uint8 \[50, 40, 4\]"),
        (image().tolist(), "list"),
        ("image.png", "str"),
        (None, "NoneType"),
    ],
)
def test_a_front_says_what_an_image_is(description: Path, bad: Any, was: str) -> None:
    model = models.load(str(description))
    for take in (model.front, model.resized):
        with pytest.raises(InputError, match=rf"an image is a uint8 array of RGB \[height, width, 3\], not {was}"):
            take(bad)


def test_the_fingerprint_follows_all_that_the_front_depends_on(description: Path) -> None:
    first = models.load(str(description)).fingerprint
    assert models.load(str(description)).fingerprint == first
    text = description.read_text()
    description.write_text(text.replace("nms_iou = 0.6", "nms_iou = 0.5"))
    assert models.load(str(description)).fingerprint == first
    description.write_text(text.replace("64.0, 64.0, 64.0", "64.0, 64.0, 65.0"))
    assert models.load(str(description)).fingerprint != first


def test_a_level_can_be_derived(description: Path) -> None:
    extra = '[[pyramid]]\nname = "p4"\ntensor = "coarse"\nstride = 16\nderived_from = "p3"\n'
    text = description.read_text().replace('[[pyramid]]\nname = "p4"\ntensor = "coarse"\nstride = 16\n', extra)
    derived = OnnxModel(parse_description(text, "toy"), description.parent / "toy.onnx").derived
    assert derived["p4"].source == "p3"
    level = np.arange(2 * 5 * 4, dtype=np.float32).reshape(2, 5, 4)
    np.testing.assert_array_equal(derived["p4"].compute({"p3": level}), level[:, ::2, ::2])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tensor = "fine"', 'tensor = "fime"', "unknown tensor 'fime'; the nearest of .* are: fine"),
        ('tensor = "fine"', 'tensor = "image"', "'image' is an input of the graph"),
        ('tensor = "coarse"', 'tensor = "stem"', "no output needs tensor 'stem'"),
        ('name = "image"', 'name = "images"', "unknown input 'images'; valid: image"),
        ("bins = 4", "bins = 8", r"output 'boxes_fine' has shape \[1, 16, 16\], the head expects \[1, 16, 32\]"),
        ("strides = [8, 16]", "strides = [8]", "a gfl head of 1 levels has 2 outputs, the network has 4"),
        ('kind = "gfl"', 'kind = "ssd"', "head: .*'gfl', 'yolox'"),
        ("stride = 16", "stride = 0", r"pyramid.1.stride: Input should be greater than 0"),
        ("nms_iou = 0.6", "nms_iou = 0.6\nnms = 1", "nms: Extra inputs are not permitted"),
        ('name = "toy"', "name = toy", "not TOML"),
        ("std = [64.0, ", "std = [0.0, ", "input.std.0: Input should be greater than or equal to"),
        ("std = [64.0, ", "std = [1e-300, ", "input.std.0: Input should be greater than or equal to"),
        ("size = [32, 32]", "size = [2147483648, 1]", "input.size.list.0: Input should be less than or equal to 16384"),
        ("size = [32, 32]", "size = [16384, 16384]", "input: .*size 16384 x 16384 is more than 33,554,432 pixels"),
        ("size = [32, 32]", "size = [32, 32]\nscale = 1e-30", "scale 1e-30 leaves nothing of an image"),
        ("nms_iou = 0.6", "nms_iou = 0.6\ncell_offset = nan", "cell_offset: Input should be a finite number"),
        ("nms_iou = 0.6", "nms_iou = true", "nms_iou: Input should be a valid number"),
        ("bins = 4", f"bins = {'9' * 5000}", "not TOML: Exceeds the limit"),
        ("bins = 4", f"bins = {'9' * 4000}", "bins: Input should be less than or equal to 1000"),
        ("bins = 4", f"bins = 4\nx = {'[' * 20_000}{']' * 20_000}", "not a description: nested too deeply"),
        ("bins = 4", f"bins = 4\nx{'.x' * 20_000} = 1", "line 29 has more than 100 dots"),
        ("bins = 4", "bins = 4" + " " * (1 << 20), "more than 1,048,576 bytes"),
        ("classes = ['cat', 'dog', 'cow']", "classes = []", "needs `classes`"),
        ('file = "toy.onnx"', 'file = "toy\\u0000.onnx"', "weights.file: a name has no control characters"),
        ("mean = [127.5, ", "mean = [nan, ", "finite number"),
        ('file = "toy.onnx"', 'file = ""', "weights.file"),
        ("stride = 16", 'stride = 12\nderived_from = "p3"', "not a multiple"),
    ],
)
def test_a_wrong_description_is_named(description: Path, old: str, new: str, message: str) -> None:
    description.write_text(description.read_text().replace(old, new, 1))

    def use() -> None:
        model = models.load(str(description))
        model.back(model.front(image()), (50, 40))

    with pytest.raises(InputError, match=message):
        use()


def test_a_pyramid_of_another_shape_says_both(description: Path) -> None:
    model = models.load(str(description))
    pyramid = model.front(image())
    with pytest.raises(InputError, match=r"'fine' has shape \[1, 5, 4, 3\], the network expects \[1, 5, 4, 4\]"):
        model.back({**pyramid, "p3": pyramid["p3"][:, :, :3]}, (50, 40))
    with pytest.raises(InputError, match="no level 'p3'; it has p4"):
        model.back({"p4": pyramid["p4"]}, (50, 40))


def test_missing_weights_say_where_it_looked(
    description: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "toy.onnx").rename(tmp_path / "elsewhere.onnx")
    monkeypatch.setenv("MIDSTREAM_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=r"assets/models/toy.onnx.*home/.cache/midstream/models/toy.onnx.*this test"):
        models.load(str(description))
    models.load(str(description), tmp_path / "elsewhere.onnx")
    (tmp_path / "assets" / "models").mkdir(parents=True)
    (tmp_path / "elsewhere.onnx").rename(tmp_path / "assets" / "models" / "toy.onnx")
    models.load(str(description))


def test_a_network_that_does_not_run_is_one_line(description: Path) -> None:
    graph = onnx.load(str(description.parent / "toy.onnx"))
    for value in (*graph.graph.input, *graph.graph.output):
        for dim in value.type.tensor_type.shape.dim[1:]:
            dim.dim_param = "any"
    onnx.save(graph, str(description.parent / "toy.onnx"))
    description.write_text(description.read_text().replace("size = [32, 32]", "size = [64, 64]"))
    with pytest.raises(InputError, match=r"toy\.onnx: the network does not run: .*"):
        models.load(str(description))


def test_a_level_that_is_not_derived_is_found_out(description: Path) -> None:
    old = 'tensor = "coarse"\nstride = 16'
    description.write_text(description.read_text().replace(old, old + '\nderived_from = "p3"'))
    with pytest.raises(InputError, match="level 'p4' is not 'p3' subsampled by 2"):
        models.load(str(description)).front(image())


def test_a_byte_order_mark_is_no_part_of_a_description(description: Path) -> None:
    description.write_bytes(b"\xef\xbb\xbf" + description.read_bytes())
    assert models.load(str(description)).name == "toy"


def cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [source], [target], to=kind)


def in_halves(graph: onnx.GraphProto) -> None:
    """Half precision for the image and for what crosses the cut."""
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    graph.input[0].type.tensor_type.elem_type = half
    nodes = [cast("image", "image/32", single), *graph.node]
    for node in nodes[1:]:
        for index, name in enumerate(node.input):
            node.input[index] = f"{name}/32" if name in ("image", "fine", "coarse") else name
        for index, name in enumerate(node.output):
            node.output[index] = f"{name}/all" if name in ("fine", "coarse") else name
    casts = {name: [cast(f"{name}/all", name, half), cast(name, f"{name}/32", single)] for name in ("fine", "coarse")}
    del graph.node[:]
    for node in nodes:
        graph.node.extend([node, *casts.get(node.output[0].removesuffix("/all"), [])])


def as_pixels(graph: onnx.GraphProto) -> None:
    """The image as 8-bit pixels [1, height, width, 3]."""
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 32, 32, 3]))
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = "image/32" if name == "image" else name
    turned = onnx.helper.make_node("Transpose", ["image/float"], ["image/32"], perm=[0, 3, 1, 2])
    graph.node.insert(0, turned)
    graph.node.insert(0, cast("image", "image/float", onnx.TensorProto.FLOAT))


@pytest.mark.parametrize(("change", "tolerance"), [(in_halves, 0.2), (as_pixels, 0)])
def test_a_image_goes_in_as_the_network_takes_it(
    description: Path, change: Callable[[onnx.GraphProto], None], tolerance: float
) -> None:
    """Half precision, and pixels as a camera has them, find what the network in single precision finds."""
    text = description.read_text()
    plain = text if change is in_halves else text.replace("127.5", "0.0").replace("64.0", "1.0")
    description.write_text(plain)
    single = models.load(str(description))
    expected = single.back(single.front(image()), (50, 40))
    model = onnx.load(str(description.parent / "toy.onnx"))
    change(model.graph)
    onnx.save(model, str(description.parent / "toy.onnx"))
    network = models.load(str(description))
    pyramid = network.front(image())
    assert {level.dtype for level in pyramid.values()} == {np.dtype(np.float32)}
    found = network.back(pyramid, (50, 40))
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.01 if tolerance else 0)
    np.testing.assert_allclose(network.candidates(pyramid).boxes, single.candidates(pyramid).boxes, atol=tolerance)  # type: ignore[attr-defined]
    if change is as_pixels:
        description.write_text(text)
        with pytest.raises(InputError, match="takes the pixels as they are, 0 to 255: leave scale, mean and std out"):
            models.load(str(description))


def test_a_back_that_asks_for_the_images_shape_gets_that_of_the_description(description: Path) -> None:
    single = models.load(str(description))
    expected = single.back(single.front(image()), (50, 40))
    model = onnx.load(str(description.parent / "toy.onnx"))
    for side in model.graph.input[0].type.tensor_type.shape.dim:
        side.dim_param = "any"
    last = next(node for node in model.graph.node if "scores_fine" in node.output)
    last.output[0] = "scores"
    for kind, inputs, output, options in (
        ("Shape", ["image"], "sides", {}),
        ("Cast", ["sides"], "sides/32", {"to": onnx.TensorProto.FLOAT}),
        ("ReduceMin", ["sides/32"], "batch", {"keepdims": 0}),  # 1: the scores stay what they are
        ("Mul", ["scores", "batch"], "scores_fine", {}),
    ):
        model.graph.node.append(onnx.helper.make_node(kind, inputs, [output], **options))
    onnx.save(model, str(description.parent / "toy.onnx"))
    network = models.load(str(description))
    found = network.back(network.front(image()), (50, 40))
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert not network.batches  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07"])
def test_what_is_not_a_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.onnx: not a"):
        load_graph(tmp_path / "x.onnx")


def test_shipped_descriptions() -> None:
    shipped = descriptions()
    streets = shipped.pop("streets-r16")
    assert streets.weights.file == "streets-r16.onnx"
    assert dict(zip(streets.class_names, streets.class_ids or (), strict=True)) == cityscapes.CLASSES
    assert set(shipped) == {"nanodet-m-320", "picodet-s-320", "picodet-s-416", "yolox-nano-416"}
    files = {d.weights.file for d in shipped.values()}
    assert files == {"nanodet_m_320.onnx", "picodet_s_320_coco.onnx", "picodet_s_416_coco.onnx", "yolox_nano.onnx"}
    assert all(len(d.class_names) == 80 for d in shipped.values())
    assert all(dict(zip(d.class_names, d.class_ids or (), strict=True))["tv"] == 72 for d in shipped.values())
    with pytest.raises(InputError, match=r"unknown model 'resnet'; valid: nanodet-m-320, .*maskrcnn-r50-fpn"):
        models.load("resnet")


def test_a_network_knows_the_ids_of_its_data_set(description: Path) -> None:
    assert models.load(str(description)).category_ids is None
    description.write_text(description.read_text().replace("[weights]", "category_ids = [7, 3, 90]\n\n[weights]"))
    assert models.load(str(description)).category_ids == (7, 3, 90)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("[7, 3]", "category_ids are one for each of the 3 classes, all different"),
        ("[7, 3, 7]", "all different"),
        ("[7, 3, -1]", "category_ids.2: Input should be greater than or equal to 0"),
    ],
)
def test_wrong_category_ids_are_named(ids: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_description(f"category_ids = {ids}\n{toy.DESCRIPTION}", "toy")


def test_the_ids_of_coco_are_not_for_a_description_to_say() -> None:
    text = toy.DESCRIPTION.replace(f"classes = {list(toy.CLASSES)}", 'classes = "coco"\ncategory_ids = [1]')
    with pytest.raises(InputError, match="of the classes 'coco' are known: leave them out"):
        parse_description(text, "toy")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
@pytest.mark.parametrize("name", ["maskrcnn-r50-fpn", "detectron2:Cityscapes/mask_rcnn_R_50_FPN.yaml"])
def test_torch_networks_name_their_extra(name: str) -> None:
    with pytest.raises(MissingExtraError, match=r"needs the extra 'torch': pip install .*\[torch\]'"):
        models.load(name)


def test_letterbox_keeps_the_ratio_and_pads() -> None:
    for anchor, corner in (("top-left", (0, 0)), ("center", (0, 8))):
        to = Input(name="x", size=(32, 32), resize="letterbox", anchor=anchor, pad_value=7)  # type: ignore[arg-type]
        at = place(to, (64, 32))
        assert (at.height, at.width, at.top, at.left) == (32, 16, *corner)
        inner = fitted(to, np.full((64, 32, 3), 200, np.uint8))
        assert inner.shape == (32, 16, 3)
        pixels = to_tensor(to, inner, (64, 32))[0].transpose(1, 2, 0)
        inside = (pixels == 200).all(2)
        assert inside.sum() == 32 * 16
        assert (pixels[~inside] == 7).all()
        box = np.array([[corner[1], 0, corner[1] + 16, 32]], np.float32)
        np.testing.assert_allclose(to_image(box, at, (64, 32)), [[0, 0, 32, 64]])


def test_normalisation_and_colour_order() -> None:
    to = Input(name="x", size=(1, 1), color="BGR", scale=0.5, mean=(1, 2, 3), std=(2, 4, 8))
    pixel = np.array([[[10, 20, 30]]], np.uint8)  # red, green, blue
    assert to_tensor(to, pixel, (1, 1)).reshape(-1).tolist() == [(15 - 1) / 2, (10 - 2) / 4, (5 - 3) / 8]


def test_a_description_may_name_its_outputs_in_full_or_not_at_all() -> None:
    named = toy.DESCRIPTION + 'scores = ["scores_fine", "scores_coarse"]\n'
    with pytest.raises(InputError, match="one output for each stride, or none"):
        parse_description(named, "toy")
    parse_description(named + 'boxes = ["boxes_fine", "boxes_coarse"]\n', "toy")


def test_named_outputs_are_checked_before_anything_runs(tmp_path: Path) -> None:
    path = toy.write_toy(tmp_path)
    path.write_text(toy.DESCRIPTION + 'scores = ["a", "b"]\nboxes = ["boxes_fine", "boxes_coarse"]\n')
    with pytest.raises(InputError, match="unknown output 'a'; valid: scores_fine"):
        models.load(str(path))


def test_devices(description: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown device 'tpu'; valid: cpu, cuda"):
        models.load(str(description), device="tpu")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(InputError, match="pip install onnxruntime-gpu"):
        models.load(str(description), device="cuda")
    assert models.load(str(description), device="cpu").front(image())["p3"].shape == (5, 4, 4)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(InputError, match="are its driver and libraries there"), pytest.warns(UserWarning, match="CUDA"):
        models.load(str(description), device="cuda")
