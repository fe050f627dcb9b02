"""Outputs that cannot be what a description says are found when the network is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tests.helpers import toy

from midstream import models
from midstream.errors import InputError
from midstream.models.description import PyramidLevel, parse_description
from midstream.models.detector_heads import GflHead, RcnnHead, YoloxHead
from midstream.models.plausible import check_levels, check_outputs, natural_image, try_out

SIZE = (64, 96)
HEAD = YoloxHead(kind="yolox", strides=(8, 16), score_threshold=0.1, nms_iou=0.6)
CELLS = 8 * 12 + 4 * 6
#: The centres of all cells in pixels, as a decoded output has them.
CENTRES = np.concatenate([(np.indices((64 // s, 96 // s)).reshape(2, -1).T[:, ::-1] + 0.5) * s for s in (8, 16)])


def rows(decoded: bool = False, chance: float = 0.9) -> NDArray[np.float32]:
    """An output of a yolox head with two classes, which is sure of every third cell."""
    rng = np.random.default_rng(0)
    value = np.zeros((1, CELLS, 5 + 2), np.float32)
    value[0, :, :2] = CENTRES if decoded else rng.normal(size=(CELLS, 2))
    value[0, :, 2:4] = rng.uniform(20, 60, (CELLS, 2)) if decoded else rng.normal(size=(CELLS, 2))
    value[0, ::3, 4:] = np.sqrt(chance)
    return value


def written(folder: Path, decoded: bool, head: str = "") -> Path:
    """A toy with a yolox head and its description, which says `head` of it."""
    network = onnx.load(str(toy.write_yolox(folder / "toy.onnx")))
    onnx.save(toy.decode_boxes(network, toy.SIDE) if decoded else network, str(folder / "toy.onnx"))
    text = toy.DESCRIPTION.partition("[head]")[0] + toy.YOLOX_HEAD + head
    (folder / "toy.toml").write_text(text)
    return folder / "toy.toml"


@pytest.mark.parametrize("decoded", [False, True])
def test_decoded_and_undecoded_boxes_are_the_same_boxes(decoded: bool, tmp_path: Path) -> None:
    pixels = natural_image(40, 30)
    plain = models.load(str(written(tmp_path, decoded=False)))
    expected = plain.back(plain.front(pixels), (40, 30))
    network = models.load(str(written(tmp_path, decoded, f"decoded = {str(decoded).lower()}\n")))
    found = network.back(network.front(pixels), (40, 30))
    assert len(found) > 3
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize(
    ("decoded", "head", "message"),
    [
        (True, "", r"of the \d+ best boxes \d+ lie outside .*: `decoded = true` is missing"),
        (False, "decoded = true\n", "the outputs do not fit the head 'yolox': .*take `decoded = true` out"),
    ],
)
def test_the_wrong_reading_of_boxes_is_named_with_the_right_one(
    decoded: bool, head: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        models.load(str(written(tmp_path, decoded, head)))


def test_boxes_that_are_none_in_either_reading_are_refused_without_advice() -> None:
    value = rows()
    value[..., :4] = 1e5
    with pytest.raises(InputError, match=r"of the 40 best boxes 40 lie .* or are more than 4 times its size$"):
        check_outputs(HEAD, {"o": value}, SIZE, 2)


def test_boxes_of_one_class_that_swallow_each_other_count_each() -> None:
    value = rows(decoded=True)[..., :6]
    with pytest.raises(InputError, match=r"of the 40 best boxes 40 lie .*`decoded = true` is missing"):
        check_outputs(HEAD, {"o": value}, SIZE, 1)


def test_good_outputs_prove_the_description_and_nothing_confident_proves_nothing() -> None:
    assert check_outputs(HEAD, {"o": rows()}, SIZE, 2)
    assert not check_outputs(HEAD, {"o": rows(chance=0.01)}, SIZE, 2)
    assert not check_outputs(HEAD, {"o": rows(decoded=True, chance=0.01)}, SIZE, 2)
    decoded = HEAD.model_copy(update={"decoded": True})
    assert check_outputs(decoded, {"o": rows(decoded=True)}, SIZE, 2)
    with pytest.raises(InputError, match=r"the centres of all boxes lie within .* take `decoded = true` out"):
        check_outputs(decoded, {"o": rows(chance=0.01)}, SIZE, 2)


@pytest.mark.parametrize(
    ("scores", "sigmoid", "message"),
    [
        (np.linspace(-8, 3, 4), False, "scores lie between -8 and 3, .*is `sigmoid = true` missing"),
        (np.linspace(0, 1, 4), True, "all scores lie between 0.5 and 0.731, .*take `sigmoid = true` out"),
        (np.array([0.1, np.nan, 0.2, 0.3]), False, "not finite"),
    ],
)
def test_scores_that_are_no_chances(scores: NDArray[Any], sigmoid: bool, message: str) -> None:
    head = GflHead(kind="gfl", strides=(8,), bins=2, score_threshold=0.1, nms_iou=0.5, sigmoid=sigmoid)
    outputs = {"s": scores.astype(np.float32).reshape(1, 4, 1), "b": np.zeros((1, 4, 8), np.float32)}
    with pytest.raises(InputError, match=message):
        check_outputs(head, outputs, (16, 16), 1)


def test_fractions_of_a_image_are_no_pixels() -> None:
    corners = np.random.default_rng(0).uniform(0, 0.5, (50, 2)).astype(np.float32)
    proposals = np.concatenate([corners, corners + 0.3], axis=1)
    outputs = {
        "boxes": proposals[:5], "scores": np.full(5, 0.9, np.float32), "labels": np.ones(5, np.int64),
        "masks": np.zeros((5, 1, 28, 28), np.float32), "proposals": proposals, "objectness": np.full(50, 0.5),
    }  # fmt: skip
    with pytest.raises(
        InputError, match=r"the outputs do not fit the head 'rcnn': the centres of all boxes lie within"
    ):
        check_outputs(RcnnHead(kind="rcnn"), outputs, SIZE, 8)
    scaled = {name: values * 80 if name in ("boxes", "proposals") else values for name, values in outputs.items()}
    assert check_outputs(RcnnHead(kind="rcnn"), scaled, SIZE, 8)


def test_a_network_that_was_sure_of_nothing_is_looked_at_again_with_real_images(tmp_path: Path) -> None:
    """A bias on the objectness that only dark images overcome: the images that come first decide."""
    path = written(tmp_path, decoded=True)
    network = onnx.load(str(tmp_path / "toy.onnx"))
    darkness = [
        helper.make_node("ReduceMax", ["coarse"], ["brightest"], keepdims=0),
        helper.make_node("Less", ["brightest", "limit"], ["dark"]),
        helper.make_node("Cast", ["dark"], ["factor"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["chances", "factor"], ["seen"]),
    ]
    at = next(i for i, node in enumerate(network.graph.node) if "chances" in node.output) + 1
    for number, node in enumerate(darkness):
        network.graph.node.insert(at + number, node)
    network.graph.initializer.append(numpy_helper.from_array(np.float32(1e-3), "limit"))
    network.graph.node[at + len(darkness)].input[1] = "seen"
    onnx.save(network, str(tmp_path / "toy.onnx"))
    loaded = models.load(str(path))
    with pytest.raises(InputError, match="`decoded = true` is missing"):
        loaded.front(np.full((32, 32, 3), 128, np.uint8))


def test_a_network_without_a_description_is_tried_out_too(tmp_path: Path) -> None:
    class Broken:
        """The toy with labels beyond its classes."""

        def __init__(self, network: Any) -> None:
            for name in ("name", "task", "input_size", "front", "back"):
                setattr(self, name, getattr(network, name))
            self.classes = network.classes[:1]

    with pytest.raises(InputError, match="toy: a label is not one of the 1 classes"):
        try_out(Broken(models.load(str(toy.write_toy(tmp_path)))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("levels", "strides", "message"),
    [
        (
            (8, 16),
            [16, 8],
            r"strides \[16, 8\] are those of the pyramid in another order: write strides = \[8, 16\], or",
        ),
        ((16, 8), [8, 16], r"in another order: write strides = \[16, 8\], or list the pyramid's levels"),
        ((8, 16), [32, 16, 8], r"\[32, 16, 8\] are not in ascending order: write strides = \[8, 16, 32\]$"),
        ((8, 16), [8, 16], ""),
        ((16, 8), [16, 8], ""),
        ((8, 16), [8, 16, 32], ""),
        ((8, 8), [8], ""),
    ],
)
def test_the_strides_of_a_yolox_head_are_in_order(levels: tuple[int, int], strides: list[int], message: str) -> None:
    text = toy.DESCRIPTION.partition("[head]")[0] + toy.YOLOX_HEAD.replace("[8, 16]", str(strides))
    text = text.replace("stride = 8\n", "stride = A\n").replace("stride = 16\n", "stride = B\n")
    text = text.replace("= A\n", f"= {levels[0]}\n").replace("= B\n", f"= {levels[1]}\n")
    if not message:
        parse_description(text, "x.toml")
        return
    with pytest.raises(InputError, match=message):
        parse_description(text, "x.toml")


@pytest.mark.parametrize(("old", "new", "cells"), [(8, 4, "8 x 8"), (16, 32, "1 x 1"), (16, 8, "4 x 4")])
def test_a_level_of_another_stride_is_named_with_its_shape(old: int, new: int, cells: str, tmp_path: Path) -> None:
    path = toy.write_toy(tmp_path)
    path.write_text(path.read_text().replace(f"stride = {old}\n", f"stride = {new}\n"))
    name, side = {8: ("p3", 4), 16: ("p4", 2)}[old]
    expected = rf"level '{name}' has shape \[5, {side}, {side}\], .* its stride of {new} has {cells} cells"
    with pytest.raises(InputError, match=expected):
        models.load(str(path))


@pytest.mark.parametrize("shape", [(24, 38, 50), (38, 50, 24), (24, 35, 47), (1900, 24)])
def test_maps_of_either_layout_without_padding_and_tokens_are_let_through(shape: tuple[int, ...]) -> None:
    level = PyramidLevel(name="p3", tensor="t", stride=8)
    check_levels([level], {"p3": np.zeros(shape, np.float32)}, (299, 399))
