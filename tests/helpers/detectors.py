"""The detectors of the assets."""

from __future__ import annotations

from pathlib import Path

from midstream import models

#: Name -> AP on the assets' labelled images (their README), shapes of the pyramid.
NETWORKS = {
    "picodet-s-416": (34.3, [(96, 52, 52), (96, 26, 26), (96, 13, 13), (96, 7, 7)]),
    "yolox-nano-416": (29.2, [(64, 52, 52), (128, 26, 26), (256, 13, 13)]),
}


def load(name: str, assets: Path) -> models.SplitModel:
    return models.load(name, assets / "models" / models.registry.descriptions()[name].weights.file)
