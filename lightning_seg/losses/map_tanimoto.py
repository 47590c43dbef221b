"""Tanimoto loss between maps in [0, 1]."""

import torch
from torch import Tensor

from lightning_seg.losses.base import check_map_shapes, loss_function, promote
from lightning_seg.losses.tanimoto_formula import FormulaLoss, TanimotoFormula


@loss_function
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
    """
    check_map_shapes(prediction, target, mask)
    valid = mask != ignore_index
    counts = valid.unsqueeze(1)
    prediction = torch.where(counts, promote(prediction), 0.0)
    return formula(prediction, torch.where(counts, target.to(prediction.dtype), 0.0), valid)


class MapTanimotoLoss(FormulaLoss):
    """Tanimoto loss of the regression heads of ResUNet-a, see `map_tanimoto`.

    The heads regress distances, boundaries and colours. For the options see `FormulaLoss`.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import MapTanimotoLoss
        >>> prediction = torch.full((1, 1, 2, 3), 0.5)
        >>> target = torch.tensor([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]])
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> MapTanimotoLoss()(prediction, target, mask)
        tensor(0.5050)
    """

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of two maps (B, C, H, W) and the mask (B, H, W); see `map_tanimoto`."""
        return map_tanimoto(prediction, target, mask, self.formula, self.ignore_index)

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return ``weight_ratio``, the largest channel weight over the smallest."""
        _, target, mask = inputs
        valid = mask != self.ignore_index
        volume = torch.where(valid.unsqueeze(1), promote(target), 0.0).sum(dim=(2, 3))
        return {"weight_ratio": self.formula.weight_ratio(volume, valid)}
