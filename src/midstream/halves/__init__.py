"""A network in two halves with a codec between them: what the device sends, what the server makes of it."""
