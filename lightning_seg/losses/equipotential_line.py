"""Equipotential line loss."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._probability_loss import VOID, probability_loss
from lightning_seg.losses._stable_ranks import between_ranks
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

Reduce = Literal["mean", "sum"]

_UNDERFLOW = 372.0
"""Exponent at which ``d ** 2`` underflows to 0 in float64 and the formula is 0 / 0."""


def equipotential_line_loss(
    logits: Tensor,
    mask: Tensor,
    kernel_size: int = 7,
    splitter: Splitter = "A",
    mu: int = 10,
    padding: Padding = "replicate",
    reduce: Reduce = "mean",
    ignore_index: int = 255,
) -> Tensor:
    """Mismatch of the equipotential lines of softmax and labels (Yin et al. 2022).

    For each image, class and direction, L is the set of pixels whose label potential is neither 0
    nor maximal. L^ is the set of pixels at the same ranks of the sorted softmax potential. For each
    level tau = 1..r, with ``d = exp(-(E(y) - tau) ** mu)`` on L and ``d^`` defined in the same way
    by E(p) on L^, the term is one minus the equipotential dice coefficient

        EDC = 2 C sum(d d^) / (sum d + sum d^),  C = sum d / sum d^2.

    The paper's Algorithm 1 divides by the norms twice and by ``sum(d d^)``, which cancels the
    agreement that it should measure. This implementation follows the authors' code except off the
    lines, where d is 0 here and 1 / e at the first level there. The ranks carry no gradient. Void
    has potential 0 and no rank. A level so far from the label potentials that ``d ** 2`` underflows
    to 0 in float64 (with ``mu=10`` a distance of 2 or more, as at thin objects) is skipped, because
    the formula is 0 / 0 there.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``. r
    is ``kernel_size // 2``. Options and errors as in `EquipotentialLineLoss`.

    Returns:
        Scalar, float32 (float64 for float64 logits): 0 for a one-hot prediction of the labels, and
        at most 1 with "mean". EDC may slightly exceed 1, which makes the loss negative. 0 if there
        is no line.
    """
    sweeps = _check(kernel_size, splitter, mu, padding, reduce)
    term = partial(
        _terms, sweeps=sweeps, kernel_size=kernel_size, mu=mu, padding=padding, reduce=reduce
    )
    return probability_loss(logits, mask, term, ignore_index)


def _check(
    kernel_size: int, splitter: Splitter, mu: int, padding: str, reduce: str
) -> tuple[Sweep, ...]:
    sweeps = sweeps_of(kernel_size, splitter)
    if kernel_size == 1:
        raise ValueError("kernel_size is 1: lines need neighbours, so it must be 3 or more.")
    if not isinstance(mu, int) or mu < 2 or mu % 2:
        raise ValueError(
            f"mu is {mu!r}: it must be even and positive, or potentials below a level would grow "
            "without bound. The paper has 10 on PASCAL VOC and 2 on Cityscapes."
        )
    check_choice("padding", padding, Padding)
    check_choice("reduce", reduce, Reduce)
    return sweeps


def _terms(
    probabilities: Tensor,
    labels: Tensor,
    gradient_wanted: bool,
    *,
    sweeps: tuple[Sweep, ...],
    kernel_size: int,
    mu: int,
    padding: Padding,
    reduce: Reduce,
) -> tuple[Tensor, Tensor, Tensor | None]:
    images, classes, height, width = probabilities.shape
    plane = Plane(height, width, kernel_size // 2, padding)
    maps = _maps_with_lines(labels, classes)
    image, category = maps // classes, maps % classes
    flat = plane.flatten(probabilities.flatten(0, 1)[maps])
    one_hot = plane.flatten_labels(labels)[image] == category.unsqueeze(1)
    valid = plane.window_of(labels != VOID)[image]

    total = 0 * flat.sum()  # NaN if a probability is: the lines themselves would leave it out
    lines, gradient = labels.new_zeros(()), torch.zeros_like(flat)
    for sweep in sweeps:
        scale = scale_of(sweep, kernel_size)
        exponents = _exponents(sweep.maximum, scale, kernel_size // 2, mu, flat)
        integer = torch.uint8 if sweep.maximum < 2**8 else torch.int32
        sums = plane.sweep_sums(flat, sweep)
        counts = plane.sweep_sums(one_hot.to(integer), sweep)
        slopes = torch.zeros_like(sums)
        # Over all classes a pixel lies on at most as many lines as its sum has pixels.
        most = images * height * width * min(classes, sweep.maximum)
        for start in sweep.starts:
            window = plane.window(start)
            label = _label_lines(counts[:, window] * valid.to(integer), valid, exponents)
            on_line = between_ranks(sums[:, window], valid, label.first, label.last)
            row, column, real = _places(on_line, most)
            potential = sums[:, window][row, column] * scale
            terms, slope = _compare(potential, row, column, real, label, mu)
            total = total + terms.sum()
            lines = lines + label.present.sum()
            if gradient_wanted:
                places = row * sums.shape[1] + window.start + column
                slopes.view(-1).scatter_add_(0, places, slope * scale)
        if gradient_wanted:
            gradient += plane.sweep_gradient(slopes, sweep)

    number = lines
    if reduce == "sum":
        number = (labels != VOID).flatten(1).any(1).sum() * directions_in(sweeps)
    if not gradient_wanted:
        return total, number, None
    everywhere = probabilities.new_zeros(images * classes, height, width)
    everywhere.index_copy_(0, maps, plane.unflatten_gradient(gradient))
    return total, number, everywhere.unflatten(0, (images, classes))


def _sizes_may_vary(tensor: Tensor) -> bool:
    """Return True where data-dependent sizes are free: on a CPU, outside a compiled graph."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def _maps_with_lines(labels: Tensor, classes: int) -> Tensor:
    """Indices of the maps (images * classes) that may have lines; absent classes have none."""
    every = torch.arange(len(labels) * classes, device=labels.device)
    if not _sizes_may_vary(labels):
        return every
    image = torch.arange(len(labels)).view(-1, 1, 1)
    present = torch.zeros(len(labels) * classes, dtype=torch.bool)
    present[(image * classes + labels)[labels != VOID]] = True
    return every[present] if present.any() else every


