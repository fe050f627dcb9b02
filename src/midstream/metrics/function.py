"""What a network's user measures it by: a function of two outputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.metrics.outputs import AdditiveMetric, OutputCase
from midstream.models.tasks.function import FunctionTask


class Agreement(AdditiveMetric):
    """The mean of the function over the images."""

    name: ClassVar[str] = "agreement"
    title: ClassVar[str] = "by the task's function"
    task: ClassVar[str] = FunctionTask.name

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """What the function says, images."""
        task = case.task
        assert isinstance(task, FunctionTask)
        return np.array([[task.agreement(case.reference[i], case.found[i]), 1.0] for i in case.images])
