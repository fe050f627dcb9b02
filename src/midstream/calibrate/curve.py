"""What the codec costs and loses at each step, by the agreement of detections with the uncompressed network's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from midstream.calibrate.views import View, Views
from midstream.codec.calibrated.coding import Analysed, analyse, code
from midstream.codec.calibrated.document import QUALITIES, STEP_INDICES, CurvePoint
from midstream.codec.calibrated.options import Calibrated
from midstream.codec.calibrated.parts import Floats, GroupPart
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.transform import forward, inverse
from midstream.data import Dataset
from midstream.features import check_pyramid
from midstream.metrics.accuracy import evaluate
from midstream.models import Detections, SplitModel
from midstream.split.coding import decode_features
from midstream.split.levels import completed
from midstream.split.round_trip import RoundTrip, round_trip

#: Between measured steps, in eighths of an octave.
RUNG = 4
#: The curve is measured down to this loss.
LEAST_LOSS = 0.002
#: A curve whose loss is below this and has not fallen for so many points has come to what the transform leaves out.
_SMALL_LOSS, _NO_BETTER, _PATIENCE = 0.03, 0.95, 3
#: Nobody works at a higher loss than this: what a transform does there says nothing.
_USEFUL_LOSS = 0.12
#: Points that a curve of losses has at least.
_FEWEST_USEFUL = 2
#: The relative loss of AP that goes with a disagreement d is about a * d + b * d^2: agreement asks for the same boxes,
#: so that small disagreements cost AP next to nothing (docs/method.md has the figures that this was drawn through).
_LINEAR, _SQUARE = 0.1, 1.5
#: Steps finer than the coarsest one whose loss is so near the least are for the eye only.
_AS_GOOD, _AS_GOOD_BY = 1.2, 5e-4
#: The estimated relative losses that quality 1 and 100 stand for.
_WORST_QUALITY, _BEST_QUALITY = 0.3, 0.002


@dataclass(frozen=True)
class _Case:
    view: View
    analysed: Analysed


def _case(views: Views, profile: Profile, view: View) -> _Case:
    """With the probe's importance map, as a device has it."""
    return _Case(view, analyse(check_pyramid(views.sent(view)), profile, threads=1))


def measured_curve(
    model: SplitModel,
    views: Views,
    profile: Profile,
    coarsest: int,
    rung: int,
    least_loss: float,
    advance: Callable[[str], None],
    most_bytes: float = math.inf,
) -> list[CurvePoint]:
    """Points from the coarsest useful step to the finest, by increasing step.

    Args:
        model: the network.
        views: the held-out images are measured.
        profile: as far as it is known.
        coarsest: the step to begin with.
        rung: from a step to the next finer one.
        least_loss: the curve ends with a loss below it, or where finer steps help no more.
        advance: told of each point.
        most_bytes: the curve ends with a point that takes more.
    """
    codec = Calibrated(profile=profile)
    cases = [_case(views, profile, view) for view in views.held_out]
    points: list[CurvePoint] = []
    for step in range(min(coarsest, STEP_INDICES - 1), -1, -rung):
        point = _point(model, views, codec, cases, step)
        points.append(point)
        advance(f"step {step}: {point.bytes:,.0f} bytes, loss {point.loss:.1%}")
        if point.bytes > most_bytes or (views.reference is not None and _finished(points, least_loss)):
            break
        if views.reference is None and len(points) == _UNLABELLED:
            break
    return _monotone(points)


def seconds_a_case(model: SplitModel, views: Views, profile: Profile, step: int) -> float:
    """What a held-out image takes here at a step: coding it, decoding it, running the back."""
    codec, view = Calibrated(profile=profile), views.held_out[0]
    case = _case(views, profile, view)
    before = time.monotonic()
    _measured(model, views, codec, case, step)
    return time.monotonic() - before


#: Rungs that are measured where there is no loss to see.
_UNLABELLED = 8


def _finished(points: Sequence[CurvePoint], least_loss: float) -> bool:
    """Whether the last point is good enough, or no better than the third before it, which was small already."""
    if points[-1].loss < least_loss:
        return True
    return (
        len(points) > _PATIENCE
        and points[-1].loss < _SMALL_LOSS
        and points[-1].loss > _NO_BETTER * points[-1 - _PATIENCE].loss
    )


