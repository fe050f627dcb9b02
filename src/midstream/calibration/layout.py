"""Which levels are coded together, and how many of each level's positions make a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midstream.calibration.views import Views
from midstream.codec.calibrated.document import MOST_GROUPS, GroupAbout, LevelAbout
from midstream.halves.shares import has_heads_of_levels
from midstream.layout import EXTRA
from midstream.models import SplitModel

#: Layers, each of which is predicted from those before it, take so many images that they are fitted to: with 18 they
#: were a loss on each of three networks (docs/method.md, "Layers").
FEWEST_IMAGES = 36
#: A cell has at most so many positions of its finest level on a side.
_WIDEST = 4
#: Grids of fewer cells on a side are not made coarser; those of tokens, which stand for patches already.
_LEAST_CELLS, _LEAST_CELLS_OF_TOKENS = 10, 7


def may_have_layers(model: SplitModel, groups: Sequence[GroupAbout], views: Views) -> bool:
    """Whether the first group has several levels, the network a head for each, and there are enough images.

    With one map for all, levels one by one are a gain on some networks and a loss on others (docs/method.md, "Layers").
    """
    most = len(groups[0].levels) + len(groups) - 1
    if len(groups[0].levels) == 1 or most > MOST_GROUPS or len(views.plain) < FEWEST_IMAGES:
        return False
    return has_heads_of_levels(model, views.full(views.plain[0]))


def layers_of(groups: tuple[GroupAbout, ...]) -> tuple[tuple[GroupAbout, ...], int]:
    """The levels of the first group as groups of their own, the coarsest first, and how many they are."""
    first = sorted(groups[0].levels, key=lambda level: level.ratio)
    return (*(GroupAbout(levels=(level,)) for level in first), *groups[1:]), len(first)


def groups_of(shapes: Mapping[str, tuple[int, int, int]]) -> tuple[GroupAbout, ...]:
    """Groups for levels [C, H, W] by name: from the finest on, all that lie over cells of at most 4x4 of its positions.

    Levels that fit no cell, or are too coarse, begin another group: so do extra tokens beside a grid, by which
    tokens are known. A cell of a sequence is one of its positions.
    """
    waiting = sorted(shapes, key=lambda name: -shapes[name][1] * shapes[name][2])
    groups = []
    while waiting:
        finest = shapes[waiting[0]][1:]
        ratios = {name: r for name in waiting if (r := _ratio(finest, shapes[name][1:])) is not None}
        cell = max(ratios.values())
        least = _LEAST_CELLS_OF_TOKENS if waiting[0] + EXTRA in shapes else _LEAST_CELLS
        while cell < _WIDEST and min(finest) >= 2 * cell * least:
            cell *= 2
        levels = [
            LevelAbout(name=name, channels=shapes[name][0], size=shapes[name][1:], ratio=cell // ratio)
            for name, ratio in ratios.items()
        ]
        groups.append(GroupAbout(levels=tuple(levels)))
        waiting = [name for name in waiting if name not in ratios]
    return tuple(groups)


def _ratio(finest: tuple[int, int], size: tuple[int, int]) -> int | None:
    """How many times coarser a level is: 1, 2 or 4, or None where its positions do not lie over the finest's."""
    ratio = 1
    while ratio <= _WIDEST:
        if size == (-(-finest[0] // ratio), -(-finest[1] // ratio)):
            return ratio
        ratio *= 2
    return None
