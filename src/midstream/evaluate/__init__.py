"""Measuring: accuracy, rate, the paper's tables and figure."""
