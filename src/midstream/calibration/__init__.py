"""Fitting the codec `calibrated` to a network: a few unlabelled images, forward passes only, unless it is also trained.

`midstream.calibrate` does it in one call. Its parts are here: `Views` reads images and runs the front, `fit` makes a
`Calibration` of them, which has more to show than its profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.lazy import loader
from midstream.progress import Progress

if TYPE_CHECKING:
    from midstream.calibration.run import Calibration, fit
    from midstream.calibration.settings import CalibrationSettings, Settings, Tools
    from midstream.calibration.views import Views
    from midstream.calibration.whole import calibrate

__all__ = ["Calibration", "CalibrationSettings", "Progress", "Settings", "Tools", "Views", "calibrate", "fit"]

__getattr__ = loader(
    __name__,
    {
        "Calibration": "run",
        "CalibrationSettings": "settings",
        "Settings": "settings",
        "Tools": "settings",
        "Views": "views",
        "calibrate": "whole",
        "fit": "run",
    },
    extra="networks",
)


def __dir__() -> list[str]:
    return __all__
