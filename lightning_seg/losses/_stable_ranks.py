"""Selection of entries by rank without sorting."""

import torch
from torch import Tensor

_SHORT = 2**14


def between_ranks(values: Tensor, candidates: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Select the candidates with ranks ``first..last`` in each sorted row.

    Ranks are those of a stable ascending sort: of equal values the one further left comes first.
    Non-negative floats sort like their bit patterns, so a radix selection yields the exact values
    at both ranks. It counts the leading 16 bits of all values, picks the bin that contains the
    rank, and repeats within that bin: two passes for float32, four for float64. Short rows use 8
    bits and twice as many passes, because the bins would cost more than the values. There is no
    device sync, and every shape is static.

    Args:
        values: (R, N) float32 or float64, not negative, contiguous in its last dimension.
        candidates: (R, N) bool; only these are ranked.
        first: (R,) int32, 0 for the smallest candidate.
        last: (R,) int32, below the number of candidates.

    Returns:
        (R, N) bool; all false in rows with ``last < first``.
    """
    # Little-endian: the leading digit is stored last.
    digit = torch.uint8 if values.shape[1] < _SHORT else torch.uint16
    parts = values.view(digit).unflatten(-1, (values.shape[-1], -1))
    digits = [parts[..., position].long() for position in reversed(range(parts.shape[-1]))]
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
    """Return the value at ``rank``.

    Returns:
        The digits (R, number) of the value, least significant first; the candidates (R, N) equal to
        it; the number of those that precede it, (R, 1).
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
