"""Pictures of predictions with several labels per pixel."""

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from lightning_seg.callbacks.pictures.picture_maps import (
    Pixels,
    Verdict,
    hatched,
    right_and_wrong,
)
from lightning_seg.callbacks.pictures.pictures import Picture
from lightning_seg.palette import Color

_OPACITY = 0.5
_MOST_LABELS = 9


class LabelPicture(Picture):
    """Picture of one image whose pixels have any number of K labels.

    ``truth`` (K, H, W) holds 0, 1 and, for void pixels of a label, other values; ``prediction``
    (K, H, W) holds 0 and 1. Labels are painted over the image as translucent layers with outlines.
    A pixel is wrong if any of its labels is, and void if all of them are.
    """

    @cached_property
    def labels(self) -> list[Picture]:
        """A picture of each label against the rest."""
        return [
            Picture(
                "", self.image, truth, prediction, ("", name), (*self.class_colors, color),
                band_width=self.band_width, positive=1,
            )
            for truth, prediction, name, color in zip(
                self.truth, self.prediction, self.class_names, self.class_colors, strict=True
            )
        ]  # fmt: skip

    @cached_property
    def void(self) -> NDArray[np.bool_]:
        """Mask (H, W) of the pixels without any known label."""
        return np.all([label.void for label in self.labels], axis=0)

    @cached_property
    def band(self) -> NDArray[np.bool_]:
        """Mask (H, W) of the pixels near true boundaries of any label."""
        return np.any([label.band for label in self.labels], axis=0)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Pixels with all labels right, and those with any wrong."""
        wrong = np.any([label.wrong for label in self.labels], axis=0)
        return right_and_wrong(np.where(self.void, -1, 0), wrong.astype(int), self.class_colors)

    @property
    def classes(self) -> list[int]:
        """Labels that the ground truth or the prediction holds."""
        present = ((self.truth == 1) | (self.prediction == 1)).any(axis=(1, 2))
        return np.flatnonzero(present).tolist()

    @property
    def each(self) -> list[Picture]:
        """Pictures of the labels that are present, at most nine: those with most wrong pixels."""
        shown = sorted(self.classes, key=lambda k: -int(self.labels[k].wrong.sum()))
        return [self.labels[k] for k in sorted(shown[:_MOST_LABELS])]

    def painted(self, labels: NDArray[np.integer]) -> Pixels:
        """Paint labels (K, H, W) over the image, with void pixels hatched where they are void."""
        layers = paint_layers(self.image, labels == 1, self.class_colors)
        nowhere = ((labels != 0) & (labels != 1)).all(axis=0)
        return hatched(layers, nowhere)


def paint_layers(image: Pixels, labels: NDArray[np.bool_], colors: Sequence[Color]) -> Pixels:
    """Paint labels (K, H, W) as translucent layers with outlines over a pale image (H, W, 3).

    Where labels overlap, their colours are mixed in equal parts.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    pixels = np.repeat((100 + 0.6 * grey)[..., None], 3, axis=2)
    mixed, count = np.zeros_like(pixels), np.zeros(pixels.shape[:2], np.float32)
    for inside, color in zip(labels, colors, strict=True):
        mixed[inside] += color
        count += inside
    any_label = count > 0
    mean = mixed[any_label] / count[any_label][:, None]
    pixels[any_label] = _OPACITY * mean + (1 - _OPACITY) * pixels[any_label]
    size = 1 + 2 * max(1, round(max(count.shape) / 300))
    for inside, color in zip(labels, colors, strict=True):
        kept = cv2.erode(inside.astype(np.uint8), np.ones((size, size), np.uint8))
        pixels[inside & (kept == 0)] = color
    return pixels.round().astype(np.uint8)
