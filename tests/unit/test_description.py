"""What is wrong with a description, in words that say what to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.helpers import toy

from midstream import models
from midstream.errors import InputError
from midstream.models.description import PyramidLevel, parse_description, read_description


def test_weights_are_found_from_the_description_whatever_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    toy.write_gfl(tmp_path / "a" / "toy.onnx")
    for file in ("../a/toy.onnx", str(tmp_path / "a" / "toy.onnx")):
        (tmp_path / "b" / "x.toml").write_text(toy.DESCRIPTION.replace("toy.onnx", file))
        assert models.load(str(tmp_path / "b" / "x.toml")).name == "toy"
    (tmp_path / "b" / "x.toml").write_text(toy.DESCRIPTION.replace("toy.onnx", "../c/toy.onnx"))
    with pytest.raises(InputError, match=r"looked for .*b/\.\./c/toy\.onnx, .*; give it with --weights FILE"):
        models.load(str(tmp_path / "b" / "x.toml"))


@pytest.mark.parametrize(("old", "new"), [("[32, 32]", "[16384, 16384]"), ('"p4"', '"p3"')])
def test_what_the_rules_say_stands_alone(old: str, new: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_description(toy.DESCRIPTION.replace(old, new), "x.toml")
    assert "Value error" not in str(caught.value)


def test_a_description_in_another_encoding_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(toy.DESCRIPTION, "utf-16")
    with pytest.raises(InputError, match=r"toy.toml: not UTF-8: save it as such$"):
        read_description(path)


def test_a_description_that_may_not_be_read_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    path = tmp_path / "toy.toml"
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be read: Permission denied$"):
        read_description(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bins = 4", "bins = 8", "output 'boxes_fine' has shape"),
        ("stride = 8\n", "stride = 4\n", "level 'p3' has shape"),
        ("[head]", "[head]\nscores = ['a', 'b']\nboxes = ['c', 'd']", "unknown output 'a'"),
        ('"fine"', '"finest"', "unknown tensor 'finest'"),
    ],
)
def test_what_does_not_fit_names_the_network(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = toy.write_toy(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=f"toy.onnx: {message}"):
        models.load(str(path))


def test_levels_in_words_have_strides_or_tokens_where_there_are_any() -> None:
    levels = [
        PyramidLevel(name="p3", tensor="a", stride=8),
        PyramidLevel(name="f1", tensor="b", axes="1NC", grid=(14, 14), extra=1),
        PyramidLevel(name="v", tensor="c", axes="1C"),
    ]
    assert [level.text for level in levels] == ["p3/8", "f1 [197 tokens]", "v"]


@pytest.mark.parametrize(
    ("head", "field"),
    [
        ('kind = "classification"\nsoftmax = "yes"', "softmax"),
        ('kind = "classification"\nsoftmax = 1', "softmax"),
        ('kind = "segmentation"\nchannels_last = "true"', "channels_last"),
        ('kind = "yolov5"\nstrides = [8, 16]\nscore_threshold = 0.1\nnms_iou = 0.5\ndecoded = 0', "decoded"),
        ('kind = "end2end"\nnormalised = "no"', "normalised"),
    ],
)
def test_what_is_true_or_false_is_no_text_and_no_number(head: str, field: str) -> None:
    text = toy.DESCRIPTION[: toy.DESCRIPTION.index("[head]")] + f"[head]\n{head}\n"
    with pytest.raises(InputError, match=rf"x\.toml: head\..*{field}: Input should be a valid boolean$"):
        parse_description(text, "x.toml")


@pytest.mark.parametrize("axes", ["XYZ", "NC", "1CC", "1NT", "1GNC", "", "1"])
def test_axes_that_no_tensor_has_say_how_they_are_written(axes: str) -> None:
    text = toy.DESCRIPTION.replace("stride = 8\n", f'axes = "{axes}"\n')
    with pytest.raises(
        InputError, match=rf"pyramid\.0: axes '{axes}': 1 for the batch first, one C, .* such as \"1NC\""
    ):
        parse_description(text, "x.toml")
