"""What networks are given: constants beside the image, grey, channels last, halves, integers, any size, no image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midstream.errors import InputError
from midstream.models.base import Image
from midstream.models.description import parse_description
from midstream.models.input_description import Input
from midstream.models.onnx_model import OnnxModel
from midstream.models.preprocess import to_tensor
from midstream.models.recognition.draft import draft

HEAD = '[head]\nkind = "yolov8"\nscore_threshold = 0.1\nnms_iou = 0.5'
#: Of the network's output: centre, sides and a score.
BOX = 5


def network(
    path: Path,
    shape: list[Any],
    kind: int = TensorProto.FLOAT,
    layout: str = "NCHW",
    scaled: str = "",
    quantised: bool = False,
    chance: float = 1.0,
) -> Path:
    """Input `x`; `feature` [1, 5, h / 8, w / 8]; output [1, 5, n], a box a cell, times an input `scaled`."""
    channels = shape[3] if layout == "NHWC" else shape[1]
    weight = np.full((BOX, channels, 8, 8), 1 / (64 * channels), np.float32)
    weight[-1] *= chance
    weights = [
        numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([1, BOX, -1], np.int64), "rows"),
        numpy_helper.from_array(np.float32(0.5), "step"), numpy_helper.from_array(np.int8(0), "zero"),
    ]  # fmt: skip
    nodes = [helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT)]
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2]))
    source = "first" if layout == "NHWC" else "float"
    nodes.append(helper.make_node("Conv", [source, "w"], ["feature"], strides=[8, 8]))
    if quantised:
        nodes.append(helper.make_node("QuantizeLinear", ["feature", "step", "zero"], ["whole"]))
        nodes.append(helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["again"]))
    last = "again" if quantised else "feature"
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    if scaled:
        inputs.append(helper.make_tensor_value_info(scaled, TensorProto.INT64, ["n", 2]))
        nodes.append(helper.make_node("Cast", [scaled], ["sides"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("ReduceSum", ["sides"], ["sum"], keepdims=0))
        nodes.append(helper.make_node("Mul", [last, "sum"], ["larger"]))
        last = "larger"
    nodes.append(helper.make_node("Reshape", [last, "rows"], ["y"]))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, BOX, None])
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def load(path: Path, about: str, tensor: str = "feature", after: str = "") -> OnnxModel:
    text = (
        f'name = "t"\nclasses = ["a"]\n[weights]\nfile = "t.onnx"\n[input]\n{about}\n'
        f'[[pyramid]]\nname = "p"\ntensor = "{tensor}"\nstride = 8\n{HEAD}\n{after}'
    )
    return OnnxModel(parse_description(text, "t.toml"), path)


def feature(model: OnnxModel, image: Image) -> Any:
    """A level without the look at its boxes, which are none."""
    return model._pyramid(model.resized(image), (image.shape[0], image.shape[1]))


def test_a_grey_image_is_one_channel_with_opencvs_weights(tmp_path: Path) -> None:
    model = load(
        network(tmp_path / "t.onnx", [1, 1, 16, 24]), 'size = [16, 24]\ncolor = "gray"\nscale = 0.5\nmean = [10.0]'
    )
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_allclose(feature(model, red)["p"], np.full((5, 2, 3), 0.5 * 60 - 10), rtol=1e-6)


@pytest.mark.parametrize("shape", [[1, 16, 24, 3], [1, "h", "w", "c"]])
def test_channels_last_is_seen_or_said(tmp_path: Path, shape: list[Any]) -> None:
    path = network(tmp_path / "t.onnx", [1, 16, 24, 3], layout="NHWC")
    graph = onnx.load(str(path))
    graph.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    onnx.save(graph, str(path))
    layout = "" if shape[3] == 3 else 'layout = "NHWC"'
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    cells = image.reshape(2, 8, 3, 8, 3).mean((1, 3, 4))
    np.testing.assert_allclose(feature(load(path, f"size = [16, 24]\n{layout}"), image)["p"][0], cells, rtol=1e-5)


def test_an_int8_input_takes_pixels_less_128(tmp_path: Path) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, 16, 24], TensorProto.INT8)
    image = np.full((16, 24, 3), 250, np.uint8)
    level = feature(load(path, "size = [16, 24]\nmean = [128.0]"), image)["p"]
    np.testing.assert_allclose(level, np.full((5, 2, 3), 122.0), rtol=1e-6)
    with pytest.raises(InputError, match=r"whole numbers from -128 to 127: pixels less 128 have mean = \[128.0"):
        feature(load(path, "size = [16, 24]"), image)


def test_any_size_is_a_multiple_and_has_a_longest_side() -> None:
    to = Input(size="any", multiple_of=32, longest=320)
    assert to.sides((100, 130)) == (128, 160)
    assert to.sides((1000, 1300)) == (256, 320)
    assert to.sides((1, 5000)) == (32, 320)
    assert to.at((100, 130)).size == (128, 160)
    assert to.text == "any"


def test_a_network_of_any_size_takes_each_image_at_its_own(tmp_path: Path) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, "h", "w"], chance=0.01)
    model = load(path, 'size = "any"\nmultiple_of = 8\nlongest = 64\nresize = "stretch"')
    tall, large = (40, 24, (5, 3), [15, 15, 24, 40]), (128, 64, (8, 4), [30, 30, 64, 90])
    for height, width, cells, box in (tall, large):
        image = np.full((height, width, 3), 30, np.uint8)
        pyramid = feature(model, image)
        assert pyramid["p"].shape == (5, *cells)
        assert model.input_size((height, width)) == (8 * cells[0], 8 * cells[1])
        # Centre and sides are 30 pixels of the input each.
        np.testing.assert_allclose(model.back(pyramid, (height, width)).boxes[0], box, rtol=1e-4)
        assert len(model.candidates(pyramid).boxes) == cells[0] * cells[1]


@pytest.mark.parametrize(
    ("constant", "total"), [("[[24, 16]]", 40), ('"size"', 150), ('[["width", "height"]]', 150), ("3", 6)]
)
def test_a_constant_is_numbers_or_the_images_size(tmp_path: Path, constant: str, total: int) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, 16, 24], scaled="sizes")
    model = load(path, 'name = "x"\nsize = [16, 24]', after=f"[constants]\nsizes = {constant}")
    pyramid = {"p": np.full((5, 2, 3), 0.01, np.float32)}
    boxes = model._outputs([pyramid], [(50, 100)])["y"]
    np.testing.assert_allclose(boxes, np.full((1, 5, 6), 0.01 * total), rtol=1e-5)


def test_constants_of_a_batch_are_one_for_each_image(tmp_path: Path) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, 16, 24], scaled="sizes")
    model = load(path, "size = [16, 24]", after='[constants]\nsizes = "size"')
    part = next(value for value in model._back.get_inputs() if value.name == "sizes")
    assert part.shape == ["n", 2]
    from midstream.models.constants import constants_of

    values = constants_of(model._back, model.description.constants, [(1, 2), (3, 4)])
    assert values["sizes"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ("", r"the graph has the inputs x, sizes: say in \[input\] which `name` takes the image"),
        ("[constants]\nsize = 1", "unknown input 'size'; valid: x, sizes"),
        ("[constants]\nsizes = [1, 2, 3]", r"the constant 'sizes' has shape \[1, 3\], the network expects"),
        ("[constants]\nsizes = [[1], [2, 3]]", "the constant 'sizes' is no array of int64"),
        ("[constants]\nsizes = 'large'", "'sizes' is a number, \"size\", or a list"),
        ("[constants]\nsizes = []", "'sizes' is a number, \"size\", or a list"),
        ("[constants]\nx = 1\nsizes = 1", "the graph has the inputs|which `name`|do not come from the input"),
    ],
)
def test_wrong_constants_are_named(tmp_path: Path, constants: str, message: str) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, 16, 24], scaled="sizes")

    def use() -> None:
        model = load(path, "size = [16, 24]", after=constants)
        model.back({"p": np.zeros((5, 2, 3), np.float32)}, (16, 24))

    with pytest.raises(InputError, match=message):
        use()


def test_an_input_that_is_not_mentioned_gets_a_line_to_write(tmp_path: Path) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, 16, 24], scaled="sizes")
    with pytest.raises(InputError, match=r"the description nothing about sizes: .* \[constants\], such as sizes = 0"):
        load(path, 'name = "x"\nsize = [16, 24]')


def test_a_cut_at_integers_names_the_floats_beside_them(tmp_path: Path) -> None:
    path = network(tmp_path / "t.onnx", [1, 3, 16, 24], quantised=True)
    with pytest.raises(InputError, match=r"'whole' is a tensor\(int8\), .*: cut at 'again' beside it, which is float"):
        load(path, "size = [16, 24]", tensor="whole")
    assert feature(load(path, "size = [16, 24]", tensor="again"), np.zeros((16, 24, 3), np.uint8))["p"].shape == (
        5,
        2,
        3,
    )


def test_a_network_without_images_takes_arrays(tmp_path: Path) -> None:
    path = network(tmp_path / "t.onnx", [1, 1, 8, 64])
    model = load(path, "shape = [1, 1, 8, 64]")
    assert (model.tensor_shape, model.input_size((9, 9))) == ((1, 1, 8, 64), (8, 64))
    samples = np.full((8, 64), 2.0, np.float32)
    np.testing.assert_allclose(feature(model, samples)["p"], np.full((5, 1, 8), 2.0))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"takes arrays of shape \[1, 1, 8, 64\] \(.npy files\), not \[7, 64\]"):
        feature(model, samples[1:])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="of numbers, not of"):
        feature(model, np.full((8, 64), "a"))  # type: ignore[arg-type]


def test_an_array_is_no_image() -> None:
    with pytest.raises(InputError, match=r"takes images, \[height, width, 3\], not an array of shape \[4, 4\]"):
        to_tensor(Input(size=(4, 4)), np.zeros((4, 4), np.float32), (4, 4))


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("", r"say size = \[height, width\] for images, or shape"),
        ("size = [4, 4]\nshape = [1, 4]", "say size"),
        ("shape = [1, 4]\nscale = 2.0", "scale: for images, which have a size and no shape"),
        ("shape = [16384, 16384]", "more than 33,554,432 elements"),
        ("size = [4, 4]\nlongest = 64", 'multiple_of and longest are for size = "any"'),
        ('size = "any"\nlongest = 16', "longest = 16 is less than multiple_of = 32"),
        ('size = "all"', "input.size.word: Input should be 'any'"),
        ('size = [4, 4]\ncolor = "gray"\nmean = [1.0, 2.0, 3.0]', "mean has 3 numbers: one number for grey"),
        ("size = [4, 4]\nstd = [1.0, 2.0]", "std has 2 numbers: one number for each of the three colours"),
    ],
)
def test_an_input_that_cannot_be_is_named(about: str, message: str) -> None:
    text = f'name = "t"\nclasses = ["a"]\n[weights]\nfile = "t.onnx"\n[input]\n{about}\n[[pyramid]]\nname = "p"'
    with pytest.raises(InputError, match=message):
        parse_description(f'{text}\ntensor = "f"\n{HEAD}', "t.toml")


def test_what_is_not_used_does_not_change_the_hash_of_a_cut() -> None:
    plain = Input(name="x", size=(4, 4))
    keys = ["name", "size", "resize", "anchor", "pad_value", "interpolation", "color", "scale", "mean", "std"]
    assert list(plain.model_dump()) == keys
    assert list(Input(size="any", longest=640).model_dump()) == [*keys, "longest"]


def embedding(path: Path, kind: int) -> Path:
    """Input `ids` [1, 6] of whole numbers; features [1, 6, 4] of 50,000 rows, twice times one; output their mean."""
    table = np.arange(200_000, dtype=np.float32).reshape(50_000, 4)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "one"], ["once"]),
        helper.make_node("MatMul", ["once", "one"], ["twice"]),
        helper.make_node("ReduceMean", ["twice"], ["y"], axes=[1], keepdims=0),
    ]
    weights = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.eye(4, dtype=np.float32), "one")]
    inputs = [helper.make_tensor_value_info("ids", kind, [1, 6])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_a_network_of_tokens_takes_their_ids(tmp_path: Path, kind: int) -> None:
    drafted = draft(embedding(tmp_path / "t.onnx", kind))
    assert (drafted.description.input.shape, drafted.description.pyramid[0].axes) == ((1, 6), "1TC")
    model = drafted.model()
    ids = np.array([[0, 1, 49_999, 7, 8, 9]])
    pyramid = model.front(ids)  # type: ignore[arg-type]
    level = next(iter(pyramid.values()))
    np.testing.assert_array_equal(level.reshape(4, 6)[0], 4.0 * ids[0])
    with pytest.raises(InputError, match=r"takes whole numbers from -"):
        model.front(ids + 0.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"go to 16,777,216 \(2\^24\) at most, not to 16777217"):
        model.front(np.full((1, 6), 2**24 + 1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not run"):
        model.front(ids + 2)  # type: ignore[arg-type]


def test_one_number_for_all_channels() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    alike, each = (Input(size=(2, 3), scale=0.5, mean=(3.0,) * n, std=(2.0,) * n) for n in (1, 3))
    np.testing.assert_array_equal(to_tensor(alike, image, (2, 3)), to_tensor(each, image, (2, 3)))
