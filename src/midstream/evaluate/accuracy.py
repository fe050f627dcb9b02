"""Average precision of detections against a data set's ground truth, and agreement where there is none."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pycocotools.mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from midstream.data import Dataset
from midstream.data.masks import check_masks, has_mask
from midstream.errors import InputError
from midstream.evaluate.categories import category_ids
from midstream.evaluate.cityscapes import instance_ap
from midstream.models.detections import Detections, coco_entries
from midstream.wording import counted

#: Detections of one class in one picture that COCO's evaluation looks at, best first.
MAX_DETECTIONS = 100
#: Score from which a detection of the uncompressed network counts as one that the compressed one must find.
REFERENCE_THRESHOLD = 0.3


@dataclass(frozen=True)
class Accuracy:
    """Average precision in percent, 0 to 100.

    Attributes:
        ap: of boxes, mean over the overlaps 0.50, 0.55, ..., 0.95.
        ap50: of boxes, at the overlap 0.50.
        segm_ap: of masks, over the same overlaps; None when the network or the ground truth has no masks.
        segm_ap50: of masks, at the overlap 0.50; None as `segm_ap`.
        metric: what was computed, by which program.
    """

    ap: float
    ap50: float
    segm_ap: float | None
    segm_ap50: float | None
    metric: str


def evaluate(dataset: Dataset, detections: Mapping[int, Detections], classes: Sequence[str]) -> Accuracy:
    """The accuracy of `detections` on exactly the pictures of `dataset`.

    Boxes are always scored by pycocotools (the reference implementation of COCO's metric). Masks, where the network and
    the ground truth have them, by pycocotools too, except on Cityscapes: there by the benchmark's own program
    (`midstream.evaluate.cityscapes`). All classes of the data set with ground truth count, those that the network lacks
    with 0, as both benchmarks do it. Annotations without a mask, where others have one, do not exist for the masks' AP.

    Args:
        dataset: with ground truth; for a folder of pictures see `reference_dataset`.
        detections: by picture id. A picture that is missing here has no detections; others are ignored.
        classes: the names that `Detections.labels` indexes. They are matched to the data set's categories by name
            (case and `_` for a space do not matter); detections of a class that the data set lacks are dropped.

    Raises:
        InputError: there is no ground truth to count, no class name in common, or a detection is malformed.
        MissingExtraError: masks on Cityscapes without the extra `cityscapes`.
    """
    case = Case.of(dataset, detections, classes)
    ap, ap50 = _coco_ap(case, "bbox")
    prefix = "agreement with the uncompressed network: " if dataset.agreement else ""
    if not case.has_masks:
        return Accuracy(ap, ap50, None, None, f"{prefix}COCO box AP (pycocotools)")
    if dataset.labels == "cityscapes":
        segm_ap, segm_ap50 = instance_ap(dataset, case.found, case.categories)
        metric = "COCO box AP (pycocotools), Cityscapes instance AP (cityscapesscripts)"
    else:
        segm_ap, segm_ap50 = _coco_ap(case, "segm")
        metric = f"{prefix}COCO box and mask AP (pycocotools)"
    return Accuracy(ap, ap50, segm_ap, segm_ap50, metric)


@dataclass(frozen=True)
class Case:
    """Detections beside the ground truth that they are held against, checked.

    Attributes:
        truth: the data set's ground truth.
        found: the detections by picture id.
        categories: of each of the network's classes the data set's category, None for one that it lacks.
        results: one COCO entry a detection, of the classes that the data set has.
    """

    dataset: Dataset
    truth: dict[str, Any]
    found: dict[int, Detections]
    categories: list[int | None]
    results: list[dict[str, Any]]

    @classmethod
    def of(cls, dataset: Dataset, detections: Mapping[int, Detections], classes: Sequence[str]) -> Case:
        """Check and convert; arguments and errors as `evaluate` has them."""
        truth = dataset.ground_truth
        if truth is None:
            raise InputError(f"'{dataset.spec}' has no labels to evaluate against")
        check_objects(dataset)
        categories = category_ids(classes, truth)
        found = {picture.id: detections[picture.id] for picture in dataset.pictures if picture.id in detections}
        _check(found, truth["images"], len(classes))
        entries = [entry for identity, there in found.items() for entry in coco_entries(identity, there)]
        results = [{**e, "category_id": c} for e in entries if (c := categories[e["category_id"]]) is not None]
        case = cls(dataset, truth, found, categories, results)
        if case.has_masks:
            check_masks(dataset)
        return case

    @property
    def has_masks(self) -> bool:
        """Whether both the network and the ground truth have masks."""
        found = any(there.masks is not None for there in self.found.values())
        return found and any(has_mask(a) and not a["iscrowd"] for a in self.truth["annotations"])


def check_objects(dataset: Dataset) -> None:
    """Refuse labels of nothing but crowds. Raises InputError."""
    if dataset.ground_truth is not None and all(each["iscrowd"] for each in dataset.ground_truth["annotations"]):
        raise InputError(f"'{dataset.spec}' has no labelled object in its {counted(len(dataset.pictures), 'picture')}")


def reference_dataset(
    dataset: Dataset,
    detections: Mapping[int, Detections],
    classes: Sequence[str],
    threshold: float = REFERENCE_THRESHOLD,
) -> Dataset:
    """The pictures of `dataset` with the uncompressed network's own detections as ground truth.

    `evaluate` on the result gives the agreement with that network, which itself scores 100: what is above the threshold
    matches itself, and what is below ranks behind it, where it costs no precision. All detections are to be given to
    `evaluate`, not only those above the threshold: one that coding moves from 0.31 to 0.29 is not lost.

    Args:
        dataset: any; its own labels, if it has some, are left aside.
        detections: of the uncompressed network, by picture id.
        classes: the names that `Detections.labels` indexes.
        threshold: the least score of a detection that counts, 0 to 1. With the default of 0.3 the reference has about
            as many objects as people label: PicoDet-S on COCO photographs gives 11.5 a picture, people 8.3. At 0.2 it
            gives 29, mostly noise, at 0.5 only the 3.7 that any coding keeps.

    Raises:
        InputError: the threshold is out of range, a detection is malformed, or none reaches the threshold.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"the reference threshold must lie in 0 to 1, it is {threshold}")
    images: list[dict[str, Any]] = [{"id": picture.id, "file_name": picture.path.name} for picture in dataset.pictures]
    found = {picture.id: detections[picture.id] for picture in dataset.pictures if picture.id in detections}
    _check(found, images, len(classes))
    categories = [{"id": index, "name": name} for index, name in enumerate(classes)]
    own = category_ids(classes, {"categories": categories, "annotations": []})
    entries = (entry for identity, there in found.items() for entry in coco_entries(identity, there))
    annotations = [
        {**entry, "id": number, "iscrowd": 0, "category_id": own[entry["category_id"]]}
        for number, entry in enumerate((e for e in entries if e.pop("score") >= threshold), start=1)
    ]
    if not any(_has_extent(annotation, "bbox") for annotation in annotations):
        raise InputError(
            f"the uncompressed network finds nothing with a score of {threshold:g} or more in the "
            f"{counted(len(images), 'picture')} of '{dataset.spec}', so there is nothing to agree with"
        )
    truth = {"images": images, "categories": categories, "annotations": annotations}
    return replace(dataset, labels="network", ground_truth=truth)


