"""Signed distances from their definition, and label maps for tests."""

import numpy as np
from scipy.ndimage import distance_transform_edt

VOID = 255


def by_scipy(labels, num_classes, clip, void="ignore", void_label=VOID):
    """Signed distances by two transforms per class, float64 (K, H, W)."""
    distances = []
    for label in range(num_classes):
        member = labels == label
        other = ~member if void == "background" else ~member & (labels != void_label)
        inside = distance_transform_edt(~other) if other.any() else np.inf
        outside = distance_transform_edt(~member) if member.any() else np.inf
        distances.append(np.where(member, inside, -outside))
    distances = np.clip(distances, -clip, clip)
    if void == "ignore":
        distances[:, labels == void_label] = 0
    return distances


def by_brute_force(labels, num_classes, clip, void="ignore"):
    """Signed distances by brute force over all pairs of pixels, (K, H, W)."""
    pixels = list(np.ndindex(labels.shape))
    distances = np.zeros((num_classes, *labels.shape))
    for label in range(num_classes):
        for pixel in pixels:
            if labels[pixel] == VOID and void == "ignore":
                continue
            inside = labels[pixel] == label
            opposite = [
                other
                for other in pixels
                if (labels[other] == label) != inside
                and not (labels[other] == VOID and void == "ignore")
            ]
            nearest = min(
                (np.hypot(*np.subtract(pixel, other)) for other in opposite), default=clip
            )
            distances[label][pixel] = min(nearest, clip) * (1 if inside else -1)
    return distances


def patches(seed, height, width, num_labels, size, void=0.0):
    """Return square patches of random labels with a share of void pixels."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, num_labels, (-(-height // size), -(-width // size)))
    labels = cells.repeat(size, 0).repeat(size, 1)[:height, :width]
    return np.where(rng.random(labels.shape) < void, VOID, labels)
