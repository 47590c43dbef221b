"""Maps for display: class colours, errors, boundary bands, entropy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.metrics.functional.windows import differs_within
from lightning_seg.palette import Color

Pixels = NDArray[np.uint8]
# Void is hatched with these greys, because any plain colour may mean a class or a value.
HATCH_LIGHT, HATCH_DARK = 242, 96

# Colours of right and wrong; the usual ones (ISPRS) come first.
_RIGHT_WRONG: tuple[tuple[Color, ...], ...] = (
    ((125, 200, 130), (215, 20, 30)),
    ((150, 195, 235), (230, 110, 0)),
    ((240, 225, 130), (110, 0, 140)),
    ((250, 205, 220), (200, 0, 170)),
    ((255, 190, 150), (0, 70, 80)),
)
# Colours of true positives, false positives and false negatives; those of Audebert et al. (2019)
# come first.
_ONE_CLASS: tuple[tuple[Color, ...], ...] = (
    ((60, 180, 75), (245, 110, 180), (30, 60, 200)),
    ((0, 190, 175), (255, 140, 0), (150, 0, 200)),
    ((245, 220, 60), (215, 20, 30), (40, 40, 40)),
)
# CIE94 colour difference from which two colours are clearly distinct in a picture.
_APART = 13.0


@dataclass(frozen=True)
class Verdict:
    """Pixels of one outcome, such as false positives: name, colour and mask (H, W)."""

    name: str
    color: Color
    where: NDArray[np.bool_]


def paint(labels: NDArray[np.integer], colors: Sequence[Color]) -> Pixels:
    """Paint labels (H, W) in the class colours (H, W, 3); labels that are no class are hatched."""
    valid = is_class(labels, len(colors))
    painted = np.array(colors, np.uint8)[np.where(valid, labels, 0)]
    return hatched(painted, ~valid)


def paint_over(
    image: Pixels, labels: NDArray[np.integer], colors: Sequence[Color], opacity: float = 0.6
) -> Pixels:
    """Paint labels as `paint` does, over the greyscale version of an image (H, W, 3)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    mixed = opacity * paint(labels, colors) + (1 - opacity) * grey
    return hatched(mixed.astype(np.uint8), ~is_class(labels, len(colors)))