def _places(chosen: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return row and column of each true entry of (R, N), and a mask of the real entries.

    Where sizes may not vary the result is padded to ``most`` entries. The padding is spread over
    the rows, because sums over many entries of one row are slow on a GPU.
    """
    rows, columns = chosen.shape
    flat = chosen.flatten()
    if _sizes_may_vary(chosen):
        index = flat.nonzero().squeeze(1)
        real = torch.ones_like(index, dtype=torch.bool)
    else:
        order = torch.arange(most, device=chosen.device)
        real = order < flat.sum()
        entries = flat.nonzero_static(size=most).squeeze(1)
        index = torch.where(real, entries, order % rows * columns + order // rows)
    return index // columns, index % columns, real


def _largest_gap(mu: int) -> float:
    """Distance from a level beyond which d is 0; nothing overflows up to it."""
    return float((2 * _UNDERFLOW) ** (1 / mu))


def _exponents(maximum: int, scale: float, levels: int, mu: int, like: Tensor) -> Tensor:
    """``(E - tau) ** mu`` (maximum - 1, levels) for the potentials of 1 to maximum - 1 pixels."""
    # Created on the device: copying a table from the CPU would force a sync.
    potentials = torch.arange(1, maximum, dtype=like.dtype, device=like.device) * scale
    gaps = potentials.unsqueeze(1) - torch.arange(1, levels + 1, device=like.device)
    return gaps.abs().clamp(max=_largest_gap(mu)) ** mu


@dataclass(frozen=True)
class _LabelLines:
    """Lines of the labels for each row (R) and level (r).

    Args:
        count: (R, N) label pixels in each sum; 0 at void.
        first: (R,) smallest rank on the line.
        last: (R,) largest rank; below ``first`` if there is no line.
        present: (R, r) bool, true if the line has a pixel close enough to the level.
        mass: (R, r), sum of d.
        weight: (R, maximum + 1, r), C d by count.
    """

    count: Tensor
    first: Tensor
    last: Tensor
    present: Tensor
    mass: Tensor
    weight: Tensor


def _number(chosen: Tensor) -> Tensor:
    """Number of true entries per row, in int32: the wider default is much slower."""
    return chosen.sum(1, dtype=torch.int32)


def _label_lines(count: Tensor, valid: Tensor, exponents: Tensor) -> _LabelLines:
    maximum = len(exponents) + 1
    histogram = torch.stack([_number(count == n) for n in range(1, maximum + 1)], dim=1)
    first = _number(valid) - histogram.sum(1, dtype=torch.int32)
    histogram = histogram[:, :-1].unsqueeze(2)
    last = first + histogram.sum((1, 2), dtype=torch.int32) - 1

    # C d is invariant to the scale of d. Scaling d to 1 at the nearest label potential lets float32
    # represent all values that float64 can.
    nearest = torch.where(histogram > 0, exponents, torch.inf).amin(1)
    present = nearest < _UNDERFLOW
    nearest = torch.where(present, nearest, 0)
    scaled = (nearest.unsqueeze(1) - exponents).clamp(max=0).exp()
    mass = (histogram * scaled).sum(1)
    normalizer = mass / torch.where(present, (histogram * scaled**2).sum(1), 1)
    weight = F.pad(scaled * normalizer.unsqueeze(1), (0, 0, 1, 1))
    return _LabelLines(count, first, last, present, mass * (-nearest).exp(), weight)


def _compare(
    potential: Tensor, row: Tensor, column: Tensor, real: Tensor, label: _LabelLines, mu: int
) -> tuple[Tensor, Tensor]:
    """Compare the lines of the labels with the pixels (M,) on the lines of the softmax.

    Returns:
        ``1 - EDC`` (R, r), 0 where the level is not present, and for each pixel the derivative of
        the sum over its row, (M,).
    """
    levels = torch.arange(1, label.mass.shape[1] + 1, device=row.device)
    limit = _largest_gap(mu)
    gap = (potential.unsqueeze(1) - levels).clamp(-limit, limit)
    power = gap ** (mu - 1)
    activation = (-power * gap).exp() * real.unsqueeze(1)
    weight = label.weight[row, label.count[row, column].long()]

    mass = label.mass + torch.zeros_like(label.mass).index_add_(0, row, activation)
    agreement = torch.zeros_like(mass).index_add_(0, row, weight * activation)
    touched = label.present & (mass > 0)
    mass = torch.where(touched, mass, 1)
    coefficient = torch.where(touched, 2 * agreement / mass, 1)
    share = activation / mass[row] * touched[row]
    slope = -mu * power * share * (coefficient[row] - 2 * weight)
    return 1 - coefficient, slope.sum(1)


class EquipotentialLineLoss(Loss):
    """Equipotential line loss of Yin et al. (2022), see `equipotential_line_loss`.

    The paper adds it to a cross entropy with a weight of 0.2 (PASCAL VOC) to 0.5 (Cityscapes).

    Args:
        kernel_size: Odd width of the convolution in pixels, at least 3; the paper has 7 for
            256-pixel crops.
        splitter: Directions: "A" (axes), "B" (diagonals), "C" (both) or "standard".
        mu: Even exponent, 10 on PASCAL VOC and 2 on Cityscapes; large values count only potentials
            closer than 1 to a level.
        padding: "replicate" or "constant" (0) beyond the border.
        reduce: "mean" over the images, classes, directions and levels that have a line, which
            excludes classes that are absent or fill an image. "sum" over classes and levels and
            mean over directions and images, as in Algorithm 1.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An even kernel or one below 3, an odd or non-positive ``mu``, an unknown
            splitter, padding or ``reduce``.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import EquipotentialLineLoss
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> logits = torch.zeros(1, 2, 1, 4)  # undecided between two classes
        >>> EquipotentialLineLoss(kernel_size=3)(logits, mask)
        tensor(0.5000)
    """

    def __init__(
        self,
        kernel_size: int = 7,
        splitter: Splitter = "A",
        mu: int = 10,
        padding: Padding = "replicate",
        reduce: Reduce = "mean",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _check(kernel_size, splitter, mu, padding, reduce)
        self.kernel_size = kernel_size
        self.splitter: Splitter = splitter
        self.mu = mu
        self.padding: Padding = padding
        self.reduce: Reduce = reduce
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W)."""
        return equipotential_line_loss(
            logits,
            mask,
            self.kernel_size,
            self.splitter,
            self.mu,
            self.padding,
            self.reduce,
            self.ignore_index,
        )
