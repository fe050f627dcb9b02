"""Sizes of images, maps of classes and masks, as people have them in files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.made_files import HEIGHT, WIDTH, image_file, pixels_file, text_file
from tests.helpers.pngs import exif_jpeg, palette_png

from midstream.data import load, read_image
from midstream.data.headers import fault
from midstream.data.label_maps import label_map, read_label_map
from midstream.data.reading import as_read
from midstream.data.sizes import image_size
from midstream.errors import InputError

# Sizes


@pytest.mark.parametrize("orientation", range(10))
def test_the_size_of_an_image_is_that_of_what_is_read(tmp_path: Path, orientation: int) -> None:
    for name, data in (
        ("a.jpg", exif_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8), orientation)),
        ("b.png", palette_png(np.zeros((HEIGHT, WIDTH), np.uint8), 8, orientation)),
    ):
        path = text_file(tmp_path / name, data)
        assert image_size(path) == read_image(path).shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_the_size_of_an_image_of_every_format(tmp_path: Path, suffix: str) -> None:
    assert image_size(image_file(tmp_path / f"a{suffix}", (5, 3))) == (5, 3)
    text_file(tmp_path / f"b{suffix}", b"no image")
    assert image_size(tmp_path / f"b{suffix}") is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200))
def test_no_bytes_give_a_size_or_a_label_map_that_is_not_there(tmp_path_factory, junk: bytes, place: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    for data in (exif_jpeg(np.zeros((4, 7, 3), np.uint8), 6), palette_png(np.zeros((4, 7), np.uint8), 4)):
        path = text_file(folder / "junk.png", data[:place] + junk + data[place + len(junk) :])
        try:
            expected = read_image(path).shape[:2]
        except InputError:
            continue
        assert image_size(path) in (expected, expected[::-1])  # the latter: EXIF data that is damaged
        if fault(path.read_bytes()) is None:
            with contextlib.suppress(InputError):
                assert read_label_map(path).size == expected[0] * expected[1]


# Maps of classes


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_a_map_is_the_indices_of_a_palette(tmp_path_factory, bits: int, height: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, (height, width)).astype(np.uint8)
    path = text_file(tmp_path_factory.getbasetemp() / "map.png", palette_png(values, bits))
    np.testing.assert_array_equal(read_label_map(path), values)


def test_maps_of_other_forms(tmp_path: Path) -> None:
    values = np.arange(48, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    for suffix in (".png", ".bmp", ".tif"):
        np.testing.assert_array_equal(read_label_map(pixels_file(tmp_path / f"grey{suffix}", values)), values)
    deep = values.astype(np.uint16) * 1000
    assert read_label_map(pixels_file(tmp_path / "deep.png", deep)).dtype == np.uint16
    np.testing.assert_array_equal(read_label_map(tmp_path / "deep.png"), deep)
    np.testing.assert_array_equal(read_label_map(pixels_file(tmp_path / "same.png", np.dstack([values] * 3))), values)
    colour = np.dstack([values, values, values + 1])
    with pytest.raises(InputError, match=r"colour\.png is no map of classes: it is a colour image"):
        read_label_map(pixels_file(tmp_path / "colour.png", colour))


def test_a_map_of_segments_in_colours(tmp_path: Path) -> None:
    """As COCO's panoptic format: red + 256 green + 65536 blue."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[1, 0] = (1, 0, 2), (0, 3, 4), (9, 9, 9)
    file = str(pixels_file(tmp_path / "panoptic.png", pixels))
    found = label_map({"file_name": file, "values": {2 + 65536: 7, 4 + 256 * 3: 80}})
    assert found.tolist() == [[7, 80], [255, 255]]


def _masks(root: Path, values: list[list[int]]) -> str:
    for number, row in enumerate(values):
        image_file(root / "images" / f"{number}.jpg", (1, len(row)))
        text_file(root / "masks" / f"{number}.png", palette_png(np.array([row], np.uint8), 8))
    return f"masks:{root / 'images'},{root / 'masks'}"


def test_masks(tmp_path: Path) -> None:
    spec = _masks(tmp_path, [[0, 3], [255, 1]])
    image_file(tmp_path / "images" / "bare.jpg")
    dataset = load(spec)
    assert dataset.labels == "segmentation"
    assert dataset.notes == ("1 of 3 images have no mask and are left out: bare.jpg, ...",)
    assert [category["name"] for category in dataset.ground_truth["categories"]] == ["0", "1", "2", "3"]
    maps = [label_map(each).tolist() for each in dataset.ground_truth["annotations"]]
    assert maps == [[[0, 3]], [[255, 1]]]
    assert [(i["height"], i["width"]) for i in dataset.ground_truth["images"]] == [(1, 2), (1, 2)]
    first = load(spec, 1)
    assert [each["image_id"] for each in first.ground_truth["annotations"]] == [1]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("road\n\nwide car\n", {0: "road", 1: "wide car"}),
        ("\ufeffroad\r\ncar\r\n", {0: "road", 1: "car"}),
        ("1: person\n0: unlabeled\n255: void", {0: "unlabeled", 1: "person"}),
        ("a: b\n1: c", {0: "a: b", 1: "1: c"}),
        ("3 legged stool\nroad\n7: up", {0: "3 legged stool", 1: "road", 2: "7: up"}),
    ],
)
def test_names_of_classes(tmp_path: Path, text: str, names: dict[int, str]) -> None:
    dataset = load(f"{_masks(tmp_path, [[0, 1]])},{text_file(tmp_path / 'classes.txt', text)}")
    assert {c["id"]: c["name"] for c in dataset.ground_truth["categories"]} == names


