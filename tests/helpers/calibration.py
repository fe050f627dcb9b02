"""Calibrations of the toy network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from tests.helpers.progress import Quiet

from midstream import data as datasets
from midstream import models
from midstream.calibration import layout, made
from midstream.calibration.clips import ClipSource
from midstream.calibration.run import Calibration, fit
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import Views

FAST = CalibrationSettings(images=24, tools=replace(Tools(), power=False))


def calibrated(
    folder: Path, work: Path, settings: CalibrationSettings = FAST, model: Any = None, clips: Sequence[ClipSource] = ()
) -> Calibration:
    network = model or models.load(str(folder / "toy.toml"), threads=1)
    views = Views(network, datasets.load(str(folder / "calib")).images, work, settings)
    few = mock.patch.object(layout, "FEWEST_IMAGES", 1)  # layers from as few images as tests have
    always = mock.patch.object(made, "best_way", return_value=0)  # and wherever there may be some
    with few, always:
        return fit(network, views, settings, Quiet(), clips)
