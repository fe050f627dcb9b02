"""What would spoil an evaluation: refused before the work, or said beside its figures."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from midstream.data import Dataset
from midstream.data.masks import check_masks, has_mask
from midstream.evaluate.accuracy import check_objects
from midstream.evaluate.categories import category_ids, unmatched
from midstream.evaluate.cityscapes import require_program
from midstream.models.base import Detections

#: An average precision in percent that two decimals show as none.
_SHOWN_AS_NONE = 0.005


def require(dataset: Dataset, classes: Sequence[str], masks: bool) -> None:
    """Refuse what no evaluation of a network with these classes, with or without masks, can come of.

    Raises:
        InputError: no labelled object, no class in common, two categories of one name, masks that do not fit their
            pictures.
        MissingExtraError: masks on Cityscapes without the benchmark's program.
    """
    if dataset.ground_truth is None:
        return
    check_objects(dataset)
    category_ids(classes, dataset.ground_truth)
    if masks:
        check_masks(dataset)
    if masks and dataset.kind == "cityscapes":
        require_program()


def about_labels(dataset: Dataset, classes: Sequence[str], masks: bool) -> list[str]:
    """Lines about labels that cannot count: of classes that one side lacks, and without a mask among such with one."""
    truth = dataset.ground_truth
    if truth is None or dataset.kind == "folder":
        return []
    lines = unmatched(classes, truth)
    bare = sum(not has_mask(annotation) for annotation in truth["annotations"])
    there = len(truth["annotations"]) - bare
    if masks and bare and there:
        lines.append(f"{bare} of {there + bare} annotations have no mask: mask AP is that of the other {there}")
    return lines


def about_nothing(ap: float, found: Collection[Detections]) -> list[str]:
    """A line where nothing that the uncompressed network found is right, which is rarely the network's fault."""
    count = sum(len(each) for each in found)
    if ap >= _SHOWN_AS_NONE or not count:
        return []
    return [
        f"the uncompressed network's AP is 0 although it found {count:,} objects: do its classes and the boxes of the "
        "data set fit?"
    ]
