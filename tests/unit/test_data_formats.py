"""Data sets in the formats that people have: classes, maps of classes, Pascal VOC."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers.pngs import exif_jpeg, palette_png

from midstream.data import load, read_image
from midstream.data.base import Dataset
from midstream.data.headers import fault
from midstream.data.label_maps import label_map, read_label_map
from midstream.data.reading import as_read
from midstream.data.sizes import image_size
from midstream.errors import InputError

HEIGHT, WIDTH = 6, 8


def _image(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    return _pixels(path, np.zeros((*size, 3), np.uint8))


def _pixels(path: Path, pixels: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def _text(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _classes(dataset: Dataset) -> list[tuple[str, str]]:
    """Image and class, in order."""
    truth = dataset.ground_truth
    names = {category["id"]: category["name"] for category in truth["categories"]}
    labels = {a["image_id"]: names[a["category_id"]] for a in truth["annotations"]}
    return [(image.path.name, labels[image.id]) for image in dataset.images]


# Sizes


@pytest.mark.parametrize("orientation", range(10))
def test_the_size_of_an_image_is_that_of_what_is_read(tmp_path: Path, orientation: int) -> None:
    for name, data in (
        ("a.jpg", exif_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8), orientation)),
        ("b.png", palette_png(np.zeros((HEIGHT, WIDTH), np.uint8), 8, orientation)),
    ):
        path = _text(tmp_path / name, data)
        assert image_size(path) == read_image(path).shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_the_size_of_an_image_of_every_format(tmp_path: Path, suffix: str) -> None:
    assert image_size(_image(tmp_path / f"a{suffix}", (5, 3))) == (5, 3)
    _text(tmp_path / f"b{suffix}", b"no image")
    assert image_size(tmp_path / f"b{suffix}") is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200))
def test_no_bytes_give_a_size_or_a_label_map_that_is_not_there(tmp_path_factory, junk: bytes, place: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    for data in (exif_jpeg(np.zeros((4, 7, 3), np.uint8), 6), palette_png(np.zeros((4, 7), np.uint8), 4)):
        path = _text(folder / "junk.png", data[:place] + junk + data[place + len(junk) :])
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
    path = _text(tmp_path_factory.getbasetemp() / "map.png", palette_png(values, bits))
    np.testing.assert_array_equal(read_label_map(path), values)


def test_maps_of_other_forms(tmp_path: Path) -> None:
    values = np.arange(48, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    for suffix in (".png", ".bmp", ".tif"):
        np.testing.assert_array_equal(read_label_map(_pixels(tmp_path / f"grey{suffix}", values)), values)
    deep = values.astype(np.uint16) * 1000
    assert read_label_map(_pixels(tmp_path / "deep.png", deep)).dtype == np.uint16
    np.testing.assert_array_equal(read_label_map(tmp_path / "deep.png"), deep)
    np.testing.assert_array_equal(read_label_map(_pixels(tmp_path / "same.png", np.dstack([values] * 3))), values)
    colour = np.dstack([values, values, values + 1])
    with pytest.raises(InputError, match=r"colour\.png is no map of classes: it is a colour image"):
        read_label_map(_pixels(tmp_path / "colour.png", colour))


def test_a_map_of_segments_in_colours(tmp_path: Path) -> None:
    """As COCO's panoptic format: red + 256 green + 65536 blue."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[1, 0] = (1, 0, 2), (0, 3, 4), (9, 9, 9)
    file = str(_pixels(tmp_path / "panoptic.png", pixels))
    found = label_map({"file_name": file, "values": {2 + 65536: 7, 4 + 256 * 3: 80}})
    assert found.tolist() == [[7, 80], [255, 255]]


def _masks(root: Path, values: list[list[int]]) -> str:
    for number, row in enumerate(values):
        _image(root / "images" / f"{number}.jpg", (1, len(row)))
        _text(root / "masks" / f"{number}.png", palette_png(np.array([row], np.uint8), 8))
    return f"masks:{root / 'images'},{root / 'masks'}"