def _check(found: Mapping[int, Detections], images: Sequence[Mapping[str, Any]], classes: int) -> None:
    """Refuse what pycocotools would take without a word and count as misses."""
    sizes = {image["id"]: [image["height"], image["width"]] for image in images if "height" in image}
    has_masks = any(there.masks is not None for there in found.values())
    for identity, there in found.items():
        if fault := there.fault(classes):
            raise InputError(f"detections in picture {identity}: {fault}")
        count, masks = len(there), there.masks or []
        if len(masks) != (count if has_masks else 0):
            raise InputError(f"detections in picture {identity}: {count} boxes but {len(masks)} masks")
        for mask in masks:
            size = sizes.setdefault(identity, list(mask["size"]))
            if list(mask["size"]) != size:
                raise InputError(f"detections in picture {identity}: a mask of {mask['size']}, the picture has {size}")


def _has_extent(entry: Mapping[str, Any], kind: Literal["bbox", "segm"]) -> bool:
    if kind == "bbox":
        return bool(entry["bbox"][2] > 0 and entry["bbox"][3] > 0)
    return int(pycocotools.mask.area(entry["segmentation"])) > 0


def _coco_ap(case: Case, kind: Literal["bbox", "segm"]) -> tuple[float, float]:
    """AP and AP50 by pycocotools, in percent."""
    evaluation = coco_evaluation(case, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # [overlap, recall, category, 1, 1]; -1 for a category without truth
    counted = precision > -1
    if not counted.any():  # an agreement about masks of which the reference has only empty ones
        return 0.0, 0.0
    return 100 * float(precision[counted].mean()), 100 * float(precision[0][counted[0]].mean())


def coco_evaluation(case: Case, kind: Literal["bbox", "segm"], by_size: bool = False) -> Any:
    """pycocotools' COCOeval with its `evalImgs`: every detection matched, nothing counted yet.

    `by_size` matches within COCO's small, medium and large objects, too.
    """
    annotations, results, limit = case.truth["annotations"], case.results, MAX_DETECTIONS
    if kind == "segm":
        annotations = [entry for entry in annotations if has_mask(entry)]
    if case.dataset.agreement:
        # A box or mask without area overlaps nothing, not even itself, and a limit below the reference's own count
        # would make the reference miss itself: neither says anything about agreement.
        annotations = [entry for entry in annotations if _has_extent(entry, kind)]
        results = [entry for entry in results if _has_extent(entry, kind)]
        limit = max([limit, *Counter((e["image_id"], e["category_id"]) for e in annotations).values()])
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(case.truth, annotations), _index(case.truth, results), kind)
        evaluation.params.maxDets = [limit]
        if not by_size:
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.evaluate()
    return evaluation


def _index(truth: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Any:
    """pycocotools' index of `entries`: copies, as it writes into them, numbered from 1, as it takes 0 for "none"."""
    index = _Coco()
    numbered = [{**entry, "id": number} for number, entry in enumerate(entries, start=1)]
    index.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": numbered}
    index.createIndex()
    return index


class _Coco(COCO):  # type: ignore[misc]
    """An index for which a picture's size need not be known where its masks already are run lengths."""

    def annToRLE(self, ann: Mapping[str, Any]) -> Any:  # noqa: N802 (the name is pycocotools')
        mask = ann["segmentation"]
        return mask if isinstance(mask, dict) and not isinstance(mask["counts"], list) else super().annToRLE(ann)
