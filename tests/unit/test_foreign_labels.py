"""Labels as other programs write them: what does not fit is read, refused by name, or said in a line."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.toy import write_labelled

from midstream import models
from midstream.data import load, read_image
from midstream.data.masks import check_masks
from midstream.data.reading import as_read
from midstream.errors import InputError
from midstream.evaluation.checks import about_labels, about_nothing, require
from midstream.evaluation.codecs import paper_options
from midstream.evaluation.run import EvalResult, run
from midstream.masks import check_mask
from midstream.metrics.accuracy import accuracy_of
from midstream.metrics.categories import category_ids
from midstream.models import Detections
from midstream.models.tasks.detection import Detection, InstanceSegmentation

HEIGHT, WIDTH = 12, 20
PIXELS = HEIGHT * WIDTH
SQUARE = [2, 2, 8, 2, 8, 8, 2, 8]
CORNERS = [2, 2, 6, 6]  # left, top, width, height: the box of the square


def _coco(folder: Path, annotations: list[dict[str, Any]], categories: list[dict[str, Any]] | None = None) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "a.png").write_bytes(cv2.imencode(".png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes())
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": categories or [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": CORNERS, **entry} for entry in annotations],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    return f"coco:{folder},{folder / 'labels.json'}"


def _found(masks: list[list[int]], labels: list[int] | None = None) -> dict[int, Detections]:
    """Polygons as detections with their boxes, in image 1."""
    runs = [pycocotools.mask.frPyObjects([polygon], HEIGHT, WIDTH)[0] for polygon in masks]
    boxes = np.array([pycocotools.mask.toBbox(each) for each in runs], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.linspace(0.9, 0.5, len(runs), dtype=np.float32)
    return {1: Detections(boxes, scores, np.array(labels or [0] * len(runs), np.int64), runs)}


UNUSABLE = {
    "a run one pixel too long": {"size": [HEIGHT, WIDTH], "counts": [0, PIXELS + 1]},
    "a run far too long": {"size": [HEIGHT, WIDTH], "counts": [0, 10**9]},
    "runs too short": {"size": [HEIGHT, WIDTH], "counts": [100, 50]},
    "no runs": {"size": [HEIGHT, WIDTH], "counts": []},
    "a negative run": {"size": [HEIGHT, WIDTH], "counts": [PIXELS + 1, -1]},
    "runs that are no whole numbers": {"size": [HEIGHT, WIDTH], "counts": [0.5, PIXELS - 0.5]},
    "runs of several shapes": {"size": [HEIGHT, WIDTH], "counts": [0, [PIXELS]]},
    "a run beyond 64 bits": {"size": [HEIGHT, WIDTH], "counts": [0, 10**30]},
    "another size": {"size": [HEIGHT, 2 * WIDTH], "counts": [0, 2 * PIXELS]},
    "too many runs of the size turned": {"size": [WIDTH, HEIGHT], "counts": [0, PIXELS + 1]},
    "no size": {"counts": [0, PIXELS]},
    "no counts": {"size": [HEIGHT, WIDTH]},
    "text that is none": {"size": [HEIGHT, WIDTH], "counts": "\u00e4 garbled"},
    "text that goes on": {"size": [HEIGHT, WIDTH], "counts": "ooo"},
    "text of a number too wide": {"size": [HEIGHT, WIDTH], "counts": "o" * 30 + "0"},
    "text of runs too long": {"size": [HEIGHT, WIDTH], "counts": "0``7"},
    "two corners": [[2, 2, 8, 8]],
    "an empty polygon": [[]],
    "a flat list": SQUARE,
    "an odd number": [[*SQUARE, 3]],
    "text": [["a"] * 6],
    "far outside": [[0, 0, 10**9, 0, 10**9, 10**9]],
    "not a number": [[float("nan"), *SQUARE[1:]]],
    "a number": 5,
}  # fmt: skip


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_unusable_mask_is_named_and_never_reaches_the_evaluation(tmp_path: Path, what: str) -> None:
    dataset = load(_coco(tmp_path, [{"segmentation": [SQUARE]}, {"segmentation": UNUSABLE[what]}]))
    for step in (
        lambda: require(dataset, InstanceSegmentation(), ("cat",)),
        lambda: accuracy_of(dataset, _found([SQUARE]), ("cat",)),
    ):
        with pytest.raises(InputError, match=r"annotations\[1\] \(of a\.png\) in .* unusable mask: ") as error:
            step()
        assert "\n" not in str(error.value)
    require(dataset, Detection(), ("cat",))  # a network without masks never looks at them


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        ({"size": [HEIGHT, WIDTH]}, "it has no run lengths"),
        *(({"size": [HEIGHT, WIDTH], "counts": counts}, "it has no run lengths") for counts in (None, [], "", b"")),
        ({"size": [HEIGHT, WIDTH], "counts": 0}, "its run lengths are not whole numbers"),
        ([[*SQUARE[:6], 3]], "a polygon has an odd number of numbers, 7"),
        ([SQUARE[:4]], "a polygon has 4 numbers; it needs x and y of at least three corners"),
    ],
)
def test_an_unusable_mask_is_refused_for_what_is_wrong_with_it(mask: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_mask(mask, HEIGHT, WIDTH)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_what_pycocotools_writes_is_accepted(height: int, width: int, seed: int, density: float) -> None:
    pixels = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    mask = pycocotools.mask.encode(np.asfortranarray(pixels))
    check_mask(mask, height, width)
    check_mask({**mask, "counts": mask["counts"].decode()}, height, width)
    with pytest.raises(InputError, match="run lengths"):
        check_mask({**mask, "size": [height, width + 1]}, height, width + 1)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=12))
def test_text_that_passes_means_the_same_to_pycocotools(text: bytes) -> None:
    mask = {"size": [4, 5], "counts": text}
    try:
        check_mask(mask, 4, 5)
    except InputError:
        return
    assert 0 <= int(pycocotools.mask.area(mask)) <= 20


def test_masks_of_all_three_forms_and_none(tmp_path: Path) -> None:
    """Objects without a mask are left out of the masks' AP, and count in the boxes'."""
    other = [10, 2, 16, 2, 16, 8, 10, 8]
    whole = pycocotools.mask.frPyObjects([other], HEIGHT, WIDTH)[0]
    text = {"size": [HEIGHT, WIDTH], "counts": whole["counts"].decode()}
    spec = _coco(tmp_path, [{"segmentation": [SQUARE]}, {"segmentation": text, "bbox": [10, 2, 6, 6]}])
    complete = accuracy_of(load(spec), _found([SQUARE, other]), ("cat",))
    assert (complete.ap, complete.segm_ap) == pytest.approx((100, 100))
    without = load(_coco(tmp_path, [{"segmentation": [SQUARE]}, {"bbox": [10, 2, 6, 6]}]))
    result = accuracy_of(without, _found([SQUARE, other]), ("cat",))
    assert (result.ap, result.segm_ap) == pytest.approx((100, 100))
    assert accuracy_of(without, _found([SQUARE]), ("cat",)).ap < 60
    assert about_labels(without, InstanceSegmentation(), ("cat", "dog")) == [
        "1 of 2 annotations have no mask: mask AP is that of the other 1"
    ]
    assert about_labels(without, Detection(), ("cat", "dog")) == []


def test_of_categories_with_one_name_the_annotated_one_counts(tmp_path: Path) -> None:
    group = [{"id": 0, "name": "Cat", "supercategory": "none"}, {"id": 7, "name": "cat"}]
    for categories in (group, group[::-1]):
        dataset = load(_coco(tmp_path, [{}], categories))
        assert accuracy_of(dataset, _found([SQUARE]), ("cat",)).ap == pytest.approx(100)
        assert about_labels(dataset, Detection(), ("cat",)) == []
    both = load(_coco(tmp_path, [{}, {"category_id": 0}], group))
    with pytest.raises(InputError, match=r"two categories of the name 'cat' \(ids 0 and 7\) with annotations"):
        require(both, Detection(), ("cat",))


def test_labels_of_no_object_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled object in its 1 image"):
        require(load(_coco(tmp_path, [{"iscrowd": 1}])), Detection(), ("cat",))


def test_classes_that_one_side_lacks_are_named_and_counted(tmp_path: Path) -> None:
    names = ["trafficlight", "cat", "plane", "of no object"]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    dataset = load(_coco(tmp_path, [{"category_id": i} for i in (1, 1, 2, 3)], categories))
    lines = about_labels(dataset, Detection(), ("cat", "traffic light", "airplane"))
    assert lines[0].startswith("2 of the 3 classes in the data set are none of the network's and count as 0")
    assert "3 objects: trafficlight, plane" in lines[0]
    assert lines[1].startswith("2 of the network's 3 classes are none of the data set's")
    assert lines[1].endswith(": traffic light, airplane")


def test_spellings_of_a_class_are_one_class(tmp_path: Path) -> None:
    """Pascal VOC's names count as COCO's where only one of the two is on either side."""
    categories = [{"id": i, "name": name} for i, name in enumerate(["Traffic-Light", "tvmonitor", "sofa"], start=1)]
    dataset = load(_coco(tmp_path, [{"category_id": i} for i in (1, 2, 3)], categories))
    assert category_ids(("traffic light", "tv", "couch"), dataset.ground_truth) == [1, 2, 3]
    assert about_labels(dataset, Detection(), ("traffic light", "tv", "sofa")) == [
        "classes that COCO and Pascal VOC call differently are the same: tv is 'tvmonitor'"
    ]
    assert category_ids(("couch", "sofa"), dataset.ground_truth) == [None, 3]


@pytest.mark.parametrize(
    ("box", "reached"), [([8, 2, 14, 8], ""), ([-2, -2, 24, 16], ""), ([8, 2, 16, 8], "[8, 2, 16, 8]"),
                         ([-3, 2, 4, 4], "[-3, 2, 4, 4]"), ([16, 16, 12.5, 12], "[16, 16, 12.5, 12]")]
)  # fmt: skip
def test_boxes_outside_of_their_images_are_counted(tmp_path: Path, box: list[float], reached: str) -> None:
    """Corners for sides, or the pixels of a larger image; two pixels beyond the edge are annotators' rounding."""
    lines = about_labels(load(_coco(tmp_path, [{}, {"bbox": box}, {"bbox": box}])), Detection(), ("cat", "dog"))
    expected = "2 of 3 boxes reach outside of their images, so they may not be [x, y, width, height] in pixels (first: "
    assert lines == ([f"{expected}annotations[1], {reached} in a.png of 20x12)"] if reached else [])


