"""Detection of samples that a distributed sampler repeats as padding."""

from typing import Any

from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.utils.data import BatchSampler, DistributedSampler

_KNOWN_LAYOUTS = (DistributedSampler.__iter__, DistributedSamplerWrapper.__iter__)


class RealSampleMask:
    """Mask of real samples, as opposed to padding, in the batches of one dataloader and epoch.

    With several processes, Lightning's and torch's samplers repeat samples until every process has
    the same number. Sample i of process r has the index ``i * processes + r``; indices beyond the
    dataset are repeats.

    Args:
        dataloader: Any dataloader of this process. A warning is given if its repeats are unknown.
        processes: Number of processes.
        rank: Rank of this process.
    """

    def __init__(self, dataloader: Any, processes: int, rank: int) -> None:
        self._step, self._first = processes, rank
        self._total: int | None = None
        self._seen = 0
        if processes > 1:
            self._read(dataloader)

    def _read(self, dataloader: Any) -> None:
        sampler = getattr(dataloader, "sampler", None)
        batch_sampler = getattr(dataloader, "batch_sampler", None)
        size = len(sampler.dataset) if isinstance(sampler, DistributedSampler) else 0  # type: ignore[arg-type]
        if isinstance(sampler, DistributedSampler) and sampler.total_size <= size:
            return  # it repeats nothing
        known = getattr(type(sampler), "__iter__", None) in _KNOWN_LAYOUTS
        if known and type(batch_sampler) is BatchSampler:
            self._total = size
            return
        rank_zero_warn(
            f"Metrics may count samples twice: the evaluation dataloader's sampler "
            f"{type(sampler).__name__} is not known to give each of {self._step} processes its own "
            f"samples. {_error_bound(dataloader, self._step)} Use Lightning's own distributed "
            "sampler, one that does not pad, or one process."
        )

    def __call__(self, size: int) -> tuple[list[bool], list[int]]:
        """Return, for the next ``size`` samples, which are real and the index of each."""
        local = range(self._seen, self._seen + size)
        self._seen += size
        indices = [i * self._step + self._first for i in local]
        return [self._total is None or index < self._total for index in indices], indices


def _error_bound(dataloader: Any, processes: int) -> str:
    """Describe how much repeats can change a metric."""
    try:
        drawn, size = processes * len(dataloader.sampler), len(dataloader.dataset)
    except (AttributeError, TypeError):
        return "The number of repeats is unknown, so the error of the metrics has no bound."
    if drawn <= size:
        return (
            f"It draws {drawn} samples from {size}; how many of them are repeats is unknown, so "
            "the error of the metrics has no bound."
        )
    share = (drawn - size) / drawn
    return (
        f"It draws {drawn} samples from {size}: means over images may be off by up to "
        f"{share:.3f} (on a scale of 0 to 1), other metrics by about as much."
    )