def test_black_and_white_masks_are_one_class(tmp_path: Path) -> None:
    dataset = load(_masks(tmp_path, [[0, 255], [255, 255]]))
    assert dataset.notes == ("the masks hold 0 and 255 alone: 255 counts as class 1, not as unlabelled",)
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["0", "1"]
    assert label_map(dataset.ground_truth["annotations"][0]).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "classes.txt lists no class"),
        ("1: a\n1: b", "line 2: the value 1 is listed twice"),
        ("300: a", "the value 300 is too large"),
        ("a\0b", "line 1 is no text: it has a NUL"),
        (b"\xff\xfe\xfd", "is no text in UTF-8"),
        ("x" * 70_000, "line 1 is too long"),
    ],
)
def test_unusable_names_of_classes(tmp_path: Path, text: str | bytes, message: str) -> None:
    spec = f"{_masks(tmp_path, [[0, 1]])},{text_file(tmp_path / 'classes.txt', text)}"
    with pytest.raises(InputError, match=message) as error:
        load(spec)
    assert "\n" not in str(error.value)


def test_unusable_masks(tmp_path: Path) -> None:
    spec = _masks(tmp_path, [[0, 1]])
    with pytest.raises(InputError, match="there is no list of classes"):
        load(spec + ",/none.txt")
    with pytest.raises(InputError, match="is not what this kind of data set needs: masks:IMAGES_DIR,MASKS_DIR"):
        load(f"masks:{tmp_path}")
    with pytest.raises(InputError, match="there is no folder of masks"):
        load(f"masks:{tmp_path / 'images'},{tmp_path / 'none'}")
    with pytest.raises(InputError, match=r"no image in .* has a mask of its name"):
        load(f"masks:{tmp_path / 'images'},{tmp_path}")
    pixels_file(tmp_path / "masks" / "0.png", np.full((1, 2), 999, np.uint16))
    with pytest.raises(InputError, match="values up to 999"):
        load(spec)


@pytest.mark.parametrize("line", ["1000: c", "-1: c", "x: c", "2:", "c"])
def test_a_value_that_is_none_among_others_is_named(tmp_path: Path, line: str) -> None:
    text_file(tmp_path / "classes.txt", f"0: a\n1: b\n{line}\n3: d\n")
    with pytest.raises(InputError, match=r"classes\.txt, line 3: .* is no 'VALUE: NAME' \(0 to 255\)"):
        load(f"{_masks(tmp_path, [[0, 1]])},{tmp_path / 'classes.txt'}")


def _named_masks(root: Path, images: list[str], masks: list[str]) -> list[tuple[str, str]]:
    """Names of images and masks as they come to pairs."""
    for name in images:
        image_file(root / name, (1, 2))
    for name in masks:
        text_file(root / name, palette_png(np.array([[0, 1]], np.uint8), 8))
    folders = [f"{root / Path(names[0]).parent}" for names in (images, masks)]
    dataset = load("masks:" + ",".join(folders))
    maps = {a["image_id"]: Path(a["file_name"]).name for a in dataset.ground_truth["annotations"]}
    return [(image.path.name, maps[image.id]) for image in dataset.images]


@pytest.mark.parametrize(("images", "masks"), [("i", "m"), ("d", "d")])
@pytest.mark.parametrize("ending", ["_mask", "-seg", ".labels", "_L", " (mask)"])
def test_masks_with_an_ending(tmp_path: Path, images: str, masks: str, ending: str) -> None:
    names = ["a", "b_2"]
    found = _named_masks(
        tmp_path, [f"{images}/{name}.jpg" for name in names], [f"{masks}/{name}{ending}.png" for name in names]
    )
    assert found == [(f"{name}.jpg", f"{name}{ending}.png") for name in names]
    assert load(f"masks:{tmp_path / images},{tmp_path / masks}").notes == (f"masks are the files NAME{ending}.*",)


def test_masks_beside_images_of_the_same_format_or_name(tmp_path: Path) -> None:
    assert _named_masks(tmp_path, ["d/a.png", "d/b.png"], ["d/a_mask.png", "d/b_mask.png"]) == [
        ("a.png", "a_mask.png"), ("b.png", "b_mask.png"),
    ]  # fmt: skip
    assert _named_masks(tmp_path, ["e/a.jpg"], ["e/a.png"]) == [("a.jpg", "a.png")]
    with pytest.raises(InputError, match=r"NAME_edge\.\* or NAME_mask\.\*\? Leave one kind there"):
        _named_masks(tmp_path, ["f/a.jpg"], ["g/a_mask.png", "g/a_edge.png"])
    with pytest.raises(InputError, match=r"no image in .* has a mask of its name"):
        load(f"masks:{tmp_path / 'f'},{tmp_path / 'f'}")


def test_masks_of_another_size_are_said(tmp_path: Path) -> None:
    dataset = load(_masks(tmp_path, [[0, 1, 2], [3, 1], [1, 2]]))
    sizes = {1: (1, 3), 2: (2, 4), 3: (2, 1)}
    said = [line for line in as_read(dataset, sizes)[1] if "maps of classes" in line]
    assert said == [
        "2 of 3 maps of classes are not of their image's size, and are held against outputs that are scaled to them: "
        "of 1.jpg, 4x2, the map is 2x1; of 2.jpg, 1x2, the map is 2x1; 1 have their sides exchanged, so their pixels "
        "are elsewhere"
    ]


def test_every_kind_is_named_where_one_is_unknown() -> None:
    with pytest.raises(InputError, match=r"unknown kind of data set 'imagenette'; did you mean imagenet:DIR\? valid:"):
        load("imagenette:here")
    with pytest.raises(InputError, match=r"there is no folder 'nowhere'; a data set is coco:.*voc-segmentation:ROOT"):
        load("nowhere")
