"""Generalised Dice loss."""

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
    """``1 - 2 sum_c w_c sum yp / sum_c w_c sum (y + p)``, with w_c from the class volumes.

    Sudre et al. (2017), equation 3. An absent class gets the largest weight of the present ones.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    Options and errors as in `GeneralizedDiceLoss`.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits): the mean over the images with a
        valid pixel; 0 if there is none.
    """
    formula = _formula(volume_weights, volumes, smooth)
    return tanimoto(logits, mask, formula, ignore_index)


def _formula(
    volume_weights: VolumeWeights | None, volumes: Volumes, smooth: float
) -> TanimotoFormula:
    """Return the Tanimoto formula whose coefficient is Dice."""
    return TanimotoFormula(
        complement=False,
        volume_weights=volume_weights,
        volumes=volumes,
        smooth=smooth,
        coefficient="D1",
    )


class GeneralizedDiceLoss(Loss):
    """Dice weighted by inverse class volumes (Sudre et al. 2017); see `generalized_dice`.

    Args:
        volume_weights: ``"inverse_square"`` of the pixel count, as in the paper, ``"inverse"``, or
            None for equal weights.
        volumes: Volumes of each ``"image"``, or their mean over the ``"batch"``.
        smooth: Added to numerator and denominator after the weights are divided by the largest; 0
            or more.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import GeneralizedDiceLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> GeneralizedDiceLoss()(logits, mask)
        tensor(0.5200)
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
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `generalized_dice`."""
        return tanimoto(logits, mask, self.formula, self.ignore_index)
