"""What the codec costs and loses at each step, by what the network finds of what it found without coding."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from midstream.calibration.loss import CalibrationReference, Relation, Seen
from midstream.calibration.views import View, Views
from midstream.codec.calibrated.coding import Analysed, analyse, code
from midstream.codec.calibrated.document import QUALITIES, STEP_INDICES, CurvePoint
from midstream.codec.calibrated.options import Calibrated
from midstream.codec.calibrated.parts import Floats, GroupPart
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.transform import forward, inverse
from midstream.features import check_pyramid
from midstream.halves.coding import decode_features
from midstream.halves.levels import completed
from midstream.halves.round_trip import RoundTrip, round_trip
from midstream.models import SplitModel

#: Between measured steps, in eighths of an octave.
RUNG = 4
#: The curve is measured down to this loss, even of a network that loses much by little.
LEAST_LOSS = 0.002
#: A curve whose loss is below this and has not fallen for so many points has come to what the transform leaves out.
_SMALL_LOSS, _NO_BETTER, _PATIENCE = 0.05, 0.95, 3
#: So has one of any loss but a hopeless one after more points: four octaves of the step without a gain.
_HOPELESS_LOSS, _MORE_PATIENCE = 0.5, 8
#: Nobody works at a higher loss than this: what a transform does there says nothing.
_USEFUL_LOSS = 0.12
#: No smaller loss can be seen in the images of a calibration.
_SEEN_LOSS = 1e-3
#: Points that a curve of losses has at least.
_FEWEST_USEFUL = 2
#: Steps finer than the coarsest one whose loss is so near the least are for the eye only.
_AS_GOOD, _AS_GOOD_BY = 1.2, 5e-4
#: Disagreements of the steps at which it is measured what they cost, and how many of these there are about.
_USEFUL, _RELATED = (0.05, 0.4), 3
#: Of a cliff: how many times the loss of the step before, half an octave finer, a step has, and how much at least.
_CLIFF, _CLIFF_LOSS = 3.0, 0.02
#: Qualities so far apart have different steps, which are 9 % long.
_APART = 5
#: The estimated relative losses that quality 1 and 100 stand for.
WORST_QUALITY, _BEST_QUALITY = 0.3, 0.002
#: Of a coarser step's bytes beside those of the one before, at most: behind that there is nothing left to leave out.
_FEWER = 0.98


@dataclass(frozen=True)
class StepMeasured:
    """What coding at a step makes of the held-out images.

    Attributes:
        bytes: mean of an image.
        seen: what the network sees in them.
    """

    step: int
    bytes: float
    seen: Seen


@dataclass(frozen=True)
class _Case:
    view: View
    analysed: Analysed


def _case(views: Views, profile: Profile, view: View) -> _Case:
    """With the probe's importance map, as a device has it."""
    return _Case(view, analyse(check_pyramid(views.sent(view), maps=True), profile, threads=1))


def measured(
    reference: CalibrationReference,
    profile: Profile,
    coarsest: int,
    rung: int,
    losses: tuple[float, float],
    relation: Relation,
    advance: Callable[[str], None],
    most_bytes: float = math.inf,
) -> list[StepMeasured]:
    """What coding makes of the images of `reference`, from the coarsest useful step to the finest.

    Args:
        reference: what is found without coding in the images that are measured.
        profile: as far as it is known.
        coarsest: the step to begin with.
        rung: from a step to the next finer one.
        losses: the curve ends with a loss below the first, or where finer steps help no more. Coarser steps than
            `coarsest` are measured, as long as they take fewer bytes, up to one that usually means the second.
        relation: by which the loss is estimated for the first.
        advance: told of each point.
        most_bytes: the curve ends with a point that takes more.
    """
    cases = cache(lambda: [_case(reference.views, profile, view) for view in reference.images])
    out: list[StepMeasured] = []
    least_loss, worst_loss = losses

    def at(step: int) -> StepMeasured:
        point = _kept_or_measured(reference, profile, cases, step)
        advance(f"step {step}: {point.bytes:,.0f} bytes, disagreement {point.seen.disagreement:.1%}")
        return point

    for step in range(min(coarsest, STEP_INDICES - 1), -1, -rung):
        out.append(at(step))
        if out[-1].bytes > most_bytes or (
            not reference.empty and finished([relation.loss(each.seen.disagreement) for each in out], least_loss)
        ):
            break
        if reference.empty and len(out) == _UNLABELLED:
            break
    before = math.inf
    for step in range(out[0].step + rung, STEP_INDICES, rung):
        if reference.usual.loss(out[0].seen.disagreement) >= worst_loss or out[0].bytes > _FEWER * before:
            break
        before = out[0].bytes
        out.insert(0, at(step))
    return out


