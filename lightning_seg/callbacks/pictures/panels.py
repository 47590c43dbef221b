"""Pictures of predictions during validation and test."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from lightning_seg.callbacks.classes import IgnoreIndex, find_classes
from lightning_seg.callbacks.extractors import ExtractorLike
from lightning_seg.callbacks.pictures.chosen_samples import ChosenSample, ChosenSamples
from lightning_seg.callbacks.pictures.label_picture import LabelPicture
from lightning_seg.callbacks.pictures.picture_maps import entropy, label_entropy
from lightning_seg.callbacks.pictures.picture_sheet import step_to_fit
from lightning_seg.callbacks.pictures.pictures import Picture, draw
from lightning_seg.errors import InputError

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure


class PredictionPanels(ChosenSamples):
    """Draw a few samples: image, ground truth, prediction, errors, entropy, regressed maps.

    For the choice of samples and the files see `ChosenSamples`. Errors are shown in the whole image
    (right green, wrong red) and near the true boundaries. The entropy is shown if predictions are
    scores. With two classes, or with ``positive_class``, false positives and false negatives have
    different colours. Unlabelled pixels are hatched.

    Regressed maps are drawn if the step returns a dict with ``predictions`` and ``targets`` that
    hold ``distance`` (B, K, H, W) in [-1, 1] or [0, 1], ``boundary`` (B, K, H, W) in [0, 1], or
    ``color`` (B, 3, H, W), which is HSV in [0, 1] and is shown with its mean error. Image channels
    after the third have their own panels.

    Several labels per pixel are painted over the image as translucent layers with outlines. A pixel
    is wrong if any of its labels is, and each label has a panel with its true positives, false
    positives and false negatives (of more than nine labels, those with most wrong pixels).

    Args:
        band_width: Width in pixels of the band along true boundaries in which errors are shown; by
            default 1 % of the diagonal, at least 2.
        positive_class: Class whose true positives (green), false positives (pink) and false
            negatives (blue) are shown instead of right and wrong, and whose boundaries are used.
            By default the second of two classes.
        over_image: Paint ground truth and prediction over the image.

    Raises:
        InputError: As in `BoundaryMetrics`. (in setup) ``positive_class`` is not a class, or is
            given for several labels per pixel.
    """

    draws_labels: ClassVar[bool] = True

    def __init__(
        self,
        num_images: int = 4,
        every_n_epochs: int = 1,
        band_width: int | None = None,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: IgnoreIndex = "auto",
        positive_class: str | None = None,
        over_image: bool = False,
        multi_label: bool | None = None,
    ) -> None:
        super().__init__(
            num_images, every_n_epochs, num_classes, extractor, class_names, ignore_index,
            multi_label,
        )  # fmt: skip
        self.band_width = band_width
        self.positive_class = positive_class
        self.over_image = over_image

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look up the run's folder, the classes and the positive class."""
        super().setup(trainer, pl_module, stage)
        if stage == "predict":
            return
        if self._multi_label and self.positive_class is not None:
            raise InputError(
                f"positive_class is {self.positive_class!r}, but pixels have several labels, each "
                "with a panel of its own. Leave it out."
            )
        self._positive = 1 if self._num_classes == 2 and not self._multi_label else None
        if self.positive_class is not None:
            (self._positive,) = find_classes([self.positive_class], self._names, "positive_class")

    def draw(self, pl_module: LightningModule, sample: ChosenSample) -> "Figure":
        """Draw the panels of one sample."""
        count = self._num_classes
        kind = LabelPicture if self._multi_label else Picture
        return draw(
            kind(
                title=sample.title,
                image=sample.rgb,
                truth=sample.truth,
                prediction=sample.labels,
                class_names=self._names,
                class_colors=self._colors,
                entropy=_entropy(sample, self._multi_label),
                distance=sample.map("predictions.distance", count),
                true_distance=sample.map("targets.distance", count),
                boundary=sample.map("predictions.boundary", count),
                true_boundary=sample.map("targets.boundary", count),
                color=sample.map("predictions.color", 3),
                true_color=sample.map("targets.color", 3),
                bands=sample.bands,
                band_width=self.band_width,
                positive=self._positive,
                over_image=self.over_image,
            )
        )


def _entropy(sample: ChosenSample, multi_label: bool) -> np.ndarray | None:
    """Return the entropy (h, w) of a prediction at display size; None for labels."""
    if sample.scores is None:
        return None
    step = step_to_fit(*sample.scores.shape[-2:])
    measured = label_entropy if multi_label else entropy
    return measured(sample.scores[..., ::step, ::step])[0].cpu().numpy()
