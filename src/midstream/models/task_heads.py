"""What a description may say of outputs that are no boxes: one kind of head a task."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from midstream.models.fields import Flag

_Name = Annotated[str, Field(min_length=1, max_length=10_000)]


class _TaskHead(BaseModel):
    """`output` names the graph's output; it may be left out for a graph that has one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    output: _Name | None = None


class ClassificationHead(_TaskHead):
    """One output of a number a class, [1, classes]; `softmax` says that they are logits."""

    kind: Literal["classification"]
    softmax: Flag = False


class SegmentationHead(_TaskHead):
    """One output of a map a class, [1, classes, h, w], at any stride; of labels, if they are whole numbers [1, h, w].

    `threshold`, for a map of one channel, is the value above which there is something (0.3 in DBNet). `channels_last`
    is for maps [1, h, w, classes].
    """

    kind: Literal["segmentation"]
    threshold: Annotated[float, Field(ge=-1e6, le=1e6, strict=True)] = 0.0
    channels_last: Flag = False


class DepthHead(_TaskHead):
    """One output of a number a pixel, [1, 1, h, w] or [1, h, w], at any stride."""

    kind: Literal["depth"]


class EmbeddingHead(_TaskHead):
    """One output of a vector, [1, d]; axes of one are left out."""

    kind: Literal["embedding"]


class TensorsHead(BaseModel):
    """Outputs whose meaning nobody asks for: all of the graph's, or those that are named."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["tensors"]
    outputs: Annotated[tuple[_Name, ...], Field(max_length=64)] = ()


TaskHead = ClassificationHead | SegmentationHead | DepthHead | EmbeddingHead | TensorsHead
