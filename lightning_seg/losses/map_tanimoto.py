"""The Tanimoto loss between maps in [0, 1]."""

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
        mask: (B, H, W) int64, read for ``ignore_index`` alone.
        formula: Its weights and variants.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 predictions); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other.
    """
    check_map_shapes(prediction, target, mask)
    valid = mask != ignore_index
    counts = valid.unsqueeze(1)
    prediction = torch.where(counts, promote(prediction), 0.0)
    return formula(prediction, torch.where(counts, target.to(prediction.dtype), 0.0), valid)


class MapTanimotoLoss(Loss):
    """`map_tanimoto` for the regression heads of ResUNet-a: distances, boundaries, colours.

    Args:
        complement: Whether the overlap of what prediction and target leave out counts as well.
        volume_weights: ``"inverse"``, with which all channels count alike; ``"inverse_square"``,
            the paper's; or None for equal weights, with which large channels count more.
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

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and the mask (B, H, W) to a scalar; see `map_tanimoto`."""
        return map_tanimoto(prediction, target, mask, self.formula, self.ignore_index)

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """``weight_ratio``: the largest weight of a channel over the smallest."""
        _, target, mask = inputs
        valid = mask != self.ignore_index
        volume = torch.where(valid.unsqueeze(1), promote(target), 0.0).sum(dim=(2, 3))
        return {"weight_ratio": self.formula.weight_ratio(volume, valid)}