def test_masks(tmp_path: Path) -> None:
    spec = _masks(tmp_path, [[0, 3], [255, 1]])
    _image(tmp_path / "images" / "bare.jpg")
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
    dataset = load(f"{_masks(tmp_path, [[0, 1]])},{_text(tmp_path / 'classes.txt', text)}")
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
    spec = f"{_masks(tmp_path, [[0, 1]])},{_text(tmp_path / 'classes.txt', text)}"
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
    _pixels(tmp_path / "masks" / "0.png", np.full((1, 2), 999, np.uint16))
    with pytest.raises(InputError, match="values up to 999"):
        load(spec)


@pytest.mark.parametrize("line", ["1000: c", "-1: c", "x: c", "2:", "c"])
def test_a_value_that_is_none_among_others_is_named(tmp_path: Path, line: str) -> None:
    _text(tmp_path / "classes.txt", f"0: a\n1: b\n{line}\n3: d\n")
    with pytest.raises(InputError, match=r"classes\.txt, line 3: .* is no 'VALUE: NAME' \(0 to 255\)"):
        load(f"{_masks(tmp_path, [[0, 1]])},{tmp_path / 'classes.txt'}")


def _named_masks(root: Path, images: list[str], masks: list[str]) -> list[tuple[str, str]]:
    """Names of images and masks as they come to pairs."""
    for name in images:
        _image(root / name, (1, 2))
    for name in masks:
        _text(root / name, palette_png(np.array([[0, 1]], np.uint8), 8))
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


# ImageNet


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("dog/b.jpg", "dog/a.jpg", "cat/c.png", "cat/._c.png", ".hidden/d.png"):
        _image(tmp_path / name)
    (tmp_path / "zebra").mkdir()
    dataset = load(f"imagenet:{tmp_path}")
    assert dataset.labels == "classes"
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["cat", "dog", "zebra"]
    assert [c["id"] for c in dataset.ground_truth["categories"]] == [0, 1, 2]
    assert _classes(dataset) == [("c.png", "cat"), ("a.jpg", "dog"), ("b.jpg", "dog")]
    assert _classes(load(f"imagenet:{tmp_path}", 2)) == [("c.png", "cat"), ("a.jpg", "dog")]


_WORDS = "n00000001 tench, Tinca tinca\nn00000002 crane\nn00000003 crane, machine\n"


def test_wordnet_ids_have_their_words_and_the_indices_of_all_of_them(tmp_path: Path) -> None:
    _text(tmp_path / "LOC_synset_mapping.txt", _WORDS)
    for name in ("n00000003/a.jpg", "n00000001/b.jpg"):
        _image(tmp_path / "Data" / "val" / name)
    dataset = load(f"imagenet:{tmp_path / 'Data' / 'val'}")
    assert dataset.ground_truth["categories"] == [
        {"id": 0, "name": "tench", "synset": "n00000001"},
        {"id": 1, "name": "crane", "synset": "n00000002"},
        {"id": 2, "name": "crane, machine", "synset": "n00000003"},
    ]
    assert [a["category_id"] for a in dataset.ground_truth["annotations"]] == [0, 2]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nx_2,n00000002 1 2 3 4 \nx_1,n00000003 1 2 3 4 n00000003 1\n",
        ),
        ("val.txt", "x_1.JPEG 2\nx_2.JPEG 1\nx_9.JPEG 0\n"),
        ("val.csv", "x_1.JPEG,02\r\nx_2.JPEG,1\r\n"),
    ],
)
def test_a_folder_with_a_list_of_classes(tmp_path: Path, name: str, text: str) -> None:
    for image in ("x_1.JPEG", "x_2.JPEG", "x_3.JPEG"):
        _image(tmp_path / "val" / image)
    _text(tmp_path / name, text)
    _text(tmp_path / "synset_words.txt", _WORDS)
    dataset = load(f"imagenet:{tmp_path / 'val'},{tmp_path / name}")
    assert _classes(dataset) == [("x_2.JPEG", "crane"), ("x_1.JPEG", "crane, machine")]
    assert [a["category_id"] for a in dataset.ground_truth["annotations"]] == [1, 2]
    (tmp_path / "synset_words.txt").unlink()
    assert _classes(load(dataset.spec))[0][1] in ("n00000002", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no image"),
        ("a.jpg\n", "line 1 is neither 'NAME INDEX' nor"),
        ("a.jpg 1\na.jpg 2\n", "line 2: a.jpg is listed twice, of different classes"),
        ("a.jpg 1\nb.jpg,n00000001 1\n", "has class indices and WordNet ids"),
        ("a.jpg 99999999999999999999\n", "line 1: the class index 999999999999 is too large"),
        ("../../etc/passwd 1\n", "names '../../etc/passwd', which is outside"),
        ("b.jpg 1\n", "none of the 1 images that .* lists is in"),
    ],
)
def test_unusable_lists_of_classes(tmp_path: Path, text: str, message: str) -> None:
    _image(tmp_path / "val" / "a.jpg")
    file = _text(tmp_path / "list.txt", text)
    with pytest.raises(InputError, match=message):
        load(f"imagenet:{tmp_path / 'val'},{file}")


