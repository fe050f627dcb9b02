"""A vector for an image, to be compared with those of others by its direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from midstream.models.tasks.base import Vector
from midstream.models.tasks.tensors import Tensors, TensorTask


class Embedding(TensorTask):
    """`vector` float32 [d]; its length means nothing."""

    name: ClassVar[str] = "embedding"
    needs: ClassVar[Mapping[str, int]] = {"vector": 1}

    def moved(self, reference: Tensors, now: Tensors) -> Vector:
        """See Task: of unit vectors."""
        return direction(now) - direction(reference)

    def disagreement(self, references: Sequence[Tensors], now: Sequence[Tensors]) -> float:
        """See Task: one minus the mean cosine."""
        cosines = [float(direction(a) @ direction(b)) for a, b in zip(references, now, strict=True)]
        return float(np.clip(1 - np.mean(cosines), 0, 1)) if cosines else 0.0


def direction(output: Tensors) -> Vector:
    """The unit vector; of zeros, zeros."""
    vector = np.asarray(output.values["vector"], np.float32).reshape(-1)
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector
