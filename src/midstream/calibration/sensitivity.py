"""How much the network's outputs move per unit of noise in the channels of a level. Forward passes only."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import ordered
from midstream.calibration.distance import Vector, responder
from midstream.calibration.views import View, Views
from midstream.halves.levels import completed
from midstream.models import FloatPyramid, ProposingModel, SplitModel, TransparentModel

#: Noise beside a channel's own deviation: about what coding does to it at a useful rate, and stronger, in turn, for
#: networks whose own rounding would drown that.
NOISES = (0.3, 1.0, 3.0)
#: Noise that shows the rounding and nothing else, the share of what noise does that rounding may be, and the channels
#: of a level at which this is looked up.
TINY, _DROWNED, _LOOKED_UP = 1e-3, 0.1, 8
#: Passes that are timed; the quickest counts, so that a busy machine measures no less.
_TIMED = 5
#: Images beyond these add little.
_MOST_IMAGES = 16
_LEAST_IMAGES = 2
#: Of the seed of noise in whole levels, beside those of noise in channels.
_WHOLE = 1
#: A channel counts at least this share of its level's mean in an image, for what the image did not show.
_FLOOR = 1e-4
#: And this much of the mean of all levels: behind a cut, of all tokens only that of the class may count.
_LEAST_CHANNEL = 1e-8
#: Outputs beyond so many are sketched.
_SKETCH = 1 << 15
#: The power to which it is believed how alike channels are, and the least share of the mean that a direction keeps.
_BELIEF, _LEAST_SHARE = 1 / 3, 0.01
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class SensitivityPlan:
    """How sensitivity is sampled within a budget.

    Attributes:
        images: in which channels are disturbed.
        together: so many channels at once.
        level_images: in which each level is disturbed as a whole; 0 where that is not needed.
    """

    images: int
    together: int
    level_images: int = 0


def plan(channels: int, affordable: int, levels: int) -> SensitivityPlan:
    """A plan for so many `affordable` passes, with channels one by one if these are enough.

    Where they do not do for all images, up to half of them are for levels as a whole, in more images.
    """
    images = int(np.clip(affordable // channels, _LEAST_IMAGES, _MOST_IMAGES))
    of_levels = int(np.clip(affordable // (2 * levels), _LEAST_IMAGES, _MOST_IMAGES)) if levels > 1 else 0
    if images >= of_levels:
        return SensitivityPlan(images, -(-channels * images // max(affordable, images)))
    left = max(affordable - of_levels * levels, _LEAST_IMAGES)
    images = int(np.clip(left // channels, _LEAST_IMAGES, _MOST_IMAGES))
    return SensitivityPlan(images, -(-channels * images // left), of_levels)


def passes_of(chosen: SensitivityPlan, deviations: Mapping[str, Doubles]) -> int:
    """How often the network is asked by this plan."""
    bundles = sum(-(-len(each) // chosen.together) for each in deviations.values())
    return chosen.images * bundles + chosen.level_images * len(deviations)


def seconds_a_pass(model: SplitModel, views: Views) -> float:
    """What a pass of the back takes here, with measuring how far its outputs moved."""
    view = views.plain[0]
    pyramid = views.full(view)
    respond = responder(model, pyramid, view.size)
    return min(timeit.repeat(lambda: respond(pyramid), number=1, repeat=_TIMED))


@dataclass(frozen=True)
class Sensitivity:
    """Of one level.

    Attributes:
        channels: [C], squared movement of the outputs per unit of squared noise in a channel, 1 on average over levels.
        alike: [C, C], the cosine between what two channels do to the outputs; the identity where it is not known.
    """

    channels: Doubles
    alike: Doubles


def measured_sensitivity(
    model: SplitModel,
    views: Views,
    deviations: dict[str, Doubles],
    chosen: SensitivityPlan,
    seed: int,
    advance: Callable[[], None],
) -> dict[str, Sensitivity]:
    """How much the outputs move with each channel, and how alike what two channels do is.

    Channels take the geometric mean over images, each taken relative to its own average: in an image where much is
    seen everything moves more, and a few of those would decide alone.

    Args:
        model: the network.
        views: the first images of them are disturbed; results are kept beside the pyramids.
        deviations: of each channel, [C] by level.
        chosen: how to sample; channels that are disturbed together share what they move.
        seed: of the noise.
        advance: called after every pass.
    """
    images = views.plain[: chosen.images]
    noises = chosen_noises(model, views, deviations)
    logs = {name: np.zeros(len(each)) for name, each in deviations.items()}
    products = {name: np.zeros((len(each), len(each))) for name, each in deviations.items()}
    for number, view in enumerate(images):
        moved = views.kept(
            f"products {seed} {number} {chosen.together}{_spelled(noises)}",
            view,
            partial(_image, model, views, view, deviations, noises, chosen.together, [seed, number], advance),
        )
        mean = max(float(np.mean([np.diag(each).mean() for each in moved.values()])), 1e-30)
        for name, each in moved.items():
            own = np.diag(each)
            logs[name] += np.log(np.maximum(own, _FLOOR * max(own.mean(), 1e-30)) / mean) / len(images)
            products[name] += each / mean
    for name, wanted in _levels(model, views, deviations, noises, chosen, seed, advance).items():
        logs[name] += np.log(wanted / _over_level(np.exp(logs[name]), deviations[name]))
    average = np.mean([np.exp(each).mean() for each in logs.values()])
    channels = {name: np.maximum(np.exp(each) / average, _LEAST_CHANNEL) for name, each in logs.items()}
    if not _comparable(model, chosen.together) and isinstance(model, TransparentModel):
        products |= {name: ordered.gram(np.ascontiguousarray(each.T)) for name, each in model.first_weights().items()}
    return {name: Sensitivity(channels[name], _cosines(products[name])) for name in logs}


def chosen_noises(model: SplitModel, views: Views, deviations: Mapping[str, Doubles]) -> dict[str, float]:
    """For each level the least of NOISES that stands out from the network's own rounding.

    Behind a cut, a network of integers rounds whatever changes to its own steps. Then the outputs move as far with the
    least noise in any channel as with that of the first of NOISES in one channel, and all channels seem alike.
    """
    view = views.plain[0]
    pyramid, sent = views.full(view), views.sent(view)
    respond, rng = responder(model, pyramid, view.size), np.random.default_rng(0)

    def moved(name: str, channels: NDArray[np.intp], noise: float) -> float:
        signs = rng.integers(0, 2, pyramid[name][channels].shape) * 2 - 1
        scaled = (noise * deviations[name][channels, None, None] * signs).astype(np.float32)
        return _square(respond(_disturbed(model, pyramid, sent, name, channels, scaled)))

    out = {}
    for name, deviation in deviations.items():
        rounding = moved(name, np.arange(len(deviation)), TINY)
        some = np.unique(np.linspace(0, len(deviation) - 1, _LOOKED_UP).astype(np.intp))
        enough = (
            noise for noise in NOISES[:-1] if np.mean([moved(name, some[i : i + 1], noise) for i in range(len(some))])
            * _DROWNED >= rounding
        )  # fmt: skip
        out[name] = next(enough, NOISES[-1])
    return out


def _spelled(noises: Mapping[str, float]) -> str:
    return "".join(f" {noise:g}" for noise in noises.values())


def _cosines(products: Doubles) -> Doubles:
    lengths = np.sqrt(np.maximum(np.diag(products), 1e-30))
    cosines: Doubles = products / np.outer(lengths, lengths)
    np.fill_diagonal(cosines, 1)
    return cosines


def _image(
    model: SplitModel,
    views: Views,
    view: View,
    deviations: dict[str, Doubles],
    noises: Mapping[str, float],
    together: int,
    seed: list[int],
    advance: Callable[[], None],
) -> dict[str, Doubles]:
    """Inner products [C, C] by level of what unit noise in each channel does to the outputs.

    All channels take the same signs, so that with the outputs linear in the noise the products are those of the
    derivatives by the channels, summed over positions; what different positions do to each other averages out.
    """
    pyramid, sent = views.full(view), views.sent(view)
    respond, rng = responder(model, pyramid, view.size), np.random.default_rng(seed)
    comparable = _comparable(model, together)
    out = {}
    for name, deviation in deviations.items():
        signs = rng.integers(0, 2, pyramid[name].shape[1:]).astype(np.float32) * 2 - 1
        scales = noises[name] * _noisy(deviation)
        lengths, steps = np.zeros(len(deviation)), []
        # Those of like strength go together, where not each has a pass of its own.
        for channels in _bundles(deviation, together):
            noise = scales[channels, None, None].astype(np.float32) * _signs(signs, len(channels), rng)
            step, energy = respond(_disturbed(model, pyramid, sent, name, channels, noise)), max(_square(noise), 1e-30)
            lengths[channels] = _square(step) / energy
            if comparable:
                steps.append(_sketch(step) / np.sqrt(energy))
            advance()
        out[name] = np.diag(lengths)
        if comparable:
            order = np.argsort(np.concatenate(_bundles(deviation, together)))
            found = np.stack(steps)[order]
            out[name] = ordered.gram(found)
            np.fill_diagonal(out[name], lengths)
    return out


def _levels(
    model: SplitModel,
    views: Views,
    deviations: Mapping[str, Doubles],
    noises: Mapping[str, float],
    chosen: SensitivityPlan,
    seed: int,
    advance: Callable[[], None],
) -> dict[str, float]:
    """How much the outputs move with each level as a whole, where that is measured in images of its own.

    In one or two images nothing may be large, or nothing small, and a level that is for such things would not count.
    """
    found = [
        views.kept(
            f"levels {seed} {number} {chosen.together}{_spelled(noises)}",
            view,
            partial(
                _whole_levels, model, views, view, deviations, noises, chosen.together, [seed, number, _WHOLE], advance
            ),
        )
        for number, view in enumerate(views.plain[: chosen.level_images])
    ]
    logs = {name: 0.0 for name in deviations if found}
    for moved in found:
        mean = max(float(np.mean(list(moved.values()))), 1e-30)
        for name, each in moved.items():
            logs[name] += np.log(max(each[0] / mean, _FLOOR)) / len(found)
    return {name: float(np.exp(each)) for name, each in logs.items()}


def _whole_levels(
    model: SplitModel,
    views: Views,
    view: View,
    deviations: Mapping[str, Doubles],
    noises: Mapping[str, float],
    together: int,
    seed: list[int],
    advance: Callable[[], None],
) -> dict[str, Doubles]:
    """How far the outputs move, squared, per unit of squared noise in a level as a whole, [1] by level.

    All channels of a level are disturbed at once, as strongly as those of a bundle are altogether.
    """
    pyramid, sent = views.full(view), views.sent(view)
    respond, rng = responder(model, pyramid, view.size), np.random.default_rng(seed)
    out = {}
    for name, deviation in deviations.items():
        scales = noises[name] * _noisy(deviation) * np.sqrt(min(together / len(deviation), 1))
        signs = rng.integers(0, 2, pyramid[name].shape) * 2 - 1
        noise = (scales[:, None, None] * signs).astype(np.float32)
        step = respond(_disturbed(model, pyramid, sent, name, np.arange(len(deviation)), noise))
        out[name] = np.array([_square(step) / max(_square(noise), 1e-30)])
        advance()
    return out


def _disturbed(
    model: SplitModel,
    pyramid: FloatPyramid,
    sent: FloatPyramid,
    name: str,
    channels: NDArray[np.intp],
    noise: NDArray[np.float32],
) -> FloatPyramid:
    """The pyramid with noise added to some channels of a level, and what is derived from it."""
    changed = {**sent, name: pyramid[name].copy()}
    changed[name][channels] += noise
    return completed(model, changed, list(pyramid))


def _square(values: NDArray[np.float32]) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _noisy(deviation: Doubles) -> Doubles:
    """What noise of a channel is measured by: its deviation, and of one that hardly changes a little of the largest."""
    return np.asarray(np.maximum(deviation, 1e-3 * deviation.max(initial=1e-6)))


def _over_level(channels: Doubles, deviation: Doubles) -> float:
    """What noise in all channels of a level moves for its energy, from what noise in each does."""
    energies = np.square(_noisy(deviation))
    return float((channels * energies).sum() / energies.sum())


def _comparable(model: SplitModel, together: int) -> bool:
    """Whether what one channel does to the outputs can be compared with what another does."""
    proposing = isinstance(model, ProposingModel) and model.proposes
    return together == 1 and (proposing or model.task.directed)


def _signs(signs: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The signs of a channel, [1, H, W]; those of several that go together differ, so that they do not add up."""
    if count == 1:
        return signs[None]
    return np.asarray(rng.integers(0, 2, (count, *signs.shape)) * 2 - 1, np.float32)


