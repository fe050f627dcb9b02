"""The codec `calibrated`: fitted to one network, from a profile (docs/method.md)."""

from midstream.codec.calibrated.options import Calibrated

__all__ = ["Calibrated"]
