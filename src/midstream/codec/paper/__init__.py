"""The codec `paper`: each channel normalised and quantised to a few symbols (docs/method.md)."""

from midstream.codec.paper.options import Paper

__all__ = ["Paper"]
