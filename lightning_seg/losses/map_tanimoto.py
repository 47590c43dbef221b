"""Tanimoto loss between maps in [0, 1]."""

import torch
from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off, check_map_shapes, promote
from lightning_seg.losses.tanimoto_formula import (
    Coefficient,
    DualWeights,
    TanimotoFormula,
    Volumes,
    VolumeWeights,
)


@autocast_off
def map_tanimoto(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    formula: TanimotoFormula = TanimotoFormula(),  # noqa: B008 (it is frozen)
    ignore_index: int = 255,
) -> Tensor:
    """Tanimoto with complement as a regression loss (Diakogiannis et al. 2020, section 3.2.3).

    Args:
        prediction: (B, C, H, W) floating point, in [0, 1].
        target: (B, C, H, W), in [0, 1].
        mask: (B, H, W) int64; only ``ignore_index`` is read.
        formula: Coefficient, weights and complement.
        ignore_index: Label of ignored pixels.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 predictions); 0 if no pixel is valid.

    Raises:
        ValueError: Mismatched shapes.
    """
    check_map_shapes(prediction, target, mask)
    valid = mask != ignore_index
    counts = valid.unsqueeze(1)
    prediction = torch.where(counts, promote(prediction), 0.0)
    return formula(prediction, torch.where(counts, target.to(prediction.dtype), 0.0), valid)


class MapTanimotoLoss(Loss):
    """Tanimoto loss of the regression heads of ResUNet-a, see `map_tanimoto`.

    The heads regress distances, boundaries and colours.

    Args:
        complement: Average with the overlap of the complements of prediction and target.
        volume_weights: ``"inverse"`` balances the channels; ``"inverse_square"`` is the paper's;
            None gives equal weights, with which large channels dominate.
        normalize_weights: Divide the weights by the largest; see `TanimotoFormula` for all options.
        smooth: Added to numerator and denominator, 0 or more.
        dual_weights: Weights of the complement, from its own volumes (``"complement"``) or the same
            as those of the first term (``"direct"``).
        volumes: Mean volumes of the ``"batch"``, or those of each ``"image"``.
        coefficient: ``"D3"`` is Tanimoto; ``"D1"`` and ``"D2"`` are forms of Dice.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import MapTanimotoLoss
        >>> prediction = torch.full((1, 1, 2, 3), 0.5)
        >>> target = torch.tensor([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]])
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> MapTanimotoLoss()(prediction, target, mask)
        tensor(0.5050)
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

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of two maps (B, C, H, W) and the mask (B, H, W); see `map_tanimoto`."""
        return map_tanimoto(prediction, target, mask, self.formula, self.ignore_index)

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return ``weight_ratio``, the largest channel weight over the smallest."""
        _, target, mask = inputs
        valid = mask != self.ignore_index
        volume = torch.where(valid.unsqueeze(1), promote(target), 0.0).sum(dim=(2, 3))
        return {"weight_ratio": self.formula.weight_ratio(volume, valid)}
