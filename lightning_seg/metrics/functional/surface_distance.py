"""Distances between the outlines of a class in prediction and truth."""

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
    """Distances in pixels, float64 (B, K) each, NaN where they are not defined.

    Attributes:
        mean: Mean over the outline pixels of both maps of the distance to the other map's outline
            (average symmetric surface distance).
        hausdorff: The larger of the two maps' percentiles of those distances.
    """

    mean: Tensor
    hausdorff: Tensor


def check_surface_distance(
    num_classes: int, percentile: float, missing: str, void: str, average: str | None = "macro"
) -> None:
    """Raise a ValueError where the settings of the surface distances make no sense."""
    check_settings(
        num_classes,
        missing=(missing, ("diagonal", "infinite", "skip")),
        void=(void, ("transparent", "zeroed")),
        average=(average, ("macro", None)),
    )
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile is {percentile}; expected above 0, and 100 at most.")


def surface_distances(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    percentile: float = 95.0,
    missing: Missing = "diagonal",
    ignore_index: int | None = None,
    void: SurfaceVoid = "transparent",
) -> SurfaceDistances:
    """Mean and Hausdorff distance between the outlines of each image and class.

    The outline of a class are its pixels with a 4-neighbour of another class, or at the image
    border; distances are Euclidean between pixel centres, exact, found by a k-d tree. Computed on
    the CPU: tensors of other devices are fetched.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        percentile: Of the directed distances, 95 for the usual robust Hausdorff distance, 100 for
            the Hausdorff distance itself.
        missing: The distance where only one map has the class: "diagonal" of the image, "infinite",
            or "skip" for NaN, which lets objects be missed for nothing.
        ignore_index: The label of void pixels.
        void: "transparent": a class makes no outline with void, in neither map; "zeroed": void is
            cut out of both maps, so that its outline is one both have in common, which flatters.

    Returns:
        Two float64 (B, K) tensors on the CPU; NaN where neither map has an outline of the class.

    Raises:
        ValueError: If a setting, a shape, a type or (on the CPU) a label is wrong.
    """
    check_surface_distance(num_classes, percentile, missing, void)
    maps = label_maps(preds, target, num_classes, ignore_index)
    pred, truth = (labels.cpu().numpy() for labels in maps)
    found = np.full((2, len(truth), num_classes), np.nan)
    for image, (a, b) in enumerate(zip(pred, truth)):
        unknown = b == num_classes
        solid = unknown if void == "transparent" else np.zeros_like(unknown)
        far = {"diagonal": np.hypot(*b.shape), "infinite": np.inf, "skip": np.nan}[missing]
        for k in set(np.unique(a)) | set(np.unique(b)):
            if k == num_classes:
                continue
            outline_a, outline_b = (_outline((labels == k) & ~unknown, solid) for labels in (a, b))
            found[:, image, k] = _distances(outline_a, outline_b, percentile, far)
    return SurfaceDistances(*torch.from_numpy(found))


def _outline(mask: NDArray[np.bool_], solid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Coordinates (N, 2) of the pixels of a mask that are eroded away."""
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
