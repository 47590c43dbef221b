"""Matching two maps' contours within a tolerance, the faster of two ways."""

from torch import Tensor

from lightning_seg.metrics.functional.contours import ContourCounts, mixed_blocks
from lightning_seg.metrics.functional.match_by_dilation import match_by_dilation
from lightning_seg.metrics.functional.match_by_search import match_by_search

# Contour pixels of both maps as a share of all pixels, above which dilating whole maps was
# faster than a search for each (measured at 1024 x 2048 and 19 px).
DENSE_SHARE = 0.08


def match_contours(
    pred: Tensor, truth: Tensor, num_classes: int, radius: int, uncounted: Tensor | None = None
) -> ContourCounts:
    """Count contour pixels, and those that have one of the other map's within a disk.

    A search among sorted positions where contours are few and on the CPU, dilation of bit maps
    elsewhere; the counts are the same.

    Args:
        pred: Labels (B, H, W), 0 to K; K belongs to no class but bounds others; K + 1 is looked
            through: it neither has nor makes a contour.
        truth: The same.
        num_classes: K.
        radius: Greatest distance of a match in px, Euclidean.
        uncounted: Boolean (B, H, W), contour pixels that may be matched but are not counted.

    Returns:
        The counts.
    """
    if pred.device.type == "cpu":
        found = sum(int(mixed_blocks(labels).count_nonzero()) for labels in (pred, truth))
        if found <= DENSE_SHARE * pred.numel():
            return match_by_search(pred, truth, num_classes, radius, uncounted)
    return match_by_dilation(pred, truth, num_classes, radius, uncounted)