def _sketch(step: Vector) -> Vector:
    """A short vector whose inner products are nearly those of the long one (count sketch, Charikar et al. 2002)."""
    if len(step) <= _SKETCH:
        return step
    rng = np.random.default_rng(len(step))
    buckets, signs = rng.integers(0, _SKETCH, len(step)), rng.integers(0, 2, len(step)) * 2 - 1
    return np.bincount(buckets, weights=step * signs, minlength=_SKETCH).astype(np.float32)


def metrics(measured: Mapping[str, Sensitivity], power: float, directions: bool) -> dict[str, Doubles]:
    """Metrics [C, C] by level in which differences count, with the channels' sensitivity raised to a power.

    How alike channels are is believed to the power of a third: as measured, it makes next to nothing of directions that
    matter as soon as the noise in all the others adds up, and three times the bytes (docs/method.md).
    """
    out = {}
    for name, each in measured.items():
        alike = _raised(each.alike, _BELIEF) if directions else np.eye(len(each.alike))
        root = np.sqrt(each.channels**power)
        out[name] = alike * np.outer(root, root)
    average = np.mean([np.diag(each).mean() for each in out.values()])
    return {name: each / average for name, each in out.items()}


def _raised(metric: Doubles, power: float) -> Doubles:
    values, vectors = ordered.eigh(metric)
    raised = np.maximum(values, _LEAST_SHARE * values.mean()) ** power
    powered = ordered.product(vectors * raised, vectors.T)
    return np.asarray(powered / np.diag(powered).mean())


def _bundles(deviation: NDArray[np.float64], together: int) -> Sequence[NDArray[np.intp]]:
    order = np.argsort(-deviation, kind="stable")
    return [order[at : at + together] for at in range(0, len(order), together)]
