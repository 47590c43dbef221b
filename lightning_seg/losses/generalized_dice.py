"""The generalised Dice loss."""

from torch import Tensor

from lightning_seg.losses.base import Loss
from lightning_seg.losses.tanimoto import tanimoto
from lightning_seg.losses.tanimoto_formula import TanimotoFormula, Volumes, VolumeWeights


def generalized_dice(
    logits: Tensor,
    mask: Tensor,
    volume_weights: VolumeWeights | None = "inverse_square",
    volumes: Volumes = "image",
    smooth: float = 1e-5,
    ignore_index: int = 255,
) -> Tensor:
    """``1 - 2 sum_c w_c sum yp / sum_c w_c sum (y + p)``, the w_c from the classes' volumes.

    Sudre et al. (2017), equation 3. A class of volume 0 gets the largest weight of the others.

    Args:
        logits: (B, K, H, W) floating point, turned into the probabilities p by softmax.
        mask: (B, H, W) int64 with labels 0..K-1 (one-hot: y) or ``ignore_index``.
        volume_weights: ``"inverse_square"``, w_c one over the squared number of the class's pixels,
            as in the paper; ``"inverse"``; or None for equal weights.
        volumes: Each ``"image"``'s own, or the mean of the ``"batch"``.
        smooth: Added to both sides of the quotient, whose weights are divided by the largest first;
            0 or more.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits), the mean over the images with a
        valid pixel; 0 where there is none.

    Raises:
        ValueError: The shapes do not fit each other; a single class; an unknown choice, a negative
            ``smooth``.
    """
    formula = _formula(volume_weights, volumes, smooth)
    return tanimoto(logits, mask, formula, ignore_index)


def _formula(
    volume_weights: VolumeWeights | None, volumes: Volumes, smooth: float
) -> TanimotoFormula:
    """Dice is one of the coefficients that the Tanimoto loss knows."""
    return TanimotoFormula(
        complement=False,
        volume_weights=volume_weights,
        volumes=volumes,
        smooth=smooth,
        coefficient="D1",
    )


class GeneralizedDiceLoss(Loss):
    """Dice with weights that make up for the classes' sizes (Sudre et al. 2017).

    See `generalized_dice`.

    Args:
        volume_weights: ``"inverse_square"`` of the class's pixels, ``"inverse"``, or None for equal
            weights.
        volumes: Each ``"image"``'s own, or the mean of the ``"batch"``.
        smooth: Added to both sides of the quotient, 0 or more.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.
    """

    def __init__(
        self,
        volume_weights: VolumeWeights | None = "inverse_square",
        volumes: Volumes = "image",
        smooth: float = 1e-5,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.formula = _formula(volume_weights, volumes, smooth)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `generalized_dice`."""
        return tanimoto(logits, mask, self.formula, self.ignore_index)
