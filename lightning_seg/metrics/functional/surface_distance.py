"""Distances between the outlines of a class in prediction and ground truth."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from lightning_seg.metrics.functional.labels import check_settings, label_maps

SurfaceVoid = Literal["transparent", "zeroed"]
Missing = Literal["diagonal", "infinite", "skip"]
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class SurfaceDistances(NamedTuple):
    """Distances in pixels, float64 (B, K) each, NaN where undefined.

    Attributes:
        mean: Average symmetric surface distance: the mean distance from the outline pixels of both
            maps to the outline of the other map.
        hausdorff: The larger of the two directed percentiles of these distances.
    """

    mean: Tensor
    hausdorff: Tensor


def check_surface_distance(
    num_classes: int, percentile: float, missing: str, void: str, average: str | None = "macro"
) -> None:
    """Raise ValueError if the settings of the surface distances are invalid."""
    check_settings(
        num_classes,
        missing=(missing, ("diagonal", "infinite", "skip")),
        void=(void, ("transparent", "zeroed")),
        average=(average, ("macro", None)),
    )
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile is {percentile}; expected a value above 0 and at most 100.")


def surface_distances(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    percentile: float = 95.0,
    missing: Missing = "diagonal",
    ignore_index: int | None = None,
    void: SurfaceVoid = "transparent",
) -> SurfaceDistances:
    """Return the mean and Hausdorff distance between the outlines of each image and class.

    The outline of a class consists of its pixels with a 4-neighbour of another class or at the
    image border. Distances are exact Euclidean distances between pixel centres, computed with a
    k-d tree on the CPU; tensors on other devices are copied there.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        percentile: Percentile of the directed distances: 95 for the usual robust Hausdorff
            distance, 100 for the Hausdorff distance itself.
        missing: Distance if only one map contains the class: "diagonal" (of the image),
            "infinite", or "skip" for NaN, which leaves missed objects unpenalised.
        ignore_index: Label of ignored pixels.
        void: "transparent": ignored pixels form no outline in either map. "zeroed": they are cut
            out of both maps, so both share their outline, which lowers the distance.

    Returns:
        Two float64 (B, K) tensors on the CPU; NaN where neither map has an outline of the class.

    Example:
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> surface_distances(target.roll(2, dims=2), target, num_classes=2).hausdorff
        tensor([[2., 2.]], dtype=torch.float64)
    """
    check_surface_distance(num_classes, percentile, missing, void)
    maps = label_maps(preds, target, num_classes, ignore_index)
    pred, truth = (labels.cpu().numpy() for labels in maps)
    distances = np.full((2, len(truth), num_classes), np.nan)
    for image, (a, b) in enumerate(zip(pred, truth)):
        unknown = b == num_classes
        solid = unknown if void == "transparent" else np.zeros_like(unknown)
        far = {"diagonal": np.hypot(*b.shape), "infinite": np.inf, "skip": np.nan}[missing]
        for k in set(np.unique(a)) | set(np.unique(b)):
            if k == num_classes:
                continue
            outline_a, outline_b = (_outline((labels == k) & ~unknown, solid) for labels in (a, b))
            distances[:, image, k] = _distances(outline_a, outline_b, percentile, far)
    return SurfaceDistances(*torch.from_numpy(distances))


def _outline(mask: NDArray[np.bool_], solid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the coordinates (N, 2) of the mask pixels removed by erosion."""
    body = (mask | solid).astype(np.uint8)
    inner = cv2.erode(body, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.argwhere(mask & (inner == 0))


def _distances(
    pred: NDArray[np.int64], truth: NDArray[np.int64], percentile: float, far: float
) -> tuple[float, float]:
    if len(pred) == 0 and len(truth) == 0:
        return np.nan, np.nan
    if len(pred) == 0 or len(truth) == 0:
        return far, far
    from_pred, _ = cKDTree(truth).query(pred)
    from_truth, _ = cKDTree(pred).query(truth)
    mean = (from_pred.sum() + from_truth.sum()) / (len(pred) + len(truth))
    return mean, max(np.percentile(from_pred, percentile), np.percentile(from_truth, percentile))
