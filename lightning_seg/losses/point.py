"""Point loss of equipotential learning."""

from functools import partial
from typing import Literal

from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._probability_loss import VOID, probability_loss
from lightning_seg.losses.base import Loss
from lightning_seg.losses.potential import (
    Padding,
    Plane,
    Splitter,
    Sweep,
    directions_in,
    scale_of,
    sweeps_of,
)

Norm = Literal["l1", "l2"]


def point_loss(
    logits: Tensor,
    mask: Tensor,
    kernel_size: int = 7,
    splitter: Splitter = "A",
    norm: Norm = "l2",
    padding: Padding = "replicate",
    ignore_index: int = 255,
) -> Tensor:
    """Distance between the potentials of the softmax and of the labels (Yin et al. 2022, eq. 3).

    The mean over directions, valid pixels and classes of ``|E(p) - E(y)|`` or its square. The
    equation has a plain sum over pixels, which cannot balance a cross entropy with the paper's
    weight of 0.1; the authors' code takes the mean as well.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``. r
    is ``kernel_size // 2``. Options and errors as in `PointLoss`.

    Returns:
        Scalar in [0, r + 1] ("l1") or [0, (r + 1) ** 2] ("l2"), float32 (float64 for float64
        logits); 0 if no pixel is valid.
    """
    sweeps = _check(kernel_size, splitter, norm, padding)
    term = partial(_terms, sweeps=sweeps, kernel_size=kernel_size, norm=norm, padding=padding)
    return probability_loss(logits, mask, term, ignore_index)


def _check(kernel_size: int, splitter: Splitter, norm: str, padding: str) -> tuple[Sweep, ...]:
    check_choice("norm", norm, Norm)
    check_choice("padding", padding, Padding)
    return sweeps_of(kernel_size, splitter)


def _terms(
    probabilities: Tensor,
    labels: Tensor,
    gradient_wanted: bool,
    *,
    sweeps: tuple[Sweep, ...],
    kernel_size: int,
    norm: Norm,
    padding: Padding,
) -> tuple[Tensor, Tensor, Tensor | None]:
    # The convolution is linear: E(p) - E(y) = E(p - y).
    images, classes, height, width = probabilities.shape
    valid = labels != VOID
    one = valid.unsqueeze(1).to(probabilities.dtype)
    difference = probabilities.scatter_add(1, labels.clamp(min=0).unsqueeze(1), -one)
    plane = Plane(height, width, kernel_size // 2, padding)
    flat = plane.flatten(difference.flatten(0, 1))
    window = plane.window_of(valid).to(flat.dtype)

    total, gradient = flat.new_zeros(()), None
    for sweep in sweeps:
        scale = scale_of(sweep, kernel_size)
        sums = plane.sweep_sums(flat, sweep).unflatten(0, (images, classes))
        seen = sums.new_zeros(images, 1, sums.shape[-1])  # number of pixels whose sum this is
        for start in sweep.starts:
            seen[:, 0, plane.window(start)] += window
        slope = (sums if norm == "l2" else sums.sign()) * seen
        power, factor = (scale**2, 2 * scale**2) if norm == "l2" else (scale, scale)
        total = total + power * (slope * sums).sum()
        if gradient_wanted:
            part = plane.sweep_gradient(slope.mul_(factor).flatten(0, 1), sweep)
            gradient = part if gradient is None else gradient.add_(part)

    number = valid.sum() * (classes * directions_in(sweeps))
    if gradient is None:
        return total, number, None
    return total, number, plane.unflatten_gradient(gradient).unflatten(0, (images, classes))


class PointLoss(Loss):
    """Point loss of equipotential learning (Yin et al. 2022): regression of potential fields.

    The paper adds it to a cross entropy with a weight of 0.1 to 0.2.

    Args:
        kernel_size: Odd width of the convolution in pixels; the paper has 7 for 256-pixel crops.
        splitter: Directions: "A" (axes), "B" (diagonals), "C" (both) or "standard".
        norm: "l1" for the absolute difference, "l2" for its square.
        padding: "replicate" or "constant" (0) beyond the border.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An even kernel, an unknown splitter, norm or padding.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import PointLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> PointLoss(kernel_size=3)(logits, mask)
        tensor(0.7875)
    """

    def __init__(
        self,
        kernel_size: int = 7,
        splitter: Splitter = "A",
        norm: Norm = "l2",
        padding: Padding = "replicate",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _check(kernel_size, splitter, norm, padding)
        self.kernel_size = kernel_size
        self.splitter: Splitter = splitter
        self.norm: Norm = norm
        self.padding: Padding = padding
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `point_loss`."""
        return point_loss(
            logits,
            mask,
            self.kernel_size,
            self.splitter,
            self.norm,
            self.padding,
            self.ignore_index,
        )