def test_single_boxes_outside_are_slips(tmp_path: Path) -> None:
    many = [{}] * 99 + [{"bbox": [8, 2, 16, 8]}]
    assert about_labels(load(_coco(tmp_path, many)), Detection(), ("cat", "dog")) == []
    assert len(about_labels(load(_coco(tmp_path, [*many, many[-1]])), Detection(), ("cat", "dog"))) == 1


@pytest.mark.parametrize("sides", [[0, 6], [6, 0], [0, 0]])
def test_boxes_without_extent_are_counted_and_match_nothing(tmp_path: Path, sides: list[int]) -> None:
    dataset = load(_coco(tmp_path, [{}, {"bbox": [10, 8, *sides], "area": 24}]))
    box = ", ".join(map(str, [10, 8, *sides]))
    assert about_labels(dataset, Detection(), ("cat", "dog")) == [
        "1 of 2 boxes have no positive width or height, so nothing can match them "
        f"(first: annotations[1], [{box}] in a.png of 20x12)"
    ]
    assert 50 <= accuracy_of(dataset, _found([SQUARE]), ("cat",)).ap < 60


def test_annotations_of_unlisted_images_are_counted(tmp_path: Path) -> None:
    dataset = load(_coco(tmp_path, [{}, {"image_id": 8}, {"image_id": 9}]))
    assert as_read(dataset, {1: (HEIGHT, WIDTH)})[1] == [
        "2 of 3 annotations are of images that the file does not list, and left out "
        "(first: annotations[1] of the image id 8)"
    ]


