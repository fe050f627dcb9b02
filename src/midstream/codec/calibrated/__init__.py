"""The codec `calibrated`: a transform fitted to a network, steps that follow the task, primed context mixing."""
