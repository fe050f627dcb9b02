"""Images, COCO files and folders."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from midstream.data import load, read_image
from midstream.errors import InputError


def _write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def _coco(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Two images and their JSON file; `changes` replace its entries, None removes them."""
    for name in ("b.png", "a.png"):
        _write(folder / "images" / name, np.zeros((6, 8, 3), np.uint8))
    content = {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 6, "width": 8},
            {"id": 3, "file_name": "a.png", "height": 6, "width": 8},
        ],
        "annotations": [
            {"id": 0, "image_id": 7, "category_id": 1, "bbox": [1, 1, 2, 3]},
            {"id": 5, "image_id": 3, "category_id": 1, "bbox": [0, 0, 8, 6], "area": 40.5, "iscrowd": 1},
            {"id": 6, "image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [{"id": 1, "name": "person", "supercategory": "x"}],
        "info": {},
    }
    content = {key: value for key, value in {**content, **changes}.items() if value is not None}
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "images", folder / "labels.json"


def _image(identity: int) -> dict[str, Any]:
    return {"id": identity, "file_name": "a.png", "height": 1, "width": 1}


def test_image_is_rgb(tmp_path: Path) -> None:
    blue_green_red = np.dstack([np.full((5, 7), v, np.uint8) for v in (10, 20, 30)])
    path = _write(tmp_path / "ä.png", blue_green_red)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (5, 7, 3)
    assert image.flags.c_contiguous
    assert image[0, 0].tolist() == [30, 20, 10]
    assert read_image(str(path)).tolist() == image.tolist()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif", ".jpg"])
def test_grey_image(tmp_path: Path, suffix: str) -> None:
    image = read_image(_write(tmp_path / f"x{suffix}", np.full((16, 16), 77, np.uint8)))
    assert image.shape == (16, 16, 3)
    assert np.abs(image.astype(int) - 77).max() <= 2


def test_alpha_and_16_bits(tmp_path: Path) -> None:
    four = np.dstack([np.full((4, 4), v, np.uint8) for v in (10, 20, 30, 0)])
    assert read_image(_write(tmp_path / "alpha.png", four))[0, 0].tolist() == [30, 20, 10]
    deep = np.full((4, 4, 3), 0x8000, np.uint16)
    assert read_image(_write(tmp_path / "deep.png", deep))[0, 0].tolist() == [128, 128, 128]


def test_unreadable_images_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name in ("cut.jpg", "cut.bmp", "cut.tif"):
        whole = _write(tmp_path / name, noise).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 9 // 10])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    for name in ("cut.jpg", "cut.bmp", "cut.tif", "empty.png", "text.png", "folder.png", "absent.png"):
        with pytest.raises(InputError, match=f"cannot read the image .*{re.escape(name)}: "):
            read_image(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def _png(width: int, height: int, rows: bytes, mistake: int = 0) -> bytes:
    """A PNG file of 8-bit RGB whose data is `rows`; `mistake` spoils the checksum of the data."""
    out = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        check = zlib.crc32(kind + content) ^ (mistake if kind == b"IDAT" else 0)
        out += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    return out


@pytest.mark.parametrize(
    ("width", "height"),
    [(1 << 31, 1), ((1 << 31) - 1, (1 << 31) - 1), (1_000_001, 4), (100_000, 100_000), (1 << 14, 1 << 15)],
)
def test_too_large_is_not_called_broken(
    tmp_path: Path, width: int, height: int, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "large.png").write_bytes(_png(width, height, bytes(10)))
    with pytest.raises(InputError, match=rf"large\.png: it is too large: {width}x{height} pixels, more than .* in all"):
        read_image(tmp_path / "large.png")
    assert capfd.readouterr() == ("", "")


def test_too_large_in_other_formats(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    jpeg = bytearray(_write(tmp_path / "a.jpg", np.zeros((16, 16, 3), np.uint8)).read_bytes())
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 65_535, 65_535)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    bitmap = bytearray(_write(tmp_path / "a.bmp", np.zeros((16, 16, 3), np.uint8)).read_bytes())
    bitmap[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "a.bmp").write_bytes(bitmap)
    for name in ("a.jpg", "a.bmp"):
        with pytest.raises(InputError, match="it is too large"):
            read_image(tmp_path / name)
    assert capfd.readouterr() == ("", "")


_SEGMENT = b"\xff\xe1\x00\x04ab"


@pytest.mark.parametrize(
    "between",
    [b"\xff", b"\xff\xff", b"\xff\x01", b"\xff\xd0\xff\xd7", b"x\xff\0", _SEGMENT, b"\xff" + _SEGMENT + b"\xff"],
)
def test_a_jpeg_file_is_too_large_whatever_stands_before_its_frame(tmp_path: Path, between: bytes) -> None:
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 32_000, 31_999) + bytes.fromhex("03 011100 021100 031100")
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + between + frame + b"\xff\xd9")
    with pytest.raises(InputError, match="it is too large: 31999x32000 pixels"):
        read_image(tmp_path / "a.jpg")


