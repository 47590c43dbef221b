"""Pictures of predictions during validation and test."""

from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from lightning_seg.callbacks.classes import find_classes
from lightning_seg.callbacks.extractors import ExtractorLike
from lightning_seg.callbacks.pictures.chosen_samples import ChosenSample, ChosenSamples
from lightning_seg.callbacks.pictures.picture_maps import entropy
from lightning_seg.callbacks.pictures.picture_sheet import step_to_fit
from lightning_seg.callbacks.pictures.pictures import Picture, draw

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.figure import Figure


class PredictionPanels(ChosenSamples):
    """Draws a few samples: image, truth, prediction, errors, entropy, regressed maps.

    The samples are spread evenly over the first dataloader and the same in every epoch. Pictures go
    to ``pictures`` in the run's folder, as ``val/NAME_epoch_EEE.png`` and ``test/NAME.png``, and to
    TensorBoard where that is a logger. Errors are shown in the whole image (right green, wrong red)
    and along the true boundaries, the entropy where predictions are scores. Of two classes, or of
    the one that ``positive_class`` names, false positives and false negatives are told apart. What
    is not labelled is hatched.

    Maps are drawn where the step returns a dict with ``predictions`` and ``targets`` that hold
    ``distance`` (B, K, H, W) in [-1, 1] or [0, 1], ``boundary`` (B, K, H, W) in [0, 1] or, as hue,
    saturation and value in [0, 1], ``color`` (B, 3, H, W), with the mean error of its channels.
    Bands of the image after the third have panels of their own. Modules without images in their
    batches (under ``image``, or first of a tuple) get none.

    Args:
        num_images: Pictures an epoch.
        every_n_epochs: Epochs from one set of pictures to the next while training; the last epoch
            is always drawn.
        band_width: Width in pixels of the band along true boundaries where errors are shown; by
            default 1 % of the diagonal.
        num_classes: K; by default that of the datamodule or of the module.
        extractor: How to get at predictions and truth, as in `BoundaryMetrics`.
        class_names: Names of the classes; by default the datamodule's or the module's.
        ignore_index: Label of pixels that do not count.
        positive_class: The class whose true positives (green), false positives (pink) and false
            negatives (blue) are shown in place of right and wrong, and whose boundaries count; by
            default the second of two.
        over_image: Paints truth and prediction over the image.

    Raises:
        InputError: As `BoundaryMetrics`; (in setup) ``positive_class`` is no class.
    """

    def __init__(
        self,
        num_images: int = 4,
        every_n_epochs: int = 1,
        band_width: int | None = None,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: int | None = 255,
        positive_class: str | None = None,
        over_image: bool = False,
    ) -> None:
        super().__init__(
            num_images, every_n_epochs, num_classes, extractor, class_names, ignore_index
        )
        self.band_width = band_width
        self.positive_class = positive_class
        self.over_image = over_image

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the run's folder, number, names and colours of the classes, and the positive one.

        Raises:
            InputError: ``positive_class`` is no class.
        """
        super().setup(trainer, pl_module, stage)
        if stage == "predict":
            return
        self._positive = 1 if self._num_classes == 2 else None
        if self.positive_class is not None:
            (self._positive,) = find_classes([self.positive_class], self._names, "positive_class")

    def draw(self, pl_module: LightningModule, sample: ChosenSample) -> "Figure":
        """The panels of one sample."""
        count = self._num_classes
        return draw(
            Picture(
                title=sample.title,
                image=sample.rgb,
                truth=sample.truth,
                prediction=sample.labels,
                class_names=self._names,
                class_colors=self._colors,
                entropy=_entropy(sample),
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


def _entropy(sample: ChosenSample) -> np.ndarray | None:
    """The entropy (h, w) of one prediction if it is scores, at the size it will be drawn at."""
    if sample.scores is None:
        return None
    step = step_to_fit(*sample.scores.shape[-2:])
    return entropy(sample.scores[..., ::step, ::step])[0].cpu().numpy()