def _kept_or_measured(
    reference: CalibrationReference, profile: Profile, cases: Callable[[], Sequence[_Case]], step: int
) -> StepMeasured:
    """A point, from what a run that was stopped has left if it came so far."""

    def make() -> dict[str, NDArray[np.float64]]:
        trips = [_round_trip(reference.model, reference.views, profile, case, step) for case in cases()]
        made = _as_measured(reference, step, trips)
        lost = math.nan if made.seen.lost is None else made.seen.lost
        return {"point": np.array([made.bytes, made.seen.disagreement, lost])}

    names = " ".join(view.file.path.name for view in reference.images)
    what = f"expected point {step} of {hashlib.sha256(profile.data).hexdigest()} on {names}"
    size, disagreement, lost = map(float, reference.views.kept(what, None, make)["point"])
    seen = Seen(disagreement, None if math.isnan(lost) else lost)
    return StepMeasured(step, size, seen)


def curve_points(curve: Sequence[StepMeasured], relation: Relation) -> list[CurvePoint]:
    """By increasing step, with losses that do not fall."""
    return _monotone([CurvePoint(step=m.step, bytes=m.bytes, loss=relation.loss(m.seen.disagreement)) for m in curve])


def relation_shown(
    reference: CalibrationReference, profile: Profile, curve: Sequence[StepMeasured], advance: Callable[[str], None]
) -> Relation:
    """The loss that goes with a disagreement, as the images of `reference` show it at some steps of a curve.

    These may be images that the profile was fitted to: it is not the disagreement that counts, but what goes with it.
    """
    useful = [each.step for each in curve if _USEFUL[0] < each.seen.disagreement < _USEFUL[1]]
    steps = useful[:: -(-len(useful) // _RELATED)] if useful else []
    trips: dict[int, list[RoundTrip]] = {step: [] for step in steps}
    for view in reference.images if steps else []:
        case = _case(reference.views, profile, view)
        for step in steps:
            trips[step].append(_round_trip(reference.model, reference.views, profile, case, step))
        advance("")
    seen = [_as_measured(reference, step, trips[step]).seen for step in steps]
    return Relation.of(seen, reference.objects or 0)


def seconds_a_case(model: SplitModel, views: Views, profile: Profile, step: int) -> float:
    """What a held-out image takes here at a step: coding it, decoding it, running the back."""
    case = _case(views, profile, views.held_out[0])
    before = time.monotonic()
    _round_trip(model, views, profile, case, step)
    return time.monotonic() - before


#: Rungs that are measured where there is no loss to see.
_UNLABELLED = 8


def finished(losses: Sequence[float], least_loss: float) -> bool:
    """Whether the last point is good enough, or finer steps have helped no more."""
    if losses[-1] < least_loss:
        return True
    stopped = ((_SMALL_LOSS, _PATIENCE), (_HOPELESS_LOSS, _MORE_PATIENCE))
    return any(
        len(losses) > patience and losses[-1] < loss and losses[-1] > _NO_BETTER * losses[-1 - patience]
        for loss, patience in stopped
    )


def costs_at_equal_loss(curves: Sequence[Sequence[CurvePoint]]) -> list[float]:
    """Geometric mean of each curve's bytes over the useful losses that all of them have, in equal ratios."""
    lows = [min(point.loss for point in each) for each in curves]
    highs = [max(point.loss for point in each) for each in curves]
    worst = max(min(*highs, _USEFUL_LOSS), max(lows))
    wanted = np.linspace(math.log(max(*lows, _SEEN_LOSS)), math.log(max(worst, _SEEN_LOSS)), 50)
    out = []
    for each in curves:
        ordered = sorted(each, key=lambda point: point.loss)
        losses = np.log([max(point.loss, _SEEN_LOSS) for point in ordered])
        sizes = np.interp(wanted, losses, [np.log(point.bytes) for point in ordered])
        out.append(float(np.exp(sizes.mean())))
    return out


def _as_measured(reference: CalibrationReference, step: int, trips: Sequence[RoundTrip]) -> StepMeasured:
    found = {view.file.id: trip.output for view, trip in zip(reference.images, trips, strict=True)}
    seen = reference.seen(found)
    mean = float(np.mean([len(trip.data) for trip in trips]))
    return StepMeasured(step, mean, seen)


def transform_loss(reference: CalibrationReference, groups: Sequence[GroupPart], advance: Callable[[], None]) -> float:
    """The estimated loss on the held-out images of transforming there and back, without quantisation."""
    model, views, found = reference.model, reference.views, {}
    for view in reference.images:
        maps = views.sent(view)
        sizes = {name: (values.shape[1], values.shape[2]) for name, values in maps.items()}
        received: dict[str, Floats] = {}
        for group in groups:
            received |= inverse(group, forward(group, maps, 1), sizes, 1)
        whole = completed(model, {name: received[name] for name in maps}, list(views.full(view)))
        found[view.file.id] = model.task.kept(model.back(whole, view.size))
        advance()
    return reference.usual.loss(reference.seen(found).disagreement)


def _round_trip(model: SplitModel, views: Views, profile: Profile, case: _Case, step: int) -> RoundTrip:
    done = round_trip(
        model,
        views.full(case.view),
        case.view.size,
        lambda: code(case.analysed, step),
        lambda data: decode_features(data, Calibrated(profile=profile), 1),
    )
    return replace(done, output=model.task.kept(done.output))


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


def quality_loss(quality: int) -> float:
    """The estimated relative loss that a quality stands for: from 30 % at 1 to 0.2 % at 100, in equal ratios."""
    share = (quality - QUALITIES[0]) / (QUALITIES[-1] - QUALITIES[0])
    return float(WORST_QUALITY * (_BEST_QUALITY / WORST_QUALITY) ** share)


def quality_steps(points: Sequence[CurvePoint]) -> tuple[int, ...]:
    """The step for each quality, between the measured points and a little beyond them; no two far ones the same."""
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
    return _apart([int(step) for step in np.minimum.accumulate(found)])


def cliffs(points: Sequence[CurvePoint], qualities: Sequence[int]) -> list[tuple[CurvePoint, CurvePoint, int, int]]:
    """Neighbouring points of which the coarser loses several times as much, and the qualities next to them.

    Qualities between these are interpolated, and what they lose is known least.
    """
    out = []
    for finer, coarser in pairwise(points):
        if coarser.loss > max(_CLIFF * finer.loss, _CLIFF_LOSS):
            above = [q for q, step in zip(QUALITIES, qualities, strict=True) if step <= finer.step]
            below = [q for q, step in zip(QUALITIES, qualities, strict=True) if step >= coarser.step]
            out.append((finer, coarser, min(above, default=QUALITIES[-1]), max(below, default=QUALITIES[0])))
    return out


def _apart(steps: list[int]) -> tuple[int, ...]:
    """Falling steps, each finer than that of the quality _APART below: where nothing was measured, on from the ends."""
    middle = len(steps) // 2
    for quality in range(middle, len(steps)):
        steps[quality] = max(min(steps[quality], steps[quality - _APART] - 1), 0)
    for quality in range(middle, -1, -1):
        steps[quality] = min(max(steps[quality], steps[quality + _APART] + 1), STEP_INDICES - 1)
    return tuple(steps)
