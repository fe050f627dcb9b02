"""The codec: normalise, quantise, code symbols, contain; and the same backwards."""
