"""Measuring: accuracy, rate, the paper's tables and figure.

`midstream.evaluate` measures one codec. Several are measured side by side by `run`, and detections from elsewhere are
scored by `accuracy_of`:

>>> model = ms.load_model("picodet-s-416")
>>> dataset = ms.data.load("coco:IMAGES,ANNOTATIONS.json")     # or a folder of images: agreement
>>> results = ms.evaluation.run(model, dataset, [ms.Paper(symbols=4), ms.Paper(symbols=3)])
>>> [(each.ap, each.bytes_per_image) for each in results]      # one result for each codec
"""

from __future__ import annotations

from midstream.evaluation.codecs import calibrated_options, paper_options
from midstream.lazy import needing

with needing(__name__, "networks"):
    from midstream.evaluation.run import EvalResult, run
    from midstream.evaluation.whole import evaluate
    from midstream.metrics.accuracy import Accuracy, accuracy_of
    from midstream.metrics.agreement import reference_dataset

__all__ = [
    "Accuracy",
    "EvalResult",
    "accuracy_of",
    "calibrated_options",
    "evaluate",
    "paper_options",
    "reference_dataset",
    "run",
]


def __dir__() -> list[str]:
    return __all__
