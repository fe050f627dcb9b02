"""Which of many cuts to take: three proposals, each with the reason, and an estimate of bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.api import encode
from midstream.codec.paper.options import Paper
from midstream.layout import Tensor
from midstream.models.cuts import CutPoint
from midstream.models.survey import Survey, values_of
from midstream.progress import SILENT, Progress

#: Shares of the work: below the first a cut is early, up to the second in the middle, up to the third before the end.
_EARLY, _MIDDLE, _LATE = 0.3, 0.6, 0.98
#: So much more of the work a neck may take than its first complete cut: the rest of its last block.
_LAST_BLOCK = 0.06
#: Proposals.
MOST = 3


@dataclass(frozen=True)
class Proposal:
    """A cut and, in a few words, why it is proposed."""

    cut: CutPoint
    why: str


def propose(cuts: Sequence[CutPoint]) -> list[Proposal]:
    """Three cuts, or fewer where there are no more; the first is what `init` takes.

    They are the outputs of the neck where there are some, behind which no operation with weights works on two of the
    levels; the cut with the fewest elements in the middle of the work; and that with the fewest elements early in it. A
    network without a neck has the cut with the fewest elements before its end for the first.
    """
    tidy = [cut for cut in cuts if len(cut.tensors) == 1 or all(tensor.sides for tensor in cut.tensors)] or list(cuts)
    neck = _neck(tidy)
    before_the_end = "the fewest elements of all cuts that leave the device most of the work"
    first = (neck, "the neck's outputs: behind them each level has a head of its own")
    if neck is None:
        first = (_fewest(cut for cut in tidy if _EARLY <= cut.share <= _LATE), before_the_end)
    chosen = [
        first,
        (_fewest(cut for cut in tidy if _EARLY <= cut.share <= _MIDDLE), "the fewest elements in the middle"),
        (_fewest(cut for cut in tidy if cut.share < _EARLY), "the fewest elements with little work on the device"),
        (_fewest(cut for cut in tidy if cut.share > _LATE), "the end of the network, with next to no work behind it"),
        (_fewest(tidy), before_the_end),
    ]
    distinct: dict[CutPoint, str] = {}
    for cut, why in chosen:
        if cut is not None:
            distinct.setdefault(cut, why)
    return [Proposal(cut, why) for cut, why in distinct.items()][:MOST]


def worth_listing(cuts: Sequence[CutPoint], proposals: Sequence[Proposal]) -> list[CutPoint]:
    """The proposals and those cuts that no other one beats in elements with no more work before it."""
    wanted = {proposal.cut for proposal in proposals}
    listed, least = [], math.inf
    for cut in cuts:
        if cut.elements < least or cut in wanted:
            listed.append(cut)
        least = min(least, cut.elements)
    return listed


def _fewest(cuts: Iterable[CutPoint]) -> CutPoint | None:
    """The fewest elements, of several the latest."""
    return min(cuts, key=lambda cut: (cut.elements, -cut.share), default=None)


def _neck(cuts: Sequence[CutPoint]) -> CutPoint | None:
    first = next((cut for cut in cuts if cut.is_pyramid and not cut.mixes), None)
    if first is None:
        return None
    sides = [tensor.sides for tensor in first.tensors]
    same = [
        cut
        for cut in cuts
        if first.share <= cut.share <= first.share + _LAST_BLOCK
        and [tensor.sides for tensor in cut.tensors] == sides
        and not cut.mixes
    ]
    # What a neck gives is read by several: by the branches of a head, and on the way by the rest of the neck.
    return min(same, key=lambda cut: (cut.elements, -cut.readers, cut.share))


def with_bytes(
    seen: Survey, cuts: Sequence[CutPoint], feeds: Mapping[str, NDArray[Any]], progress: Progress = SILENT
) -> list[CutPoint]:
    """The cuts with an estimate of their bytes: what the codec `paper` with four values makes of them for one image.

    `calibrated` takes a fraction of that once it is calibrated; the order of the cuts is much the same.

    Args:
        seen: the graph.
        cuts: of `find_cuts`.
        feeds: the graph's inputs.
        progress: hears of each tensor.
    """
    names = list(dict.fromkeys(name for cut in cuts for name in cut.names))
    progress.stage("estimating bytes", len(names))
    sizes = {}
    for name, value in values_of(seen, feeds, names):
        sizes[name] = len(encode({"x": Tensor(_as_maps(value), "CHW")}, Paper(symbols=4)))
        progress.step()
    return [replace(cut, bytes=sum(sizes[name] for name in cut.names)) for cut in cuts]


def _as_maps(value: NDArray[Any]) -> NDArray[np.float32]:
    """[1, C, H, W] as [C, H, W]; tokens [1, n, C] and signals [1, C, n] as [C, 1, n], the shorter axis for channels."""
    array = np.nan_to_num(np.asarray(value[0], np.float32))
    if array.ndim == 3:
        return array
    if array.ndim == 2 and array.shape[0] > array.shape[1]:
        array = array.T
    return np.ascontiguousarray(array.reshape(array.shape[0], 1, math.prod(array.shape[1:])))