def test_other_layouts_than_a_folder_for_each_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither folders nor images are in it"):
        load(f"imagenet:{tmp_path}")
    _image(tmp_path / "flat" / "a.jpg")
    with pytest.raises(InputError, match="images but no folder; which classes they are of says imagenet:DIR,LIST"):
        load(f"imagenet:{tmp_path / 'flat'}")
    _image(tmp_path / "root" / "val" / "cat" / "a.jpg")
    with pytest.raises(InputError, match=r"did you mean imagenet:.*root.val\?"):
        load(f"imagenet:{tmp_path / 'root'}")
    with pytest.raises(InputError, match="there is no list of classes"):
        load(f"imagenet:{tmp_path / 'flat'},none.txt")


# Pascal VOC


def _voc(root: Path, names: tuple[str, ...] = ("000001", "000002")) -> Path:
    for name in names:
        _image(root / "JPEGImages" / f"{name}.jpg", (100, 200))
        _text(root / "Annotations" / f"{name}.xml", _annotation(("dog", 1, 0), ("train", 11, 1)))
    _text(root / "ImageSets" / "Main" / "val.txt", f"{names[0]}\n")
    _text(root / "ImageSets" / "Main" / "cat_test.txt", "".join(f"{name}  -1\n" for name in names))
    return root


def _annotation(*objects: tuple[str, int, int]) -> str:
    each = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox><xmin>{first}</xmin><ymin>{first + 1}</ymin><xmax>{first + 9}</xmax><ymax>20</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        for name, first, difficult in objects
    )
    return f"<?xml version='1.0'?>\n<annotation><filename>other.jpg</filename>\n{each}</annotation>"


def test_pascal_voc(tmp_path: Path) -> None:
    dataset = load(f"voc:{_voc(tmp_path)}")
    assert dataset.labels == "coco"
    assert [image.path.name for image in dataset.images] == ["000001.jpg"]
    assert len(dataset.ground_truth["categories"]) == 20
    assert dataset.ground_truth["annotations"] == [
        {"id": 1, "category_id": 12, "image_id": 1, "bbox": [0, 1, 10, 19], "area": 190, "iscrowd": 0},
        {"id": 2, "category_id": 19, "image_id": 1, "bbox": [10, 11, 10, 9], "area": 90, "iscrowd": 1},
    ]
    assert dataset.ground_truth["images"] == [{"id": 1, "file_name": "000001.jpg", "height": 100, "width": 200}]
    assert len(load(f"voc:{tmp_path},cat_test").images) == 2
    with pytest.raises(InputError, match=r"unknown split of Pascal VOC in .* 'none'; valid: cat_test, val"):
        load(f"voc:{tmp_path},none")


def test_pascal_voc_of_other_people(tmp_path: Path) -> None:
    """Without lists, with their own classes, images and XML files in one folder, or the kit's folder above."""
    _image(tmp_path / "flat" / "b.png", (50, 50))
    _text(tmp_path / "flat" / "b.xml", _annotation(("zebra", 1, 0), ("apple", 2, 0)))
    dataset = load(f"voc:{tmp_path / 'flat'}")
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["apple", "zebra"]
    _voc(tmp_path / "kit" / "VOCdevkit" / "VOC2007")
    assert len(load(f"voc:{tmp_path / 'kit'}").images) == 1
    _voc(tmp_path / "kit" / "VOCdevkit" / "VOC2012")
    with pytest.raises(InputError, match="has VOC2007, VOC2012: name one of them"):
        load(f"voc:{tmp_path / 'kit'}")
    (tmp_path / "kit" / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "val.txt").unlink()
    with pytest.raises(InputError, match=r"has no val\.txt: say which of cat_test it is to be"):
        load(f"voc:{tmp_path / 'kit' / 'VOCdevkit' / 'VOC2007'}")


