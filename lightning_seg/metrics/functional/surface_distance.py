"""Distances between the outlines of a class in prediction and ground truth."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from lightning_seg.metrics.functional.labels import check_settings, equals, label_maps, lift

SurfaceVoid = Literal["transparent", "zeroed"]
Missing = Literal["diagonal", "infinite", "skip"]
_NOWHERE = np.empty((0, 2), np.intp)


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
    pred, truth = label_maps(preds, target, num_classes, ignore_index)
    pred = lift(pred, equals(truth, num_classes), num_classes)
    ignored = num_classes if void == "transparent" else None
    distances = np.full((2, len(truth), num_classes), np.nan)
    for image, maps in enumerate(zip(pred.cpu().numpy(), truth.cpu().numpy())):
        far = {"diagonal": np.hypot(*maps[0].shape), "infinite": np.inf, "skip": np.nan}[missing]
        outlines = [_outline(labels, num_classes, ignored) for labels in maps]
        pixels = [_pixels_by_class(labels, at) for labels, at in zip(maps, outlines)]
        same = outlines[0] & outlines[1] & (maps[0] == maps[1])
        for k in pixels[0].keys() | pixels[1].keys():
            a, b = (of_class.get(k, _NOWHERE) for of_class in pixels)
            distances[:, image, k] = _distances(a, b, same, percentile, far)
    return SurfaceDistances(*torch.from_numpy(distances))


def _outline(
    labels: NDArray[np.integer], num_classes: int, ignored: int | None
) -> NDArray[np.bool_]:
    """Return the outlines (H, W) of all classes; no outline runs between class and ``ignored``."""
    outline = np.ones(labels.shape, np.bool_)
    outline[1:-1, 1:-1] = False
    unknown = labels == num_classes
    for here, there in (np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]):
        differ = labels[here] != labels[there]
        if ignored is not None:
            differ &= ~(unknown[here] | unknown[there])
        outline[here] |= differ
        outline[there] |= differ
    return outline & ~unknown


def _pixels_by_class(
    labels: NDArray[np.integer], outline: NDArray[np.bool_]
) -> dict[int, NDArray[np.intp]]:
    """Return rows and columns (N, 2) of the outline of each class that has one."""
    places = np.flatnonzero(outline)
    classes = labels.reshape(-1)[places]
    order = np.argsort(classes, kind="stable")
    present, starts = np.unique(classes[order], return_index=True)
    pixels = np.stack(np.divmod(places[order], labels.shape[1]), axis=1)
    return dict(zip(present.tolist(), np.split(pixels, starts[1:])))  # empty if none


def _distances(
    pred: NDArray[np.intp],
    truth: NDArray[np.intp],
    same: NDArray[np.bool_],
    percentile: float,
    far: float,
) -> tuple[float, float]:
    if len(pred) == 0 or len(truth) == 0:
        return far, far
    from_pred, from_truth = _to_nearest(pred, truth, same), _to_nearest(truth, pred, same)
    mean = (from_pred.sum() + from_truth.sum()) / (len(pred) + len(truth))
    return mean, max(np.percentile(from_pred, percentile), np.percentile(from_truth, percentile))


def _to_nearest(
    pixels: NDArray[np.intp], others: NDArray[np.intp], same: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Distance from each pixel to the nearest of the others; 0 where both outlines coincide."""
    distances = np.zeros(len(pixels))
    apart = ~same[pixels[:, 0], pixels[:, 1]]
    if apart.any():
        # A balanced tree takes longer to build than the queries save.
        tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
        distances[apart], _ = tree.query(pixels[apart])
    return distances