def test_an_accuracy_of_nothing_is_said(tmp_path: Path) -> None:
    found = _found([SQUARE]).values()
    assert about_nothing({"ap": 0.0}, found)[0].startswith(
        "the uncompressed network's AP is 0 although it found 1 objects"
    )
    assert about_nothing({"ap": 0.1}, found) == []
    assert (
        about_nothing(
            {"ap": 0.0}, [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))]
        )
        == []
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


def _eval(folder: Path, file: Path, strict: bool = False) -> EvalResult:
    network, dataset = models.load(str(folder / "toy.toml")), load(f"coco:{folder / 'images'},{file}")
    return run(network, dataset, [paper_options(4)], strict=strict)[0]


def test_images_of_another_size_than_listed(labelled: Path, tmp_path: Path) -> None:
    """Also where sides are exchanged, as of images that EXIF turns; boxes are taken as they are."""
    truth = json.loads((labelled / "truth.json").read_text())
    right = _eval(labelled, labelled / "truth.json")
    assert right.notes == []
    for image in truth["images"][:3]:
        image["height"], image["width"] = image["width"], image["height"]
    (tmp_path / "turned.json").write_text(json.dumps(truth))
    turned = _eval(labelled, tmp_path / "turned.json")
    assert turned.ap_uncompressed == right.ap_uncompressed > 0
    assert len(turned.notes) == 1
    assert turned.notes[0].startswith("3 of 4 images are not of the size that the annotations list")
    assert "0.png is 50x60, listed as 60x50" in turned.notes[0]