def costs_at_equal_loss(curves: Sequence[Sequence[CurvePoint]]) -> list[float]:
    """Geometric mean of each curve's bytes over the useful losses that all of them have."""
    lows = [min(point.loss for point in each) for each in curves]
    highs = [max(point.loss for point in each) for each in curves]
    worst = max(min(*highs, _USEFUL_LOSS), max(lows))
    wanted = np.linspace(max(lows), worst, 50)
    out = []
    for each in curves:
        ordered = sorted(each, key=lambda point: point.loss)
        sizes = np.interp(wanted, [point.loss for point in ordered], [np.log(point.bytes) for point in ordered])
        out.append(float(np.exp(sizes.mean())))
    return out


def _point(
    model: SplitModel,
    views: Views,
    codec: Calibrated,
    cases: Sequence[_Case],
    step: int,
) -> CurvePoint:
    sizes, found = [], {}
    for case in cases:
        done = _measured(model, views, codec, case, step)
        sizes.append(len(done.data))
        found[case.view.file.id] = done.output
    return CurvePoint(step=step, bytes=float(np.mean(sizes)), loss=_loss(model, views.reference, found))


def _loss(model: SplitModel, reference: Dataset | None, found: Mapping[int, Detections]) -> float:
    if reference is None:
        return 0.0
    agreement = evaluate(reference, found, model.classes)
    best = agreement.ap if agreement.segm_ap is None else agreement.segm_ap
    return estimated_loss(1 - best / 100)


def transform_loss(model: SplitModel, views: Views, groups: Sequence[GroupPart], advance: Callable[[], None]) -> float:
    """The estimated loss on the held-out images of transforming there and back, without quantisation."""
    found = {}
    for view in views.held_out:
        maps = views.sent(view)
        sizes = {name: (values.shape[1], values.shape[2]) for name, values in maps.items()}
        received: dict[str, Floats] = {}
        for group in groups:
            received |= inverse(group, forward(group, maps, 1), sizes, 1)
        whole = completed(model, {name: received[name] for name in maps}, list(views.full(view)))
        found[view.file.id] = model.back(whole, view.size)
        advance()
    return _loss(model, views.reference, found)


def _measured(model: SplitModel, views: Views, codec: Calibrated, case: _Case, step: int) -> RoundTrip:
    return round_trip(
        model,
        views.full(case.view),
        case.view.size,
        lambda: code(case.analysed, step),
        lambda data: decode_features(data, codec, 1),
    )


def _monotone(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """By increasing step, with a loss that does not fall: the noise of few images is averaged out."""
    ordered = sorted(points, key=lambda point: point.step)
    blocks: list[tuple[float, int]] = []
    for point in ordered:  # pool adjacent violators (Ayer et al. 1955)
        blocks.append((point.loss, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    losses = [loss for loss, count in blocks for _ in range(count)]
    return [CurvePoint(step=p.step, bytes=p.bytes, loss=loss) for p, loss in zip(ordered, losses, strict=True)]


def estimated_loss(disagreement: float) -> float:
    """The relative loss of accuracy, 0 to 1, that goes with a disagreement, 0 to 1."""
    return min(_LINEAR * disagreement + _SQUARE * disagreement**2, 1.0)


def quality_loss(quality: int) -> float:
    """The estimated relative loss that a quality stands for: from 30 % at 1 to 0.2 % at 100, in equal ratios."""
    share = (quality - QUALITIES[0]) / (QUALITIES[-1] - QUALITIES[0])
    return float(_WORST_QUALITY * (_BEST_QUALITY / _WORST_QUALITY) ** share)


def quality_steps(points: Sequence[CurvePoint]) -> tuple[int, ...]:
    """The step for each quality, between the measured points; no finer than what helps."""
    least = min(point.loss for point in points)
    finest = max(point.step for point in points if point.loss <= _AS_GOOD * least + _AS_GOOD_BY)
    useful = [point for point in points if point.step >= finest]
    if len(useful) < _FEWEST_USEFUL:  # nothing is lost anywhere, as far as could be seen
        ends = points[-1].step, points[0].step
        return tuple(round(step) for step in np.linspace(*ends, len(QUALITIES)))
    logs = np.log([max(point.loss, 1e-5) for point in useful])
    rising = np.maximum.accumulate(logs + 1e-9 * np.arange(len(logs)))
    wanted = np.log([quality_loss(quality) for quality in QUALITIES])
    found = np.rint(np.interp(wanted, rising, [point.step for point in useful])).astype(int)
    return tuple(int(step) for step in np.minimum.accumulate(found))
