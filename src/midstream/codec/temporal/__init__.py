"""Frames of a stream that are predicted from the frame before: codec 2 of the format, and `calibrated` in a stream."""