def test_what_opencv_knows_is_too_large_in_every_format(tmp_path: Path) -> None:
    side = 32_700
    bitmap = struct.pack("<2sIIIIiiHHIIIIII", b"BM", 0, 0, 1078, 40, side, side, 1, 8, 1, 2, 0, 0, 256, 0) + bytes(1026)
    for name, data in {
        "a.gif": b"GIF89a"
        + struct.pack("<HHBBB", side, side, 0x80, 0, 0)
        + bytes(6)
        + b","
        + bytes(4)
        + struct.pack("<HHB", side, side, 0)
        + b"\x02\x01\x44\x00;",
        "a.bmp": bitmap,
        "a.ppm": b"P6 %d %d 255\n" % (side, side),
        "a.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (side, side),
    }.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import pathlib, sys\nfrom midstream.data import read_image\nfrom midstream.errors import InputError\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try:\n        read_image(path)\n    except InputError as error:\n        print(error)"
    )
    # OpenCV looks at the variable once: in this process it was loaded before midstream.
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    # Older releases of OpenCV read no GIF: to them it is of no known format.
    known = sum(cv2.haveImageReader(str(path)) for path in tmp_path.iterdir())
    assert known >= 3
    assert done.stdout.count("it is too large") == known, done.stdout
    assert not done.stderr


def test_the_limit_of_pixels_is_opencv_s_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _write(tmp_path / "a.png", np.zeros((40, 30, 3), np.uint8))
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1199")
    with pytest.raises(InputError, match="too large: 30x40 pixels"):
        read_image(file)
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1200")
    assert read_image(file).shape == (40, 30, 3)


def test_damaged_png_files_are_refused_before_libpng_prints(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = np.random.default_rng(0).integers(0, 4, (64, 193)).astype(np.uint8)
    rows[:, 0] = 0
    assert read_image(_written(tmp_path / "whole.png", _png(64, 64, rows.tobytes()))).shape == (64, 64, 3)
    whole = _png(64, 64, rows.tobytes())
    damaged = {
        "checksum": _png(64, 64, rows.tobytes(), mistake=1),
        "header": whole[:20] + b"\xff" + whole[21:],
        "little data": _png(64, 64, b""),
        "no pixels": _png(0, 4, b""),
        **{f"cut at {i}": whole[:i] for i in (9, 20, 40, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 5)},
    }
    for what, data in damaged.items():
        with pytest.raises(InputError, match=r"cannot read the image .*: the PNG file is (damaged|cut)"):
            read_image(_written(tmp_path / f"{what}.png", data))
    assert capfd.readouterr() == ("", "")


def test_what_a_png_file_says_beside_its_pixels_is_not_looked_at(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def chunk(kind: bytes, content: bytes, mistake: int = 0) -> bytes:
        return (
            struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content) ^ mistake)
        )

    orientation = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # turned by a quarter
    extras = [(b"iCCP", b"a\0\0x"), (b"zTXt", b"a\0\0x"), (b"gAMA", b""), (b"tEXt", b"a\0b")]
    for mistake, shape in ((0, (3, 2, 3)), (1, (2, 3, 3))):  # a damaged one does not count
        whole = _png(3, 2, bytes(20))
        between = b"".join(chunk(*extra) for extra in extras) + chunk(b"eXIf", orientation, mistake)
        data = whole[:33] + between + whole[33:-12] + chunk(b"zTXt", b"a\0\0x") + whole[-12:]
        assert read_image(_written(tmp_path / "a.png", data)).shape == shape
    assert capfd.readouterr() == ("", "")


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.webp", "d.tif", "e.bmp", "f.jpeg"):
        _write(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "sub.png").mkdir()
    for hidden in ("._a.png", ".DS_Store", ".thumbnail.jpg"):
        (tmp_path / hidden).write_bytes(b"no image")
    for spec in (f"folder:{tmp_path}", str(tmp_path)):
        dataset = load(spec)
        assert (dataset.labels, dataset.spec, dataset.ground_truth) == (None, spec, None)
        assert [(p.id, p.path.name) for p in dataset.images] == list(
            enumerate(["a.png", "b.JPG", "c.webp", "d.tif", "e.bmp", "f.jpeg"], start=1)
        )