def test_a_image_that_exif_turns_is_of_its_upright_size(tmp_path: Path) -> None:
    spec = _coco(tmp_path, [{}])
    jpeg = cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
    exif = b"Exif\0\0" + struct.pack(">HHIHHHIHHI", 0x4D4D, 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)  # orientation 6
    (tmp_path / "a.png").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    dataset = load(spec)
    pixels = read_image(dataset.images[0].path)
    assert pixels.shape == (WIDTH, HEIGHT, 3)
    truth, notes = as_read(dataset, {1: (WIDTH, HEIGHT)})
    assert "a.png is 12x20 when turned upright as EXIF says, listed as 20x12" in notes[0]
    assert (truth.ground_truth["images"][0]["height"], truth.ground_truth["images"][0]["width"]) == (WIDTH, HEIGHT)


def test_run_lengths_of_a_image_of_another_size_are_left_out(tmp_path: Path) -> None:
    """Polygons stay: they are pixels, whatever the size."""
    whole = {"size": [HEIGHT, WIDTH], "counts": [0, PIXELS]}
    dataset = load(_coco(tmp_path, [{"segmentation": whole}, {"segmentation": [SQUARE]}]))
    truth = as_read(dataset, {1: (2 * HEIGHT, 2 * WIDTH)})[0].ground_truth["annotations"]
    assert [each.get("segmentation") for each in truth] == [None, [SQUARE]]
    assert as_read(dataset, {1: (HEIGHT, WIDTH)}) == (dataset, [])


def test_run_lengths_of_the_listed_size_turned(tmp_path: Path) -> None:
    """As of an image that EXIF turns, listed as before: kept where the file is of their own size."""
    turned = {"size": [WIDTH, HEIGHT], "counts": [0, PIXELS]}
    listed = {"size": [HEIGHT, WIDTH], "counts": [0, PIXELS]}
    dataset = load(_coco(tmp_path, [{"segmentation": turned}, {"segmentation": listed}]))
    require(dataset, InstanceSegmentation(), ("cat",))
    for size, kept in (((WIDTH, HEIGHT), [turned, None]), ((HEIGHT, WIDTH), [None, listed]), ((7, 9), [None, None])):
        read, notes = as_read(dataset, {1: size})
        assert [each.get("segmentation") for each in read.ground_truth["annotations"]] == kept
        lost = kept.count(None)
        assert notes[-1] == f"{lost} masks are run lengths of another size than their images', and left out"
        check_masks(read)
    with pytest.raises(InputError, match=r"of the size \[20, 12\], the listed size is \[12, 20\]"):
        accuracy_of(dataset, _found([SQUARE]), ("cat",))


