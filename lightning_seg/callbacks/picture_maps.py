"""Maps made for the eye: classes in their colours, errors, boundary bands, uncertainty."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.metrics.functional.windows import differs_within

Pixels = NDArray[np.uint8]
VOID_GREY = 25
RIGHT, WRONG = (125, 200, 130), (215, 20, 30)


def paint(labels: NDArray[np.integer], colors: Sequence[tuple[int, int, int]]) -> Pixels:
    """Class numbers (H, W) in the classes' colours (H, W, 3); other labels are nearly black."""
    count = len(colors)
    table = np.full((count + 1, 3), VOID_GREY, np.uint8)
    table[:count] = colors
    return table[np.where(is_class(labels, count), labels, count)]


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


def errors(
    image: Pixels, truth: NDArray[np.integer], prediction: NDArray[np.integer], num_classes: int
) -> Pixels:
    """(H, W, 3): right pixels green, wrong ones red, as ISPRS shows them; void nearly black.

    A little of the image (H, W, 3) shines through, to see what is where.
    """
    valid = is_class(truth, num_classes)
    pixels = np.full(image.shape, VOID_GREY, np.float32)
    return _tinted(pixels, image, valid, truth == prediction)


def boundary_errors(
    image: Pixels, truth: NDArray[np.integer], prediction: NDArray[np.integer],
    band: NDArray[np.bool_],
) -> Pixels:  # fmt: skip
    """(H, W, 3): right green and wrong red in a band (H, W), the rest of the image faded."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    faded = np.repeat((175 + 0.3 * grey)[..., None], 3, axis=2)
    return _tinted(faded, image, band, truth == prediction)


def _tinted(
    pixels: NDArray[np.float32], image: Pixels, shown: NDArray[np.bool_], right: NDArray[np.bool_]
) -> Pixels:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    for where, color in ((shown & right, RIGHT), (shown & ~right, WRONG)):
        pixels[where] = np.array(color) * 0.85 + 0.15 * grey[where][:, None]
    return pixels.clip(0, 255).astype(np.uint8)


def entropy(scores: Tensor) -> Tensor:
    """How undecided scores are: 0 for certain, 1 where all classes are equally likely.

    Args:
        scores: (B, K, H, W) logits, or probabilities: where none is negative and all pixels sum to
            1; one channel is a binary prediction, probabilities where all lie in [0, 1].

    Returns:
        Float32 (B, H, W): Shannon's entropy over that of K equal probabilities, as drawn by SEMEDA
        (Chen et al., 2020).
    """
    scores = scores.detach().float()
    if scores.shape[1] == 1:
        inside = bool(((scores >= 0) & (scores <= 1)).all())
        object_ = scores if inside else scores.sigmoid()
        probabilities = torch.cat([1 - object_, object_], dim=1)
    elif bool((scores >= 0).all()) and bool(((scores.sum(dim=1) - 1).abs() < 0.02).all()):
        probabilities = scores
    else:
        probabilities = scores.softmax(dim=1)
    most = torch.tensor(float(probabilities.shape[1])).log()
    return torch.special.entr(probabilities).sum(dim=1) / most.to(scores.device)


def ink(boundary: NDArray[np.floating]) -> NDArray[np.floating]:
    """Boundaries of all classes (K, H, W) as black on white (H, W, 3)."""
    return np.repeat(1 - boundary.max(axis=0)[..., None], 3, axis=2)


def rgb(hsv: NDArray[np.floating]) -> NDArray[np.floating]:
    """Hue, saturation and value (3, H, W) as red, green and blue (H, W, 3)."""
    from matplotlib.colors import hsv_to_rgb

    return hsv_to_rgb(np.moveaxis(hsv, 0, -1).clip(0, 1))