def test_bad_specifications(tmp_path: Path) -> None:
    for files in ((), ("._a.png", ".DS_Store")):
        for name in files:
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match=r"no image .* in the folder"):
            load(f"folder:{tmp_path}")
    with pytest.raises(InputError, match=r"no folder .*absent"):
        load(f"folder:{tmp_path / 'absent'}")
    with pytest.raises(InputError, match=r"no folder .*absent.*coco:IMAGES_DIR"):
        load(str(tmp_path / "absent"))
    with pytest.raises(InputError, match="unknown kind of data set 'kitti'; valid: coco, cityscapes, imagenet"):
        load("kitti:somewhere")


def test_coco(tmp_path: Path) -> None:
    folder, file = _coco(tmp_path / "with, comma")
    dataset = load(f"coco:{folder},{file}")
    assert dataset.labels == "coco"
    assert [(p.id, p.path.name) for p in dataset.images] == [(3, "a.png"), (7, "b.png")]
    truth = dataset.ground_truth
    assert [image["id"] for image in truth["images"]] == [3, 7]
    assert truth["categories"] == [{"id": 1, "name": "person"}]
    assert truth["annotations"] == [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 2, 3], "area": 6, "iscrowd": 0},
        {"id": 2, "image_id": 3, "category_id": 1, "bbox": [0, 0, 8, 6], "area": 40.5, "iscrowd": 1},
    ]
    assert [a["image_id"] for a in dataset.head(1).ground_truth["annotations"]] == [3]


def test_coco_file_name_with_a_comma(tmp_path: Path) -> None:
    folder, file = _coco(tmp_path)
    file = file.rename(tmp_path / "labels, second try.json")
    assert len(load(f"coco:{folder},{file}").images) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "have no 'images'"),
        ({"annotations": None}, "have no 'annotations'"),
        ({"categories": None}, "have no 'categories'"),
        ({"images": []}, "list no image"),
        ({"images": [{"id": 1, "file_name": "c.png", "height": 1, "width": 1}]}, "c.png, which is not in"),
        ({"images": [{"id": 1, "file_name": "c" * 5000, "height": 1, "width": 1}]}, "ccc, which is not in"),
        ({"images": [{"id": 1, "file_name": "c\0.png", "height": 1, "width": 1}]}, "which is not in"),
        ({"images": [{"id": 1, "file_name": "a.png", "height": 1, "width": 1}] * 2}, "image id 1 twice"),
        # Counting each of them by itself would take as long as all other tests.
        ({"images": [_image(n) for n in (*range(100_000), 99_999)]}, "image id 99999 twice"),
        ({"images": [{"id": 1, "height": 1, "width": 1}]}, r"have no 'images\[0\].file_name'"),
        ({"categories": [{"id": 2, "name": "cat"}]}, "unlisted category 1"),
        ({"annotations": [{"image_id": 3, "category_id": 1, "bbox": [1, 2, 3]}]}, r"annotations\[0\].bbox"),
        ({"annotations": [{"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, float("nan")]}]}, "finite"),
    ],
)
def test_bad_coco_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder, file = _coco(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        load(f"coco:{folder},{file}")


def test_bad_coco_paths(tmp_path: Path) -> None:
    folder, file = _coco(tmp_path)
    with pytest.raises(InputError, match=r"coco:IMAGES_DIR,ANNOTATIONS\.json"):
        load(f"coco:{folder}")
    with pytest.raises(InputError, match=r"no folder of images .*absent"):
        load(f"coco:{tmp_path / 'absent'},{file}")
    with pytest.raises(InputError, match=r"annotations .*absent\.json"):
        load(f"coco:{folder},{tmp_path / 'absent.json'}")
    for text in ('{"images": [', "[]", "null", "\x00"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"labels\.json are not in COCO's format"):
            load(f"coco:{folder},{file}")


def test_a_large_coco_file_is_not_slow(tmp_path: Path) -> None:
    """As many annotations as COCO val2017 has; measured 1 s, the bound leaves room for a busy machine."""
    outline = [round(x, 2) for x in np.random.default_rng(0).uniform(0, 600, 60).tolist()]
    annotation = {"image_id": 3, "category_id": 1, "bbox": [1.5, 1.5, 20, 30], "area": 5.5, "iscrowd": 0}
    annotations = [{**annotation, "id": i, "segmentation": [outline]} for i in range(36_000)]
    folder, file = _coco(tmp_path, annotations=annotations)
    assert file.stat().st_size > 15e6
    start = time.process_time()
    assert len(load(f"coco:{folder},{file}").ground_truth["annotations"]) == 36_000
    assert time.process_time() - start < 10