def test_pascal_vocs_maps(tmp_path: Path) -> None:
    _voc(tmp_path)
    values = np.array([[0, 1, 20, 255]], np.uint8)
    _text(tmp_path / "SegmentationClass" / "000002.png", palette_png(values, 8))
    _text(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "000002\n")
    dataset = load(f"voc-segmentation:{tmp_path}")
    assert dataset.labels == "segmentation"
    assert dataset.ground_truth["categories"][:2] == [{"id": 0, "name": "background"}, {"id": 1, "name": "aeroplane"}]
    assert label_map(dataset.ground_truth["annotations"][0]).tolist() == values.tolist()
    _text(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "000001\n")
    with pytest.raises(InputError, match="the image 000001 has no labels"):
        load(f"voc-segmentation:{tmp_path}")


_BOMB = "<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;&b;&b;'>]><annotation>&c;</annotation>"
_OBJECT = "<annotation><object><name>a</name>{}</object></annotation>"


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("", r"000001\.xml, line 1: no element found"),
        ("<annotation>\n<object>", r"000001\.xml, line 2: no element found"),
        (_BOMB, "line 1: a document type is not accepted"),
        (_BOMB.encode("utf-16"), "line 1: a document type is not accepted"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "a document type is not accepted"),
        ("<a>" * 100_000, "more than 32 deep"),
        ("<a>" + "x" * 5_000_000 + "</a>", "is too large"),
        ("<?xml version='1.0' encoding='nonsense'?><a/>", r"000001\.xml"),
        ("<annotation>&none;</annotation>", r"line 1: undefined entity"),
        ("<annotation><object/></annotation>", "an object has no name"),
        (_OBJECT.format(""), "the bndbox of 'a' has no numbers xmin"),
        (_OBJECT.format("<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>nan</xmax><ymax>2</ymax></bndbox>"), "no extent"),
        (_OBJECT.format("<bndbox><xmin>9</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"), "no extent"),
    ],
)
def test_unusable_xml(tmp_path: Path, xml: str | bytes, message: str) -> None:
    _voc(tmp_path)
    _text(tmp_path / "Annotations" / "000001.xml", xml)
    with pytest.raises(InputError, match=message) as error:
        load(f"voc:{tmp_path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"val\.txt lists no image"),
        ("../../etc/passwd\n", "which is outside"),
        ("/etc/passwd\n", "which is outside"),
        ("a/b\n", "no plain name of an image"),
        ("000001\n000001\n", "line 2: '000001' is listed twice"),
        ("000009\n", "the image 000009 has no labels"),
        ("x" * 300 + "\n", "has no labels"),
    ],
)
def test_unusable_lists_of_images(tmp_path: Path, text: str, message: str) -> None:
    _text(_voc(tmp_path) / "ImageSets" / "Main" / "val.txt", text)
    with pytest.raises(InputError, match=message):
        load(f"voc:{tmp_path}")


def test_an_image_that_cannot_be_read_stays_for_the_evaluation_to_leave_out(tmp_path: Path) -> None:
    _text(_voc(tmp_path) / "JPEGImages" / "000001.jpg", struct.pack(">4sI", b"\x89PNG", 0))
    assert len(load(f"voc:{tmp_path}").images) == 1


def test_every_kind_is_named_where_one_is_unknown() -> None:
    with pytest.raises(InputError, match=r"unknown kind of data set 'imagenette'; did you mean imagenet:DIR\? valid:"):
        load("imagenette:here")
    with pytest.raises(InputError, match=r"there is no folder 'nowhere'; a data set is coco:.*voc-segmentation:ROOT"):
        load("nowhere")
