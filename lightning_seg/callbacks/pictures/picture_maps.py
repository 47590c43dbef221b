"""Maps made for the eye: classes in their colours, errors, boundary bands, uncertainty."""

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
# Void is hatched with these greys, for any plain colour may be a class's or stand for a number.
HATCH_LIGHT, HATCH_DARK = 242, 96

# Right and wrong, the most usual colours (those of ISPRS) first.
_RIGHT_WRONG: tuple[tuple[Color, ...], ...] = (
    ((125, 200, 130), (215, 20, 30)),
    ((150, 195, 235), (230, 110, 0)),
    ((240, 225, 130), (110, 0, 140)),
    ((250, 205, 220), (200, 0, 170)),
    ((255, 190, 150), (0, 70, 80)),
)
# True positive, false positive and false negative, those of Audebert et al. (2019) first.
_ONE_CLASS: tuple[tuple[Color, ...], ...] = (
    ((60, 180, 75), (245, 110, 180), (30, 60, 200)),
    ((0, 190, 175), (255, 140, 0), (150, 0, 200)),
    ((245, 220, 60), (215, 20, 30), (40, 40, 40)),
)
# Difference (CIE94) from which two colours are not taken for each other across a picture.
_APART = 13.0


@dataclass(frozen=True)
class Verdict:
    """A way in which pixels are right or wrong: its name, its colour and where (H, W) it is so."""

    name: str
    color: Color
    where: NDArray[np.bool_]


def paint(labels: NDArray[np.integer], colors: Sequence[Color]) -> Pixels:
    """Class numbers (H, W) in the classes' colours (H, W, 3); other labels are hatched."""
    valid = is_class(labels, len(colors))
    painted = np.array(colors, np.uint8)[np.where(valid, labels, 0)]
    return hatched(painted, ~valid)


def paint_over(
    image: Pixels, labels: NDArray[np.integer], colors: Sequence[Color], opacity: float = 0.6
) -> Pixels:
    """As `paint`, but a grey image (H, W, 3) shines through the classes."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    mixed = opacity * paint(labels, colors) + (1 - opacity) * grey
    return hatched(mixed.astype(np.uint8), ~is_class(labels, len(colors)))


def hatch(height: int, width: int) -> NDArray[np.uint8]:
    """Diagonal stripes (H, W) of light and dark grey, a fixed share of the longer side wide."""
    stripe = max(2, round(max(height, width) / 90))
    diagonal = np.add.outer(np.arange(height), np.arange(width))
    return np.where(diagonal // stripe % 2 == 0, HATCH_LIGHT, HATCH_DARK).astype(np.uint8)


def hatched(pixels: Pixels, void: NDArray[np.bool_]) -> Pixels:
    """The pixels (H, W, 3), hatched where there is void (H, W)."""
    if not void.any():
        return pixels
    return np.where(void[..., None], hatch(*void.shape)[..., None], pixels)


def is_class(labels: NDArray[np.integer], num_classes: int) -> NDArray[np.bool_]:
    """Where a map (H, W) holds a class and is not void."""
    return (labels >= 0) & (labels < num_classes)


def boundary_band(labels: NDArray[np.integer], num_classes: int, width: int) -> NDArray[np.bool_]:
    """Valid pixels with a differently labelled valid pixel within ``width`` (H, W), bool.

    Void (any other label) and the image border make no boundary. It is the band of the trimap IoU.
    """
    valid = is_class(labels, num_classes)
    known = torch.from_numpy(np.where(valid, labels, 0).astype(np.int32))[None]
    (differs,) = differs_within(known, [width], torch.from_numpy(~valid)[None])
    return valid & differs[0].numpy()


def right_and_wrong(
    truth: NDArray[np.integer], prediction: NDArray[np.integer], colors: Sequence[Color]
) -> list[Verdict]:
    """Right and wrong pixels of all classes, in colours that none of theirs is like."""
    valid, right = is_class(truth, len(colors)), truth == prediction
    names, chosen = ("right", "wrong"), _clearest(_RIGHT_WRONG, colors)
    return [Verdict(*one) for one in zip(names, chosen, (valid & right, valid & ~right))]


def positives_and_negatives(
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    colors: Sequence[Color],
    positive: int,
) -> list[Verdict]:
    """True and false positives and false negatives of one class.

    In the colours of Audebert et al. (2019, figure 5), or in others if a class is painted like
    them: green, pink and blue.
    """
    valid = is_class(truth, len(colors))
    true, found = truth == positive, prediction == positive
    where = (valid & true & found, valid & ~true & found, valid & true & ~found)
    names = ("true positive", "false positive", "false negative")
    return [Verdict(*one) for one in zip(names, _clearest(_ONE_CLASS, colors), where)]


def judged(
    image: Pixels, verdicts: Sequence[Verdict], void: NDArray[np.bool_],
    shown: NDArray[np.bool_] | None = None,
) -> Pixels:  # fmt: skip
    """(H, W, 3): pixels in the colours of their verdicts, void hatched, the rest of the image pale.

    A little of the image (H, W, 3) shines through, to see what is where.

    Args:
        image: (H, W, 3).
        verdicts: What is painted.
        void: (H, W).
        shown: Where (H, W) it is painted; by default everywhere.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    pixels = np.repeat((175 + 0.3 * grey)[..., None], 3, axis=2)
    for verdict in verdicts:
        where = verdict.where if shown is None else verdict.where & shown
        pixels[where] = np.array(verdict.color) * 0.85 + 0.15 * grey[where][:, None]
    return hatched(pixels.clip(0, 255).astype(np.uint8), void)


