"""The codec `paper`: each channel normalised and quantised to a few symbols (docs/method.md)."""
