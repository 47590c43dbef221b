"""Tanimoto loss of class probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_seg.losses._by_class import sum_by_class
from lightning_seg.losses._probabilities import masked_probabilities
from lightning_seg.losses.base import loss_function
from lightning_seg.losses.class_weights import ClassBalance, ClassWeights, check_weights
from lightning_seg.losses.tanimoto_formula import (
    Coefficient,
    DualWeights,
    EmptyWeight,
    FormulaLoss,
    TanimotoFormula,
    Volumes,
    VolumeWeights,
)


@loss_function
def tanimoto(
    logits: Tensor,
    mask: Tensor,
    formula: TanimotoFormula = TanimotoFormula(),  # noqa: B008 (it is frozen)
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Tanimoto with complement of the softmax and the one-hot labels (Diakogiannis et al. 2020).

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        formula: Coefficient, weights and complement.
        ignore_index: Label of ignored pixels.
        class_weights: (K,) non-negative, instead of weights from the volumes; see `TanimotoLoss`.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    check_weights(class_weights, logits.shape[1])
    probabilities, labels = masked_probabilities(logits, mask, ignore_index)
    labels = labels.to(probabilities.dtype)
    return formula(probabilities, labels, mask != ignore_index, class_weights)


class TanimotoLoss(FormulaLoss):
    """Tanimoto with complement, the loss of ResUNet-a (Diakogiannis et al. 2020); see `tanimoto`.

    The paper uses ``volume_weights="inverse_square"``; the authors' code also has
    ``normalize_weights=False``. Then ``smooth`` is no longer negligible: the weighted sums of a
    large image are equally small, and the loss of an undecided prediction drops from 0.5 to 0.3 at
    512 x 512 pixels. The Dice losses ``"D1"`` and ``"D2"``, with or without complement, are those
    of the comparison in section 3.2.2 of the paper. For the other options see `FormulaLoss`.

    In a small batch a rare class may cover a few pixels, so that its false positives cost very
    much. ``class_weights="inverse_frequency"`` takes the volumes of all training labels instead.

    Args:
        class_weights: One weight per class, the name of a balance to count from the training labels
            (see `ClassWeights`), or None for weights from volumes. They are divided by the largest,
            and ``volume_weights``, ``normalize_weights``, ``volumes`` and ``empty_weight`` do not
            count. The second term takes them as inverse to the classes' shares s of all pixels,
            which is exact for ``"inverse_frequency"``, and weighs the complements by 1 / (1 - s).
            So a class of weight 0 still counts there; ``dual_weights="direct"`` leaves it out.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import TanimotoLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> TanimotoLoss()(logits, mask)
        tensor(0.5102)
    """

    def __init__(
        self,
        complement: bool = True,
        volume_weights: VolumeWeights | None = "inverse",
        normalize_weights: bool = True,
        smooth: float = 1e-5,
        dual_weights: DualWeights = "complement",
        volumes: Volumes = "batch",
        coefficient: Coefficient = "D3",
        empty_weight: EmptyWeight = "largest",
        ignore_index: int = 255,
        class_weights: Sequence[float] | ClassBalance | None = None,
    ) -> None:
        super().__init__(
            complement,
            volume_weights,
            normalize_weights,
            smooth,
            dual_weights,
            volumes,
            coefficient,
            empty_weight,
            ignore_index,
        )
        self.class_weights = ClassWeights(class_weights)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `tanimoto`."""
        weights = self.class_weights(logits.shape[1])
        return tanimoto(logits, mask, self.formula, self.ignore_index, weights)

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return ``weight_ratio``, the largest class weight over the smallest.

        If it is large, the rarest class dominates the loss.
        """
        logits, mask = inputs
        if (weights := self.class_weights(logits.shape[1])) is not None:
            least = torch.where(weights > 0, weights, torch.inf).amin()
            return {"weight_ratio": weights.amax() / least}
        valid = mask != self.ignore_index
        volume = sum_by_class(valid.float(), mask.masked_fill(~valid, 0), logits.shape[1])
        return {"weight_ratio": self.formula.weight_ratio(volume, valid)}
