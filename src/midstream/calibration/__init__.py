"""Fitting the codec `calibrated` to a network: a few unlabelled images, forward passes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.lazy import loader
from midstream.progress import Progress

if TYPE_CHECKING:
    from midstream.calibration.run import Calibration, calibrate
    from midstream.calibration.settings import CalibrationSettings, Settings, Tools
    from midstream.calibration.views import Views

__all__ = ["Calibration", "CalibrationSettings", "Progress", "Settings", "Tools", "Views", "calibrate"]

__getattr__ = loader(
    __name__,
    {
        "Calibration": "run",
        "CalibrationSettings": "settings",
        "Settings": "settings",
        "Tools": "settings",
        "Views": "views",
        "calibrate": "run",
    },
    extra="networks",
)


def __dir__() -> list[str]:
    return __all__