def test_boxes_of_larger_images_are_named_in_three_lines(labelled: Path, tmp_path: Path) -> None:
    truth = json.loads((labelled / "truth.json").read_text())
    for image in truth["images"]:
        image["height"], image["width"] = 8 * image["height"], 8 * image["width"]
    for annotation in truth["annotations"]:
        annotation["bbox"] = [8 * side + 200 for side in annotation["bbox"]]
    (tmp_path / "large.json").write_text(json.dumps(truth))
    result = _eval(labelled, tmp_path / "large.json")
    assert result.ap_uncompressed == 0
    assert "4 of 4 images are not of the size" in result.notes[0]
    assert "boxes reach outside of their images" in result.notes[1]
    assert "AP is 0 although it found" in result.notes[2]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark(labelled: Path, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "marked.json").write_text((labelled / "truth.json").read_text(), encoding=encoding)
    assert len(load(f"coco:{labelled / 'images'},{tmp_path / 'marked.json'}").images) == 4


def test_folders_in_file_names(labelled: Path, tmp_path: Path) -> None:
    truth = json.loads((labelled / "truth.json").read_text())
    for image in truth["images"]:
        image["file_name"] = f"train\\{image['file_name']}"
    file = tmp_path / "windows.json"
    file.write_text(json.dumps(truth))
    flat = load(f"coco:{labelled / 'images'},{file}")
    assert [image.path.name for image in flat.images] == ["0.png", "1.png", "2.png", "3.png"]
    assert flat.notes[0].startswith("4 images are not in the folders that are listed")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train").symlink_to(labelled / "images")
    there = load(f"coco:{tmp_path / 'images'},{file}")
    assert there.notes == ()
    assert there.images[0].path == tmp_path / "images" / "train" / "0.png"
    truth["images"][0]["file_name"] = "..\\secret\\0.png"
    file.write_text(json.dumps(truth))
    with pytest.raises(InputError, match="outside of"):
        load(f"coco:{labelled / 'images'},{file}")


def test_two_images_of_one_name_are_not_looked_for_elsewhere(labelled: Path, tmp_path: Path) -> None:
    truth = json.loads((labelled / "truth.json").read_text())
    truth["images"][0]["file_name"], truth["images"][1]["file_name"] = "a/0.png", "b/0.png"
    (tmp_path / "twice.json").write_text(json.dumps(truth))
    with pytest.raises(InputError, match=r"a/0\.png, which is not in"):
        load(f"coco:{labelled / 'images'},{tmp_path / 'twice.json'}")


def test_unreadable_images_are_left_out_and_listed(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path)
    truth = json.loads((folder / "truth.json").read_text())
    whole = _eval(folder, folder / "truth.json")
    truth["images"] = truth["images"][1:]
    (tmp_path / "fewer.json").write_text(json.dumps(truth))
    fewer = _eval(folder, tmp_path / "fewer.json")
    (folder / "images" / "0.png").write_bytes(b"no image")
    result = _eval(folder, folder / "truth.json")
    assert (whole.images, whole.skipped, result.images) == (4, [], 3)
    assert [Path(path).name for path, _ in result.skipped] == ["0.png"]
    assert "not a whole image" in result.skipped[0][1]
    assert (result.ap, result.bytes_per_image) == (fewer.ap, fewer.bytes_per_image)
    with pytest.raises(InputError, match=r"cannot read the image .*0\.png"):
        _eval(folder, folder / "truth.json", strict=True)
    for i in range(1, 4):
        (folder / "images" / f"{i}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of the 4 images can be read: .*0\.png"):
        _eval(folder, folder / "truth.json")
