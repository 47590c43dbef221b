"""Counts of the boundary metrics by class, straight from their definitions."""

import cv2
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

VOID = 255
SQUARE = np.ones((3, 3), np.uint8)


@st.composite
def map_pairs(draw, num_classes=3, void=True):
    """Draw a prediction and a ground truth of single pixels or blocks, with some void."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    scale = np.ones((draw(st.integers(1, 3)), draw(st.integers(1, 3))), np.uint8)
    labels = list(range(num_classes))
    truth = draw(arrays(np.uint8, shape, elements=st.sampled_from(labels + [VOID] * void)))
    pred = draw(arrays(np.uint8, shape, elements=st.sampled_from(labels)))
    agree = draw(arrays(bool, shape)) & (truth != VOID)
    return np.kron(np.where(agree, truth, pred), scale), np.kron(truth, scale)


def erode(mask, width, border):
    if border:
        mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    mask = cv2.erode(mask, SQUARE, iterations=width)
    return mask[1:-1, 1:-1] if border else mask


def boundary_iou_by_class(pred, truth, num_classes, width, void, border):
    unknown = truth == VOID
    counts = []
    for k in range(num_classes):
        bands = []
        for labels in (pred, truth):
            mask = labels == k
            if void != "removed":
                mask = mask & ~unknown
            solid = mask | unknown if void == "transparent" else mask
            eroded = erode(solid.astype(np.uint8), width, border)
            bands.append(mask & (eroded == 0) & ~unknown)
        counts.append([int((bands[0] & bands[1]).sum()), int((bands[0] | bands[1]).sum())])
    return counts


def window(labels, y, x, width):
    return labels[max(y - width, 0) : y + width + 1, max(x - width, 0) : x + width + 1]


def transition_band(truth, width):
    band = np.zeros(truth.shape, bool)
    for y, x in np.argwhere(truth != VOID):
        seen = window(truth, y, x, width)
        band[y, x] = ((seen != truth[y, x]) & (seen != VOID)).any()
    return band


def void_band(truth, width):
    grown = cv2.dilate((truth == VOID).astype(np.uint8), SQUARE, iterations=width)
    return (grown > 0) & (truth != VOID)


def iou_in_region(pred, truth, num_classes, region):
    counts = []
    for k in range(num_classes):
        a, b = (pred == k) & region, (truth == k) & region
        counts.append([int((a & b).sum()), int((a | b).sum())])
    return counts


def trimap_per_class(pred, truth, num_classes, width, region):
    counts = []
    for k in range(num_classes):
        mask = (truth == k).astype(np.uint8)
        inner = (mask > 0) & (cv2.erode(mask, SQUARE, iterations=width) == 0)
        outer = (mask == 0) & (cv2.dilate(mask, SQUARE, iterations=width) > 0)
        guess = (pred == k) & (truth != VOID)
        if region == "boundary":
            true, guess_here = inner, guess & (inner | outer)
        else:
            true, guess_here = (mask > 0) & ~inner, guess & ~(inner | outer)
        counts.append([int((true & guess).sum()), int((true | guess_here).sum())])
    return counts


def contour(mask, unknown):
    """Return pixels whose 2 x 2 block has known pixels inside and outside of the mask."""
    height, width = mask.shape
    actual = np.zeros(mask.shape, bool)
    for y in range(height):
        for x in range(width):
            known = ~unknown[y : y + 2, x : x + 2]
            inside = mask[y : y + 2, x : x + 2]
            actual[y, x] = (inside & known).any() and (~inside & known).any()
    return actual


def within(points, others, radius):
    """Return the points that have one of the others within the radius, by brute force."""
    a, b = np.argwhere(points), np.argwhere(others)
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    hit = np.zeros(points.shape, bool)
    hit[points] = (squared <= radius**2).any(axis=1) if len(b) else False
    return hit


def boundary_f_by_class(pred, truth, num_classes, radius, void):
    unknown = truth == VOID
    removed = void == "removed"
    see_through = unknown if removed else np.zeros_like(unknown)
    counted = ~within(np.ones_like(unknown), unknown, radius) if removed else True
    counts = []
    for k in range(num_classes):
        a, b = (contour((m == k) & ~unknown, see_through) for m in (pred, truth))
        maps = (a, within(a, b, radius), b, within(b, a, radius))
        counts.append([int((m & counted).sum()) for m in maps])
    return counts
