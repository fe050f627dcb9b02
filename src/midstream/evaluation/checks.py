"""What would spoil an evaluation: refused before the work, or said beside its figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from midstream.data import Dataset
from midstream.data.masks import check_masks, has_mask
from midstream.metrics.case import check_objects
from midstream.metrics.categories import category_ids, ordered_ids, unmatched
from midstream.metrics.cityscapes import has_instance_files, require_program
from midstream.models import Output, Task, Tensors
from midstream.models.tasks.detection import Detection, InstanceSegmentation

#: An average precision in percent that two decimals show as none.
_SHOWN_AS_NONE = 0.005
#: Pixels by which a box may reach outside of its image (annotators' tools round, or count pixels from 1), and the
#: share of boxes that may reach further: single slips of people change no figure, a file of other boxes has most so.
_SLACK, _SLIPS = 2, 0.01
#: Of the squares of a network's outputs, the share that changes from image to image; below it nothing is seen.
_SAME = 1e-4
#: Images that this is looked for in.
_LOOKED_AT = 32


def require(dataset: Dataset, task: Task[Any], classes: Sequence[str]) -> None:
    """Refuse what no evaluation of a network of this task and with these classes can come of.

    Raises:
        InputError: no labelled object, no class in common, two categories of one name, masks that do not fit their
            images.
        MissingExtraError: masks on Cityscapes without the benchmark's program.
    """
    masks = isinstance(task, InstanceSegmentation)
    if dataset.ground_truth is None:
        return
    if not isinstance(task, Detection):
        if classes:
            ordered_ids(classes, dataset.ground_truth)
        return
    check_objects(dataset)
    category_ids(classes, dataset.ground_truth)
    if masks:
        check_masks(dataset, read=False)
    if masks and has_instance_files(dataset):
        require_program()


def about_labels(dataset: Dataset, task: Task[Any], classes: Sequence[str]) -> list[str]:
    """Lines about labels that cannot count, or not as they should.

    Of classes that one side lacks, boxes that are not of their images or of no extent, annotations without a mask
    among such with one.
    """
    truth, masks = dataset.ground_truth, isinstance(task, InstanceSegmentation)
    if truth is None or dataset.agreement:
        return []
    if not isinstance(task, Detection):
        how = ordered_ids(classes, truth)[1] if classes else ""
        return [how] if how else unmatched(classes, truth) if classes else []
    lines = unmatched(classes, truth) + _about_boxes(truth)
    bare = sum(not has_mask(annotation) for annotation in truth["annotations"])
    there = len(truth["annotations"]) - bare
    if masks and bare and there:
        lines.append(f"{bare} of {there + bare} annotations have no mask: mask AP is that of the other {there}")
    return lines


def _about_boxes(truth: dict[str, Any]) -> list[str]:
    images = {image["id"]: image for image in truth["images"]}
    count, lines = len(truth["annotations"]), []
    flat = [each for each in truth["annotations"] if min(each["bbox"][2:]) <= 0]
    outside = [each for each in truth["annotations"] if _overhang(each["bbox"], images[each["image_id"]]) > _SLACK]
    if len(outside) > _SLIPS * count:
        lines.append(
            f"{len(outside)} of {count} boxes reach outside of their images, so they may not be [x, y, width, "
            f"height] in pixels (first: {_example(outside[0], images)})"
        )
    if flat:
        lines.append(
            f"{len(flat)} of {count} boxes have no positive width or height, so nothing can match them "
            f"(first: {_example(flat[0], images)})"
        )
    return lines


def _overhang(box: Sequence[float], image: dict[str, Any]) -> float:
    """Pixels by which a box reaches outside of its image; 0 or less for one inside."""
    x, y, width, height = box
    return float(max(-x, -y, x + width - image["width"], y + height - image["height"]))


def _example(annotation: dict[str, Any], images: dict[int, dict[str, Any]]) -> str:
    image = images[annotation["image_id"]]
    box = ", ".join(f"{side:g}" for side in annotation["bbox"])
    # Annotations are numbered from 1 when they are loaded, in the order of the file.
    place = f"annotations[{annotation['id'] - 1}]"
    return f"{place}, [{box}] in {image['file_name']} of {image['width']}x{image['height']}"


def about_nothing(scores: Mapping[str, float], found: Collection[Output]) -> list[str]:
    """A line where nothing that the uncompressed detector found is right, which is rarely the network's fault.

    And one where the outputs of a network of the task `tensors` are the same for all images, whatever is coded.
    """
    if "fidelity" in scores:
        return _about_the_same([each for each in islice(found, _LOOKED_AT) if isinstance(each, Tensors)])
    count = sum(len(each) for each in found)
    if scores.get("ap", 100.0) >= _SHOWN_AS_NONE or not count:
        return []
    return [
        f"the uncompressed network's AP is 0 although it found {count:,} objects: do its classes and the boxes of the "
        "data set fit?"
    ]


def _about_the_same(found: Sequence[Tensors]) -> list[str]:
    """A line if no output differs between images; outputs of changing shapes do."""
    shapes = {tuple(values.shape for values in each.values.values()) for each in found}
    if len(found) < 2 or len(shapes) > 1:
        return []
    for name in found[0].values:
        values = np.stack([np.asarray(each.values[name], np.float64) for each in found])
        energy = float(np.square(values).mean())
        if not np.isfinite(energy) or float(values.var(axis=0).mean()) > _SAME * energy:
            return []
    return [
        f"the network's outputs are the same for the first {len(found)} images, to within 1 % of their size, so that "
        "keeping them says nothing: is its preprocessing right, and was it trained?"
    ]
