"""One class for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.models.tasks.base import Image, Vector
from midstream.models.tasks.tensors import Tensors, TensorTask

#: What rounding may add to a chance, and to the sum of all.
_SLACK = 1e-2
#: Classes that are drawn and listed, best first.
_SHOWN = 5


class Classification(TensorTask):
    """`scores` float32 [classes]: chances that add up to one.

    How far two outputs are apart is the share of the chances that moved to other classes (total variation); a network
    that is sure of itself moves all of it where its first choice changes.
    """

    name: ClassVar[str] = "classification"
    needs: ClassVar[Mapping[str, int]] = {"scores": 1}

    def moved(self, reference: Tensors, now: Tensors) -> Vector:
        """See Task: roots of chances (Hellinger), in which small changes of likely and unlikely classes are alike."""
        return np.asarray(_roots(now) - _roots(reference), np.float32)

    def disagreement(self, references: Sequence[Tensors], now: Sequence[Tensors]) -> float:
        """See Task."""
        pairs = zip(references, now, strict=True)
        kept = [np.minimum(a.values["scores"], b.values["scores"]).sum() for a, b in pairs]
        return float(np.clip(1 - np.mean(kept), 0, 1)) if kept else 0.0

    def fault(self, output: Tensors, classes: int) -> str:
        """See Task."""
        if fault := super().fault(output, classes):
            return fault
        scores = output.values["scores"]
        if classes and len(scores) != classes:
            return f"{len(scores)} scores for {classes} classes"
        low, total = (float(scores.min()), float(scores.sum())) if len(scores) else (0.0, 1.0)
        if low < -_SLACK or abs(total - 1) > _SLACK:
            return (
                f"scores from {low:.3g} on that add up to {total:.3g} are no chances: say `softmax = true` for logits"
            )
        return ""

    def annotate(self, image: Image, output: Tensors, classes: Sequence[str]) -> Image:
        """See Task."""
        from midstream.models.annotate import drawn_text  # it needs an extra, which the core does without

        return drawn_text(image, [f"{name} {score:.2f}" for name, _, score in _best(output, classes)[:3]])

    def listed(self, output: Tensors, classes: Sequence[str], ids: Sequence[int] | None) -> dict[str, Any]:
        """See Task: the best classes."""
        entries = []
        for name, label, score in _best(output, classes):
            own = {} if ids is None or label >= len(ids) else {"category_id": ids[label]}
            entries.append({"category": name, "label": label, **own, "score": score})
        return {"classes": entries}


def _roots(output: Tensors) -> NDArray[np.float32]:
    return np.sqrt(np.maximum(np.asarray(output.values["scores"], np.float32), 0))


def _best(output: Tensors, classes: Sequence[str]) -> list[tuple[str, int, float]]:
    scores = output.values["scores"]
    order = np.argsort(-scores, kind="stable")[:_SHOWN].tolist()
    return [(classes[at] if at < len(classes) else str(at), at, float(scores[at])) for at in order]
