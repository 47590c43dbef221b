"""Which entries of each row have given ranks, without sorting the rows."""

import torch
from torch import Tensor

_SHORT = 2**14


def between_ranks(values: Tensor, candidates: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """The candidates whose ranks lie in ``first..last`` when each row is sorted.

    As a stable ascending sort would have it: of equal values the one further left comes first.
    Non-negative floating-point numbers are ordered as their bits are, so that a radix selection
    finds the exact values at both ranks: it counts the leading 16 bits of all values, picks the
    bin that a rank falls in, and goes on within it, two counts for float32 and four for float64
    (of 8 bits and twice as many in short rows, where the bins would cost more than the values).
    Nothing is synchronised with a device and every shape is static.

    Args:
        values: (R, N) float32 or float64, not negative, contiguous in its last dimension.
        candidates: (R, N) bool; the others have no rank.
        first: (R,) int32, 0 for the smallest candidate.
        last: (R,) int32, below the number of candidates.

    Returns:
        (R, N) bool; nothing in a row where ``last < first``.
    """
    # Machines that torch runs on store the leading digit last.
    digit = torch.uint8 if values.shape[1] < _SHORT else torch.uint16
    parts = values.view(digit).unflatten(-1, (values.shape[-1], -1))
    digits = [parts[..., place].long() for place in reversed(range(parts.shape[-1]))]
    bins = 2 ** (8 * digit.itemsize)
    leading = _counts(digits[0], candidates, bins)

    bits, ties, before = _at_rank(digits, candidates, leading, first)
    low = bits.to(digit).view(values.dtype)
    from_first = (values > low) | (ties & (ties.cumsum(1, dtype=torch.int32) > before))
    bits, ties, before = _at_rank(digits, candidates, leading, last)
    high = bits.to(digit).view(values.dtype)
    to_last = (values < high) | (ties & (ties.cumsum(1, dtype=torch.int32) <= before + 1))
    return from_first & to_last & candidates & (first <= last).unsqueeze(1)


def _counts(digit: Tensor, candidates: Tensor, bins: int) -> Tensor:
    zeros = torch.zeros(len(digit), bins, dtype=torch.int32, device=digit.device)
    return zeros.scatter_add_(1, digit, candidates.int())


def _at_rank(
    digits: list[Tensor], candidates: Tensor, leading: Tensor, rank: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The value at ``rank``.

    Returns:
        Its digits (R, number), the last first; the candidates (R, N) that are equal to it; how
        many of these are before it, (R, 1).
    """
    ties, counts, before = candidates, leading, rank.clamp(min=0).unsqueeze(1)
    bins = leading.shape[1]
    bits: list[Tensor] = []
    for digit in digits:
        if bits:
            counts = _counts(digit, ties, bins)
        up_to = counts.cumsum(1, dtype=torch.int32)
        chosen = torch.searchsorted(up_to, before, right=True).clamp(max=bins - 1)
        before = before - (up_to - counts).gather(1, chosen)
        ties = ties & (digit == chosen)
        bits.insert(0, chosen)
    return torch.cat(bits, 1), ties, before
