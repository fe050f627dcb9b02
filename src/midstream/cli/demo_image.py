"""demo --image: what a network finds in one image, before and after its features are coded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from midstream import models
from midstream.cli.drawing import png
from midstream.codec.base import Codec
from midstream.codec.calibrated.options import Calibrated
from midstream.codec.calibrated.profile import Profile
from midstream.codec.paper.options import Paper
from midstream.data import read_image, scenes
from midstream.errors import InputError
from midstream.files import make_folder, write_bytes
from midstream.halves.coding import decode_features, encode_features
from midstream.halves.levels import completed
from midstream.models import Image, SplitModel
from midstream.models.registry import SHIPPED, known_models

#: The project's own network, which knows the project's own scenes and nothing else.
MODEL = "streets-r16"
#: The profile of that network, from scenes that are neither trained on nor measured by the demo.
PROFILE = SHIPPED / f"{MODEL}.profile"
_QUALITY = 60
#: Height of a caption, and the white on either side of an image, in pixels.
_ROW, _MARGIN = 24, 2


def show_image(image: Path, folder: Path) -> list[str]:
    """Write `image.png`: what is found without coding and after coding, side by side; lines that say what it shows.

    Raises:
        InputError: an image that cannot be read, or a photograph where there is no detector of photographs.
    """
    pixels = read_image(image)
    scene = scenes.is_scene(image, pixels)
    name = MODEL if scene else _detector_of_photographs(image)
    ways: list[tuple[str, Codec]] = [("paper, 4 symbols", Paper(symbols=4))]
    if scene:
        ways.append((f"calibrated, quality {_QUALITY}", Calibrated(profile=Profile.read(PROFILE), quality=_QUALITY)))
    else:
        ways.append(("paper, 3 symbols", Paper(symbols=3)))
    network = models.load(name)
    make_folder(folder)
    target = folder / "image.png"
    write_bytes(str(target), png(np.concatenate(_tiles(network, pixels, ways), axis=1)))
    lines = [f"{target}: what {name} finds before coding and after; orange: only after"]
    if not scene:
        lines.append(
            f"the codec calibrated needs a profile of {name}: midstream calibrate --model {name} --images PHOTOS "
            f"-o {name}.profile"
        )
    return lines


def _detector_of_photographs(image: Path) -> str:
    """A detector other than the project's own whose weights are here. Raises InputError."""
    known = [model for model in known_models() if model.name != MODEL and model.kind != "torch"]
    here = [model.name for model in known if model.weights is not None]
    if not here:
        raise InputError(
            f"{image}: {MODEL} knows only the project's own scenes (midstream scenes), and of the detectors of "
            f"photographs, {', '.join(model.name for model in known)}, no weights are here: midstream models says "
            "where they come from, $MIDSTREAM_ASSETS/models is where they belong"
        )
    return here[0]


def _tiles(network: SplitModel, pixels: Image, ways: Sequence[tuple[str, Codec]]) -> list[Image]:
    from midstream.report.samples import drawn  # it needs an extra, which a refusal does without

    size = (pixels.shape[0], pixels.shape[1])
    pyramid = network.front(pixels)
    found = network.back(pyramid, size)
    elements = sum(level.size for level in pyramid.values())
    tiles = [_tile(drawn(pixels, network.task, found, found, network.classes), f"uncompressed: {4 * elements:,} bytes")]
    for name, codec in ways:
        data = encode_features(network, pyramid, size, codec)
        after = network.back(completed(network, decode_features(data, codec), list(pyramid)), size)
        tiles.append(_tile(drawn(pixels, network.task, after, found, network.classes), f"{name}: {len(data):,} bytes"))
    return tiles


def _tile(pixels: Image, caption: str) -> Image:
    """An image with its caption above; as wide as the caption at least."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    width = max(pixels.shape[1] + 2 * _MARGIN, cv2.getTextSize(caption, font, scale, 1)[0][0] + 4 * _MARGIN)
    tile = np.full((pixels.shape[0] + _ROW, width, 3), 255, np.uint8)
    tile[_ROW:, _MARGIN : _MARGIN + pixels.shape[1]] = pixels
    cv2.putText(tile, caption, (2 * _MARGIN, _ROW - 8), font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
