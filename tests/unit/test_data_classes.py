"""Data sets in folders of classes, as ImageNet is, and in Pascal VOC's layout."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.made_files import classes_of, image_file, text_file
from tests.helpers.pngs import palette_png

from midstream.data import load
from midstream.data.label_maps import label_map
from midstream.errors import InputError

# ImageNet


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("dog/b.jpg", "dog/a.jpg", "cat/c.png", "cat/._c.png", ".hidden/d.png"):
        image_file(tmp_path / name)
    (tmp_path / "zebra").mkdir()
    dataset = load(f"imagenet:{tmp_path}")
    assert dataset.labels == "classes"
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["cat", "dog", "zebra"]
    assert [c["id"] for c in dataset.ground_truth["categories"]] == [0, 1, 2]
    assert classes_of(dataset) == [("c.png", "cat"), ("a.jpg", "dog"), ("b.jpg", "dog")]
    assert classes_of(load(f"imagenet:{tmp_path}", 2)) == [("c.png", "cat"), ("a.jpg", "dog")]


_WORDS = "n00000001 tench, Tinca tinca\nn00000002 crane\nn00000003 crane, machine\n"


def test_wordnet_ids_have_their_words_and_the_indices_of_all_of_them(tmp_path: Path) -> None:
    text_file(tmp_path / "LOC_synset_mapping.txt", _WORDS)
    for name in ("n00000003/a.jpg", "n00000001/b.jpg"):
        image_file(tmp_path / "Data" / "val" / name)
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
        image_file(tmp_path / "val" / image)
    text_file(tmp_path / name, text)
    text_file(tmp_path / "synset_words.txt", _WORDS)
    dataset = load(f"imagenet:{tmp_path / 'val'},{tmp_path / name}")
    assert classes_of(dataset) == [("x_2.JPEG", "crane"), ("x_1.JPEG", "crane, machine")]
    assert [a["category_id"] for a in dataset.ground_truth["annotations"]] == [1, 2]
    (tmp_path / "synset_words.txt").unlink()
    assert classes_of(load(dataset.spec))[0][1] in ("n00000002", "1")


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
    image_file(tmp_path / "val" / "a.jpg")
    file = text_file(tmp_path / "list.txt", text)
    with pytest.raises(InputError, match=message):
        load(f"imagenet:{tmp_path / 'val'},{file}")


def test_other_layouts_than_a_folder_for_each_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither folders nor images are in it"):
        load(f"imagenet:{tmp_path}")
    image_file(tmp_path / "flat" / "a.jpg")
    with pytest.raises(InputError, match="images but no folder; which classes they are of says imagenet:DIR,LIST"):
        load(f"imagenet:{tmp_path / 'flat'}")
    image_file(tmp_path / "root" / "val" / "cat" / "a.jpg")
    with pytest.raises(InputError, match=r"did you mean imagenet:.*root.val\?"):
        load(f"imagenet:{tmp_path / 'root'}")
    with pytest.raises(InputError, match="there is no list of classes"):
        load(f"imagenet:{tmp_path / 'flat'},none.txt")


# Pascal VOC


def _voc(root: Path, names: tuple[str, ...] = ("000001", "000002")) -> Path:
    for name in names:
        image_file(root / "JPEGImages" / f"{name}.jpg", (100, 200))
        text_file(root / "Annotations" / f"{name}.xml", _annotation(("dog", 1, 0), ("train", 11, 1)))
    text_file(root / "ImageSets" / "Main" / "val.txt", f"{names[0]}\n")
    text_file(root / "ImageSets" / "Main" / "cat_test.txt", "".join(f"{name}  -1\n" for name in names))
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
    image_file(tmp_path / "flat" / "b.png", (50, 50))
    text_file(tmp_path / "flat" / "b.xml", _annotation(("zebra", 1, 0), ("apple", 2, 0)))
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
    text_file(tmp_path / "SegmentationClass" / "000002.png", palette_png(values, 8))
    text_file(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "000002\n")
    dataset = load(f"voc-segmentation:{tmp_path}")
    assert dataset.labels == "segmentation"
    assert dataset.ground_truth["categories"][:2] == [{"id": 0, "name": "background"}, {"id": 1, "name": "aeroplane"}]
    assert label_map(dataset.ground_truth["annotations"][0]).tolist() == values.tolist()
    text_file(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "000001\n")
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
        (_OBJECT.format("<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>1e308</xmax><ymax>2</ymax></bndbox>"), "no extent"),
    ],
)
def test_unusable_xml(tmp_path: Path, xml: str | bytes, message: str) -> None:
    _voc(tmp_path)
    text_file(tmp_path / "Annotations" / "000001.xml", xml)
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
    text_file(_voc(tmp_path) / "ImageSets" / "Main" / "val.txt", text)
    with pytest.raises(InputError, match=message):
        load(f"voc:{tmp_path}")


def test_an_image_that_cannot_be_read_stays_for_the_evaluation_to_leave_out(tmp_path: Path) -> None:
    text_file(_voc(tmp_path) / "JPEGImages" / "000001.jpg", struct.pack(">4sI", b"\x89PNG", 0))
    assert len(load(f"voc:{tmp_path}").images) == 1
