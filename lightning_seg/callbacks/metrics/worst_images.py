"""The images of an evaluation with the lowest boundary IoU, as small pictures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from lightning_seg.callbacks.pictures.chosen_samples import to_rgb
from lightning_seg.callbacks.pictures.label_picture import LabelPicture
from lightning_seg.callbacks.pictures.picture_maps import Pixels, judged
from lightning_seg.callbacks.pictures.pictures import Picture, band_title, png
from lightning_seg.palette import Color

_COUNT = 6
_LARGEST_SIDE = 800
_FIGURES = ("boundary_iou", "iou", "boundary_f", "accuracy")


@dataclass(frozen=True)
class WorstImage:
    """One image.

    Args:
        name: Its name.
        number: Its number in the dataset.
        figures: Scores of the image alone, by name.
        pictures: Encoded pictures by caption: a JPEG ``image``, and PNGs.
        classes: Indices of the classes that ground truth or prediction holds.
    """

    name: str
    number: int
    figures: Mapping[str, float]
    pictures: Mapping[str, bytes]
    classes: Sequence[int]


class WorstImages:
    """Keep the images with the lowest boundary IoU; only their small pictures stay in memory.

    Args:
        class_names: Names of the classes.
        class_colors: RGB colours of the classes, 0 to 255.
        ignore_index: Label of ignored pixels, None for none.
    """

    def __init__(
        self, class_names: Sequence[str], class_colors: Sequence[Color], ignore_index: int | None
    ) -> None:
        self._names = class_names
        self._colors = class_colors
        self._ignore_index = ignore_index
        self.kept: list[WorstImage] = []

    def add(
        self,
        scores: Mapping[str, Tensor],
        name: str,
        number: int,
        image: Tensor,
        labels: Tensor,
        truth: Tensor,
    ) -> None:
        """Add an image (C, H', W'), its labels, ground truth and scores by name.

        Labels and ground truth are (H, W), or (K, H, W) of 0 and 1 if pixels have several labels.
        """
        score = scores["boundary_iou"].item()
        full = len(self.kept) == _COUNT
        if math.isnan(score) or (full and score >= self.kept[-1].figures["boundary_iou"]):
            return
        if self._ignore_index is not None:
            truth = truth.masked_fill(truth == self._ignore_index, -1)
        figures = {key: scores[key].item() for key in _FIGURES}
        picture = self._picture(image, labels.cpu().numpy(), truth.cpu().numpy())
        one = WorstImage(name, number, figures, _pictures(picture), picture.classes)
        self.kept = worst([*self.kept, one])

    def _picture(self, image: Tensor, labels: np.ndarray, truth: np.ndarray) -> Picture:
        rgb = to_rgb(image)
        height, width = truth.shape[-2:]
        if rgb.shape[:2] != (height, width):
            rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        kind = LabelPicture if truth.ndim == 3 else Picture
        return kind("", rgb, truth, labels, self._names, self._colors)


def worst(images: Sequence[WorstImage]) -> list[WorstImage]:
    """Return the images with the lowest boundary IoU, the lowest first."""
    ordered = sorted(images, key=lambda image: (image.figures["boundary_iou"], image.number))
    return ordered[:_COUNT]


def _pictures(picture: Picture) -> dict[str, bytes]:
    """Return image, ground truth, prediction and errors near boundaries, by caption."""
    height, width = picture.image.shape[:2]
    step = max(1, -(-max(height, width) // _LARGEST_SIDE))
    size = (-(-width // step), -(-height // step))
    photo = cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA)
    errors = judged(picture.image, picture.verdicts, picture.void, picture.band)
    maps: dict[str, Pixels] = {
        "ground truth": picture.painted(picture.truth),
        "prediction": picture.painted(picture.prediction),
        band_title(picture): errors,
    }
    bgr = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    # Averaging would create colours that belong to no class.
    return {"image": jpeg} | {name: png(shown[::step, ::step]) for name, shown in maps.items()}