def hatch(height: int, width: int) -> NDArray[np.uint8]:
    """Draw diagonal grey stripes (H, W); their width is a fixed share of the longer side."""
    stripe = max(2, round(max(height, width) / 90))
    diagonal = np.add.outer(np.arange(height), np.arange(width))
    return np.where(diagonal // stripe % 2 == 0, HATCH_LIGHT, HATCH_DARK).astype(np.uint8)


def hatched(pixels: Pixels, void: NDArray[np.bool_]) -> Pixels:
    """Hatch the void pixels (H, W) of a picture (H, W, 3)."""
    if not void.any():
        return pixels
    return np.where(void[..., None], hatch(*void.shape)[..., None], pixels)


def is_class(labels: NDArray[np.integer], num_classes: int) -> NDArray[np.bool_]:
    """Return where a map (H, W) holds a class, as opposed to void."""
    return (labels >= 0) & (labels < num_classes)


def boundary_band(labels: NDArray[np.integer], num_classes: int, width: int) -> NDArray[np.bool_]:
    """Return the valid pixels (H, W) with a valid pixel of another label within ``width``.

    Void (any label that is no class) and the image border form no boundary. The trimap IoU uses
    this band.
    """
    valid = is_class(labels, num_classes)
    known = torch.from_numpy(np.where(valid, labels, 0).astype(np.int32))[None]
    (differs,) = differs_within(known, [width], torch.from_numpy(~valid)[None])
    return valid & differs[0].numpy()


def right_and_wrong(
    truth: NDArray[np.integer], prediction: NDArray[np.integer], colors: Sequence[Color]
) -> list[Verdict]:
    """Return the right and the wrong pixels, in colours that are distinct from the classes'."""
    valid, right = is_class(truth, len(colors)), truth == prediction
    names, chosen = ("right", "wrong"), _most_distinct(_RIGHT_WRONG, colors)
    return [Verdict(*parts) for parts in zip(names, chosen, (valid & right, valid & ~right))]


def positives_and_negatives(
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    colors: Sequence[Color],
    positive: int,
) -> list[Verdict]:
    """Return true positives, false positives and false negatives of one class.

    They are green, pink and blue, as in Audebert et al. (2019, figure 5), or other colours if a
    class has a similar one.
    """
    valid = is_class(truth, len(colors))
    actual, predicted = truth == positive, prediction == positive
    where = (valid & actual & predicted, valid & ~actual & predicted, valid & actual & ~predicted)
    names = ("true positive", "false positive", "false negative")
    return [Verdict(*parts) for parts in zip(names, _most_distinct(_ONE_CLASS, colors), where)]


def judged(
    image: Pixels, verdicts: Sequence[Verdict], void: NDArray[np.bool_],
    shown: NDArray[np.bool_] | None = None,
) -> Pixels:  # fmt: skip
    """Paint verdicts over a pale image, with void hatched.

    The image stays faintly visible, for orientation.

    Args:
        image: Image (H, W, 3).
        verdicts: Verdicts to paint.
        void: Void pixels (H, W).
        shown: Mask (H, W) of the pixels to paint; by default all.

    Returns:
        Picture (H, W, 3) uint8.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    pixels = np.repeat((175 + 0.3 * grey)[..., None], 3, axis=2)
    for verdict in verdicts:
        where = verdict.where if shown is None else verdict.where & shown
        pixels[where] = np.array(verdict.color) * 0.85 + 0.15 * grey[where][:, None]
    return hatched(pixels.clip(0, 255).astype(np.uint8), void)


def _most_distinct(
    candidates: Sequence[tuple[Color, ...]], taken: Sequence[Color]
) -> tuple[Color, ...]:
    """Return the first candidate distinct from all taken colours, or else the most distinct one."""
    distances = [_least_distance(colors, taken) for colors in candidates]
    apart = next((n for n, distance in enumerate(distances) if distance >= _APART), None)
    return candidates[int(np.argmax(distances)) if apart is None else apart]


def _least_distance(colors: Sequence[Color], others: Sequence[Color]) -> float:
    """Return the smallest CIE94 difference of any two colours, with their geometric mean chroma."""
    lab, other_lab = _lab(colors)[:, None], _lab(others)[None]
    chroma, other_chroma = (np.linalg.norm(c[..., 1:], axis=-1) for c in (lab, other_lab))
    mean = np.sqrt(chroma * other_chroma)
    squared = (lab - other_lab) ** 2
    by_chroma = (chroma - other_chroma) ** 2
    by_hue = (squared[..., 1:].sum(axis=-1) - by_chroma).clip(min=0)
    weighed = by_chroma / (1 + 0.045 * mean) ** 2 + by_hue / (1 + 0.015 * mean) ** 2
    return float(np.sqrt(squared[..., 0] + weighed).min())


def _lab(colors: Sequence[Color]) -> NDArray[np.float32]:
    """Convert RGB colours to CIELAB (N, 3)."""
    shares = np.array(colors, np.float32)[None] / 255
    return cv2.cvtColor(shares, cv2.COLOR_RGB2LAB)[0]


def class_probabilities(scores: Tensor) -> Tensor:
    """Convert scores to probabilities, float32 (B, K, H, W).

    Args:
        scores: Logits or probabilities (B, K, H, W). They are probabilities if none is negative
            and every pixel sums to 1. A single channel is a binary prediction and gives two
            channels; its values are probabilities if all are in [0, 1].
    """
    scores = scores.detach().float()
    if scores.shape[1] == 1:
        inside = bool(((scores >= 0) & (scores <= 1)).all())
        positive = scores if inside else scores.sigmoid()
        return torch.cat([1 - positive, positive], dim=1)
    if bool((scores >= 0).all()) and bool(((scores.sum(dim=1) - 1).abs() < 0.02).all()):
        return scores
    return scores.softmax(dim=1)


def entropy(scores: Tensor) -> Tensor:
    """Return the normalised entropy: 0 for certain, 1 if all classes are equally likely.

    Args:
        scores: Logits or probabilities (B, K, H, W), see `class_probabilities`.

    Returns:
        Float32 (B, H, W): Shannon entropy divided by log K, as drawn by SEMEDA (Chen et al., 2020).
    """
    probabilities = class_probabilities(scores)
    maximum = torch.tensor(float(probabilities.shape[1])).log()
    return torch.special.entr(probabilities).sum(dim=1) / maximum.to(scores.device)


def label_entropy(scores: Tensor) -> Tensor:
    """Return the mean normalised entropy of several labels per pixel, float32 (B, H, W).

    Args:
        scores: Logits or probabilities (B, K, H, W) of K labels; they are probabilities if all are
            in [0, 1].
    """
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    present = (scores if inside else scores.sigmoid()).float()
    entropies = torch.special.entr(present) + torch.special.entr(1 - present)
    return entropies.mean(dim=1) / math.log(2)


def ink(boundary: NDArray[np.floating]) -> Pixels:
    """Draw the boundaries of all classes (K, H, W) in [0, 1] in black on white (H, W, 3)."""
    shade = (255 * (1 - boundary.max(axis=0))).clip(0, 255).round().astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)


def rgb(hsv: NDArray[np.floating]) -> NDArray[np.floating]:
    """Convert HSV (3, H, W) to RGB (H, W, 3), both in [0, 1]."""
    from matplotlib.colors import hsv_to_rgb

    return hsv_to_rgb(np.moveaxis(hsv, 0, -1).clip(0, 1))
