"""Pipelines side by side on the same pictures: points that survive an interruption, curves, and what they are worth."""
