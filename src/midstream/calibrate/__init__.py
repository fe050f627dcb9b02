"""Fitting the codec `calibrated` to a network: a few unlabelled pictures, forward passes only."""
