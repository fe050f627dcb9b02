"""Images with a map of depths each: 16-bit PNG files in parts of a metre, or NumPy's arrays in metres."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset
from midstream.data.images import decode, read_bytes
from midstream.data.listed import folder_at, numbered, parts
from midstream.data.mask_pairs import paired
from midstream.data.segmentation import image_entry
from midstream.errors import InputError, unknown
from midstream.wording import readable

_FORM = "depth:IMAGES_DIR,MAPS_DIR[,SCALE[,metric|affine|inverse]]"
#: How a network's numbers stand to depths: metres as they are; but for a scale and a shift of each image; or so to
#: their reciprocals, as relative networks have them (Ranftl et al. 2020, arXiv:1907.01341).
Relation = Literal["metric", "affine", "inverse"]
_PNG, _ARRAYS = (".png",), (".npy", ".npz")
#: How an .npz begins, and bytes of the array in it.
_ZIP_MAGIC, _MOST_BYTES = b"PK", 1 << 28
#: Of a map, in metres; of a scale, in values for a metre: from megametres to micrometres.
_FURTHEST, _LEAST_SCALE, _MOST_SCALE = 1e5, 1e-6, 1e6


def load_depth(spec: str, where: str) -> Dataset:
    """A data set from `IMAGES_DIR,MAPS_DIR`, `...,SCALE` or `...,SCALE,RELATION`; no folder's name has a comma.

    A map has its image's name, perhaps with an ending such as `_depth` (see `mask_pairs.paired`). A PNG file has 16-bit
    grey values, `SCALE` of which are a metre: 1000 where they are millimetres (NYU, Kinect), 256 in KITTI. An array,
    .npy or .npz with one, [height, width], is in metres unless there is a scale. What is 0, less, or no number has no
    depth and does not count. Images without a map are left out, and counted in the notes.

    Raises:
        InputError: what is named is not there, no image has a map, PNG files without a scale, a scale or a relation
            that is none, or a first map that cannot be used.
    """
    images_dir, maps_dir, *more = parts(where, _FORM, 2, 4)
    relation = more[1] if len(more) > 1 else "metric"
    if relation not in get_args(Relation):
        raise unknown("relation of a network's numbers to depths", relation, get_args(Relation))
    pairs, bare, ending = paired(
        folder_at(images_dir, "folder of images"), folder_at(maps_dir, "folder of maps"), (*_PNG, *_ARRAYS), "map"
    )
    scale = _scale(more[0], where) if more else None
    if scale is None and any(path.suffix.lower() in _PNG for _, path in pairs):
        raise InputError(
            f"'{where}' has maps as PNG files: say how many of their values are a metre, 1000 for millimetres (NYU) or "
            f"256 (KITTI): {_FORM}"
        )
    notes = [f"maps are the files NAME{ending}.*"] if ending else []
    if bare:
        notes.append(
            f"{len(bare)} of {len(pairs) + len(bare)} images have no map and are left out: {bare[0].name}, ..."
        )
    images = numbered([path for path, _ in pairs])
    about = {"scale": scale or 1.0, "relation": relation}
    annotations = [
        {"id": image.id, "image_id": image.id, "file_name": str(path), **about}
        for image, (_, path) in zip(images, pairs, strict=True)
    ]
    depth_map(annotations[0])
    truth: dict[str, Any] = {
        "images": [image_entry(image.id, image.path) for image in images],
        "categories": [],
        "annotations": annotations,
    }
    return Dataset(spec, "depth", images, truth, tuple(notes))


def _scale(text: str, where: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not _LEAST_SCALE <= scale <= _MOST_SCALE:
        raise InputError(f"'{where}': a scale is how many values are a metre, such as 1000 or 256, not '{text}'")
    return scale


def depth_map(annotation: Mapping[str, Any]) -> NDArray[np.float64]:
    """The depths of one annotation of a data set whose labels are `depth`, in metres [height, width]; NaN for none.

    Raises:
        InputError: the file cannot be read, or is no map; the message names it.
    """
    path = Path(annotation["file_name"])
    values = _grey(path) if path.suffix.lower() in _PNG else _array(path)
    if values.ndim != 2 or not values.size:
        raise InputError(f"{path} is no map of depths: its shape is {list(values.shape)}, not [height, width]")
    scale = float(annotation["scale"])
    with np.errstate(over="ignore"):  # what is not finite has no depth, and what is too far is refused
        values = values.astype(np.float64)
        depths = values / scale
    furthest = float(np.max(values, where=np.isfinite(values), initial=0)) / scale
    if furthest > _FURTHEST:
        raise InputError(f"{path} has depths up to {furthest:.3g} m: is its scale right?")
    depths[~((depths > 0) & (depths < np.inf))] = np.nan
    return np.asarray(depths)


def _grey(path: Path) -> NDArray[Any]:
    pixels = decode(read_bytes(path), path, cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        kind = f"{8 * pixels.dtype.itemsize} bits, {1 if pixels.ndim == 2 else pixels.shape[2]} channels"
        raise InputError(f"{path} is no map of depths: a PNG file of one has 16 bits and one channel, not {kind}")
    return pixels


def _array(path: Path) -> NDArray[Any]:
    data = read_bytes(path)
    try:
        values = _member(data, path) if data.startswith(_ZIP_MAGIC) else np.load(io.BytesIO(data), allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # of the zip's and of NumPy's format: of several classes
        raise InputError(f"cannot read the array {path}: {str(error).splitlines()[0]}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise InputError(f"cannot read the array {path}: it holds no numbers")
    return values.reshape([side for side in values.shape if side != 1] if values.ndim > 2 else values.shape)


def _member(data: bytes, path: Path) -> NDArray[Any]:
    """The one array of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(member.filename.removesuffix(".npy") for member in members[:3])
            raise InputError(f"{path} is no map of depths: it has {len(members)} arrays ({readable(names)}, ...)")
        if members[0].file_size > _MOST_BYTES:
            raise InputError(f"{path} is no map of depths: it holds more than {_MOST_BYTES:,} bytes")
        with archive.open(members[0]) as file:
            return np.asarray(np.load(io.BytesIO(file.read(_MOST_BYTES)), allow_pickle=False))