def _clearest(candidates: Sequence[tuple[Color, ...]], taken: Sequence[Color]) -> tuple[Color, ...]:
    """The first colours that are like none of those taken, or those that are least so."""
    distances = [_least_distance(colors, taken) for colors in candidates]
    apart = next((n for n, distance in enumerate(distances) if distance >= _APART), None)
    return candidates[int(np.argmax(distances)) if apart is None else apart]


def _least_distance(colors: Sequence[Color], others: Sequence[Color]) -> float:
    """The smallest difference between any two, by CIE94 with both chromas' geometric mean."""
    one, other = _lab(colors)[:, None], _lab(others)[None]
    chroma, other_chroma = (np.linalg.norm(lab[..., 1:], axis=-1) for lab in (one, other))
    mean = np.sqrt(chroma * other_chroma)
    squared = (one - other) ** 2
    by_chroma = (chroma - other_chroma) ** 2
    by_hue = (squared[..., 1:].sum(axis=-1) - by_chroma).clip(min=0)
    weighed = by_chroma / (1 + 0.045 * mean) ** 2 + by_hue / (1 + 0.015 * mean) ** 2
    return float(np.sqrt(squared[..., 0] + weighed).min())


def _lab(colors: Sequence[Color]) -> NDArray[np.float32]:
    """RGB colours in CIELAB (N, 3)."""
    shares = np.array(colors, np.float32)[None] / 255
    return cv2.cvtColor(shares, cv2.COLOR_RGB2LAB)[0]


def class_probabilities(scores: Tensor) -> Tensor:
    """Scores as probabilities, float32 (B, K, H, W).

    Args:
        scores: (B, K, H, W) logits, or probabilities: where none is negative and all pixels sum to
            1; one channel is a binary prediction, probabilities where all lie in [0, 1], and gives
            two.
    """
    scores = scores.detach().float()
    if scores.shape[1] == 1:
        inside = bool(((scores >= 0) & (scores <= 1)).all())
        object_ = scores if inside else scores.sigmoid()
        return torch.cat([1 - object_, object_], dim=1)
    if bool((scores >= 0).all()) and bool(((scores.sum(dim=1) - 1).abs() < 0.02).all()):
        return scores
    return scores.softmax(dim=1)


def entropy(scores: Tensor) -> Tensor:
    """How undecided scores are: 0 for certain, 1 where all classes are equally likely.

    Args:
        scores: (B, K, H, W) logits or probabilities, as in `class_probabilities`.

    Returns:
        Float32 (B, H, W): Shannon's entropy over that of K equal probabilities, as drawn by SEMEDA
        (Chen et al., 2020).
    """
    probabilities = class_probabilities(scores)
    most = torch.tensor(float(probabilities.shape[1])).log()
    return torch.special.entr(probabilities).sum(dim=1) / most.to(scores.device)


def ink(boundary: NDArray[np.floating]) -> Pixels:
    """Boundaries of all classes (K, H, W) in [0, 1] as black on white (H, W, 3)."""
    shade = (255 * (1 - boundary.max(axis=0))).clip(0, 255).round().astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)


def rgb(hsv: NDArray[np.floating]) -> NDArray[np.floating]:
    """Hue, saturation and value (3, H, W) as red, green and blue (H, W, 3)."""
    from matplotlib.colors import hsv_to_rgb

    return hsv_to_rgb(np.moveaxis(hsv, 0, -1).clip(0, 1))
