"""Causes of boundary errors as a torchmetrics metric."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_seg.metrics.base import SegmentationMetric
from lightning_seg.metrics.functional.boundary_errors import (
    CAUSES,
    boundary_errors,
    check_boundary_errors,
)
from lightning_seg.metrics.functional.ratios import ratio


class BoundaryErrors(SegmentationMetric):
    """Shares of the wrong pixels near true boundaries by cause.

    The outline is swollen, shrunk or ragged; objects are merged, split, missed or invented; the
    outline is right but the class wrong; or none of these. For the definitions see
    `lightning_seg.metrics.functional.boundary_errors`, for inputs and errors `SegmentationMetric`.
    The value has the shape (W, C) for W widths and C causes; the shares of a width sum to 1, and
    are NaN without errors. With ``per_class`` it is (W, K, C): of the wrong pixels whose true or
    predicted class it is. Without ``normalize`` it holds the counts of `boundary_errors`.

    Args:
        num_classes: K, at least 2.
        widths: W half-widths of the bands in px (Chebyshev distance), in any order.
        ragged_size: Height and width in px up to which a piece of an outline is ragged and not
            shifted.
        ignore_index: Label of ignored pixels.
        per_class: Return the shares of each class.
        normalize: Return shares, or else counts int64 (W, K, 2, C).

    Attributes:
        causes: Names of the C causes, in order.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 20, 20, dtype=torch.long)
        >>> target[:, 5:15, 5:15] = 1
        >>> metric = BoundaryErrors(num_classes=2, widths=(3,))
        >>> metric.update(target.roll(1, dims=2), target)
        >>> dict(zip(metric.causes, metric.compute()[0].tolist()))["swollen"]
        0.5
    """

    higher_is_better = None
    causes = CAUSES
    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] = (1, 2, 3, 5, 10),
        ragged_size: int = 5,
        ignore_index: int | None = None,
        per_class: bool = False,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        check_boundary_errors(num_classes, widths, ragged_size)
        self.num_classes = num_classes
        self.widths = tuple(widths)
        self.ragged_size = ragged_size
        self.ignore_index = ignore_index
        self.per_class = per_class
        self.normalize = normalize
        self.add_sums((len(self.widths), num_classes, 2, len(CAUSES)), "counts")
        self.add_settings(num_classes, self.widths, ragged_size, ignore_index)

    @property
    def rows(self) -> tuple[str, ...]:
        """The widths."""
        return tuple(f"{width} px" for width in self.widths)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the wrong pixels of a batch."""
        self.counts = self.counts + boundary_errors(
            preds, target, self.num_classes, self.widths, self.ragged_size, self.ignore_index
        )

    def compute(self) -> Tensor:
        """Return the shares, or counts, over all updates."""
        if not self.normalize:
            return self.counts
        if self.per_class:  # a class has lost its own pixels, and gained those predicted as it
            lost, gained = self.counts.unbind(dim=2)
            shifted = lost[..., :2].sum(dim=-1)
            counts = gained + torch.cat(
                [torch.zeros_like(shifted)[..., None], shifted[..., None], lost[..., 2:]], dim=-1
            )
        else:
            counts = self.counts[:, :, 0].sum(dim=1)
        total = counts.sum(dim=-1, keepdim=True)
        return ratio(counts, total.expand_as(counts))
