"""Whether a guessed preprocessing can be right: what a detector finds in the first images, and what it would with
another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from midstream.errors import InputError
from midstream.models.base import Image
from midstream.models.description import Description
from midstream.models.detections import Detections
from midstream.models.onnx_model import OnnxModel
from midstream.models.plausible import USUAL_MISTAKES
from midstream.models.recognition.draft import Draft
from midstream.models.recognition.preprocessing import BYTE, IMAGENET

#: A network is sure of something whose score is above this.
_SURE = 0.3


def on_images(found: Draft, images: Sequence[Image]) -> list[str]:
    """What to say after a look at a few images; nothing where all looks well, or the network is no detector.

    Raises:
        InputError: there are no images.
    """
    if not images:
        raise InputError("no images to try the network on")
    best = _best_score(found.model(), images)
    if best is None or best >= _SURE:
        return []
    others = {what: _best_score(OnnxModel(other, found.path), images) for what, other in _others(found.description)}
    what, most = max(others.items(), key=lambda item: item[1] or 0)
    hint = f"; with {what} the best score is {most:.2f}" if most is not None and most >= _SURE else ""
    return [f"in {len(images)} images the network is sure of nothing (best score {best:.2f}): {USUAL_MISTAKES}{hint}"]


def _best_score(model: OnnxModel, images: Sequence[Image]) -> float | None:
    """Of all images; None for a network whose outputs have no scores.

    A higher one alone does not say that an image was read rightly: values far too large make networks sure of anything.
    """
    best = 0.0
    for image in images:
        try:
            output: Any = model.back(model.front(image), (image.shape[0], image.shape[1]))
        except InputError:  # of numbers that cannot be: another way of reading the image is none
            continue
        if not isinstance(output, Detections):
            return None
        best = max(best, float(output.scores.max(initial=0)))
    return best


def _others(description: Description) -> Iterator[tuple[str, Description]]:
    """Descriptions that differ in how the image is read."""
    about = description.input
    ways: list[tuple[str, dict[str, Any]]] = []
    if about.color != "gray":
        other = "BGR" if about.color == "RGB" else "RGB"
        turned = {"mean": about.mean[::-1], "std": about.std[::-1]}
        ways.append((f'color = "{other}"', {"color": other, **turned}))
    plain = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    ways += [
        ("scale = 1/255, without mean and std", {**plain, "scale": BYTE}),
        ("pixels from 0 to 255, without mean and std", {**plain, "scale": 1.0}),
        ("ImageNet's mean and std", {**IMAGENET, "scale": 1.0}),
        ("mean 127.5 and std 128", {"mean": (127.5,) * 3, "std": (128.0,) * 3, "scale": 1.0}),
    ]
    for what, fields in ways:
        other_input = about.model_copy(update=fields)
        if other_input != about:
            yield what, description.model_copy(update={"input": other_input})
