"""Equipotential learning from its formulas in NumPy, by pixel, direction and level."""

import numpy as np
from loss_contract import VOID, softmax

AXES = [(-1, 0), (1, 0), (0, -1), (0, 1)]
DIAGONALS = [(-1, -1), (1, 1), (-1, 1), (1, -1)]
DIRECTIONS = {"A": AXES, "B": DIAGONALS, "C": AXES + DIAGONALS}


def pixel(field, y, x, padding):
    height, width = field.shape
    if padding == "replicate":
        return field[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    return field[y, x] if 0 <= y < height and 0 <= x < width else 0.0


def potentials(field, kernel_size, splitter, padding):
    """Yield the potential fields (H, W) of one map by direction."""
    reach = kernel_size // 2
    if splitter == "standard":
        offsets = range(-reach, reach + 1)
        kernels = [[(dy, dx) for dy in offsets for dx in offsets]]
    else:
        kernels = [[(t * dy, t * dx) for t in range(reach + 1)] for dy, dx in DIRECTIONS[splitter]]
    for kernel in kernels:
        energy = np.zeros(field.shape)
        for y, x in np.ndindex(*field.shape):
            energy[y, x] = sum(pixel(field, y + dy, x + dx, padding) for dy, dx in kernel)
        yield energy * (reach + 1) / len(kernel)


def fields(logits, mask):
    """Yield softmax map, label map and valid pixels by image and class."""
    for scores, labels in zip(logits, mask, strict=True):
        valid = labels != VOID
        probabilities = softmax(scores[None])[0] * valid
        for k, probability in enumerate(probabilities):
            yield probability, 1.0 * (labels == k), valid


def numpy_point(logits, mask, kernel_size=7, splitter="A", norm="l2", padding="replicate"):
    errors = []
    for probability, label, valid in fields(logits, mask):
        actual = potentials(probability, kernel_size, splitter, padding)
        expected = potentials(label, kernel_size, splitter, padding)
        for one, other in zip(actual, expected, strict=True):
            errors.extend(np.abs(one - other)[valid] ** {"l1": 1, "l2": 2}[norm])
    return np.mean(errors)


def line_terms(probability, label, valid, mu, levels):
    """Yield ``1 - EDC`` of each level of a potential field that has a line."""
    label, probability = label[valid], probability[valid]
    line = (label > 0) & (label < levels + 1)
    outside = (label == 0).sum()
    order = np.argsort(probability, kind="stable")
    chosen = np.zeros_like(line)
    chosen[order[outside : outside + line.sum()]] = True
    for level in range(1, levels + 1):
        d = np.exp(-((label - level) ** mu)) * line
        d_found = np.exp(-((probability - level) ** mu)) * chosen
        if (d**2).sum() > 0:
            c = d.sum() / (d**2).sum()
            yield 1 - 2 * c * (d * d_found).sum() / (d.sum() + d_found.sum())


def numpy_line(
    logits, mask, kernel_size=7, splitter="A", mu=10, padding="replicate", reduce="mean"
):
    terms, directions = [], 0
    for probability, label, valid in fields(logits, mask):
        actual = list(potentials(probability, kernel_size, splitter, padding))
        expected = potentials(label, kernel_size, splitter, padding)
        for one, other in zip(actual, expected, strict=True):
            terms.extend(line_terms(one, other, valid, mu, kernel_size // 2))
        directions = len(actual)
    if reduce == "sum":
        return sum(terms) / directions / sum((labels != VOID).any() for labels in mask)
    return np.mean(terms) if terms else 0.0
