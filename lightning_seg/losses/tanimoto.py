"""The Tanimoto loss of class probabilities."""

from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off
from lightning_seg.losses.class_sums import sum_by_class
from lightning_seg.losses.probabilities import masked_probabilities
from lightning_seg.losses.tanimoto_formula import (
    Coefficient,
    DualWeights,
    TanimotoFormula,
    Volumes,
    VolumeWeights,
)


@autocast_off
def tanimoto(
    logits: Tensor,
    mask: Tensor,
    formula: TanimotoFormula = TanimotoFormula(),  # noqa: B008 (it is frozen)
    ignore_index: int = 255,
) -> Tensor:
    """Tanimoto with complement of the softmax and the one-hot labels (Diakogiannis et al. 2020).

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        formula: Its weights and variants.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class.
    """
    probabilities, labels = masked_probabilities(logits, mask, ignore_index)
    return formula(probabilities, labels.to(probabilities.dtype), mask != ignore_index)


class TanimotoLoss(Loss):
    """Tanimoto with complement, the loss of ResUNet-a (Diakogiannis et al. 2020); see `tanimoto`.

    The paper's is ``volume_weights="inverse_square"``, the authors' code has
    ``normalize_weights=False``, too. Beware that ``smooth`` is then no trifle: the weighted sums of
    a large image are as small, and the loss of an undecided prediction sinks from 0.5 to 0.3 at
    512 x 512 pixels. For the comparison of the paper's section 3.2.2 there are the
    Dice losses ``"D1"`` and ``"D2"``, with their complements or without.

    Args:
        complement: Whether the overlap of what prediction and labels leave out counts as well.
        volume_weights: ``"inverse"``, with which all classes count alike; ``"inverse_square"``, the
            paper's; or None for equal weights, with which large classes count more.
        normalize_weights: Divides the weights by the largest; see `TanimotoFormula`, as for all.
        smooth: Added to both sides of the quotient, 0 or more.
        dual_weights: The complement's weights: of its own volumes (``"complement"``), or the same
            (``"direct"``).
        volumes: The mean of the ``"batch"``, or each ``"image"``'s own.
        coefficient: ``"D3"`` is Tanimoto; ``"D1"`` and ``"D2"`` are forms of Dice.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.
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
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.formula = TanimotoFormula(
            complement,
            volume_weights,
            normalize_weights,
            smooth,
            dual_weights,
            volumes,
            coefficient,
        )
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `tanimoto`."""
        return tanimoto(logits, mask, self.formula, self.ignore_index)

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """``weight_ratio``: the largest weight of a class over the smallest.

        Where it is large, the rarest class alone decides what is learned.
        """
        logits, mask = inputs
        valid = mask != self.ignore_index
        volume = sum_by_class(valid.float(), mask.masked_fill(~valid, 0), logits.shape[1])
        return {"weight_ratio": self.formula.weight_ratio(volume, valid)}
