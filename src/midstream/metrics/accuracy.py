"""Average precision of detections against a data set's ground truth, and agreement where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midstream.data import Dataset
from midstream.metrics.case import Case, check_objects
from midstream.metrics.cityscapes import InstanceState, has_instance_files
from midstream.metrics.coco import CocoState
from midstream.models.detections import Detections


@dataclass(frozen=True)
class Accuracy:
    """Average precision in percent, 0 to 100.

    Attributes:
        ap: of boxes, mean over the overlaps 0.50, 0.55, ..., 0.95.
        ap50: of boxes, at the overlap 0.50.
        segm_ap: of masks, over the same overlaps; None when the network or the ground truth has no masks.
        segm_ap50: of masks, at the overlap 0.50; None as `segm_ap`.
        kp_ap, kp_ap50: of keypoints, over similarities instead of overlaps; None where one of both has no keypoints.
        metric: what was computed, by which program.
    """

    ap: float
    ap50: float
    segm_ap: float | None
    segm_ap50: float | None
    metric: str
    kp_ap: float | None = None
    kp_ap50: float | None = None


def accuracy_of(dataset: Dataset, detections: Mapping[int, Detections], classes: Sequence[str]) -> Accuracy:
    """The accuracy of `detections` on exactly the images of `dataset`.

    Boxes are always scored by pycocotools (the reference implementation of COCO's metric). Masks, where the network and
    the ground truth have them, by pycocotools too, except on Cityscapes: there by the benchmark's own program
    (`midstream.metrics.cityscapes`). All classes of the data set with ground truth count, those that the network lacks
    with 0, as both benchmarks do it. Annotations without a mask, where others have one, do not exist for the masks' AP.

    Args:
        dataset: with ground truth; for a folder of images see `reference_dataset`.
        detections: by image id. An image that is missing here has no detections; others are ignored.
        classes: the names that `Detections.labels` indexes. They are matched to the data set's categories by name
            (see `categories.category_ids`); detections of a class that the data set lacks are dropped.

    Raises:
        InputError: there is no ground truth to count, no class name in common, or a detection is malformed.
        MissingExtraError: masks on Cityscapes without the extra `cityscapes`.
    """
    check_objects(dataset)
    return accuracy_in(Case.of(dataset, detections, classes))


def accuracy_in(case: Case) -> Accuracy:
    """The accuracy of what is in `case`; see `accuracy_of`."""
    ap, ap50 = CocoState.of(case, "bbox").average_precision()
    prefix = "agreement with the uncompressed network: " if case.dataset.agreement else ""
    if case.has_keypoints:
        points = CocoState.of(case, "keypoints").average_precision()
        return Accuracy(ap, ap50, None, None, f"{prefix}COCO box and keypoint AP (pycocotools)", *points)
    if not case.has_masks:
        return Accuracy(ap, ap50, None, None, f"{prefix}COCO box AP (pycocotools)")
    if has_instance_files(case.dataset):
        segm_ap, segm_ap50 = InstanceState.of(case.dataset, case.found, case.categories).average_precision()
        metric = "COCO box AP (pycocotools), Cityscapes instance AP (cityscapesscripts)"
    else:
        segm_ap, segm_ap50 = CocoState.of(case, "segm").average_precision()
        metric = f"{prefix}COCO box and mask AP (pycocotools)"
    return Accuracy(ap, ap50, segm_ap, segm_ap50, metric)
