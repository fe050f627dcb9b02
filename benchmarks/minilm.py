"""A small transformer for tokens.py: all-MiniLM-L6-v2 (Apache 2.0), from its weights, in NumPy.

Six layers of 384 numbers a token and 12 heads; an embedding is the mean of the last layer's tokens, of length one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Floats = NDArray[np.float32]
LAYERS, HEADS = 6, 12
#: Of a text.
TOKENS = 128


class MiniLM:
    """The network, cut behind a layer."""

    def __init__(self, folder: Path) -> None:
        self._w = {name: values.astype(np.float32) for name, values in load_file(folder / "model.safetensors").items()}
        self._words = {word: at for at, word in enumerate((folder / "vocab.txt").read_text("utf-8").split("\n"))}

    def tokens(self, text: str) -> list[int]:
        """WordPiece without case, at most TOKENS of them."""
        plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        found = [piece for word in re.findall(r"\w+|[^\w\s]", plain) for piece in self._pieces(word)]
        return [self._words["[CLS]"], *found[: TOKENS - 2], self._words["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        out: list[int] = []
        at = 0
        while at < len(word):
            ends = (end for end in range(len(word), at, -1) if ("##" * (at > 0) + word[at:end]) in self._words)
            end = next(ends, None)
            if end is None:
                return [self._words["[UNK]"]]
            out.append(self._words["##" * (at > 0) + word[at:end]])
            at = end
        return out

    def front(self, ids: list[int], layers: int) -> Floats:
        """[tokens, 384] behind so many layers."""
        table = "embeddings.{}_embeddings.weight".format
        x = self._w[table("word")][ids] + self._w[table("position")][: len(ids)] + self._w[table("token_type")][0]
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(layers):
            x = self.layer(x, layer)
        return x

    def back(self, x: Floats, layers: int) -> Floats:
        """The embedding [384] of what lies behind so many layers."""
        for layer in range(layers, LAYERS):
            x = self.layer(x, layer)
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def cache(self, x: Floats, layer: int) -> tuple[Floats, Floats]:
        """Keys and values [heads, tokens, 32] of a layer's input."""
        name = f"encoder.layer.{layer}.attention.self."
        return self._heads(self._linear(x, name + "key")), self._heads(self._linear(x, name + "value"))

    def layer(self, x: Floats, number: int, cache: tuple[Floats, Floats] | None = None) -> Floats:
        """One layer's output; with other keys and values than its own where they are given."""
        name = f"encoder.layer.{number}."
        queries = self._heads(self._linear(x, name + "attention.self.query"))
        keys, values = cache or self.cache(x, number)
        scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(np.float32(queries.shape[2]))
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        seen = (weights / weights.sum(axis=2, keepdims=True)) @ values
        seen = seen.transpose(1, 0, 2).reshape(x.shape)
        x = self._norm(x + self._linear(seen, name + "attention.output.dense"), name + "attention.output.LayerNorm")
        inner = self._linear(x, name + "intermediate.dense")
        outer = self._linear(_gelu(inner), name + "output.dense")
        return self._norm(x + outer, name + "output.LayerNorm")

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._w[f"{name}.weight"].T + self._w[f"{name}.bias"]

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=1, keepdims=True)
        scale = 1 / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-12)
        return np.asarray(centred * scale * self._w[f"{name}.weight"] + self._w[f"{name}.bias"], np.float32)

    def _heads(self, x: Floats) -> Floats:
        return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


def _gelu(x: Floats) -> Floats:
    """With the error function of Abramowitz and Stegun 7.1.26, to 2e-7."""
    z = np.abs(x) / np.sqrt(np.float32(2))
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(0.5 * x * (1 + np.sign(x) * (1 - series * np.exp(-z * z))), np.float32)


def texts(words: int = 110) -> Iterator[str]:
    """English prose that every Python has: its own reference manual, so many words at a time."""
    for name in sorted(topics):
        found = re.sub(r"[*`\"|+=-]{2,}|\s+", " ", topics[name]).split()
        for at in range(0, len(found) - words, words):
            yield " ".join(found[at : at + words])
