"""Which samples of a batch are real, and which a sampler repeated to fill up processes."""

from typing import Any

from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.utils.data import BatchSampler, DistributedSampler

_KNOWN_LAYOUTS = (DistributedSampler.__iter__, DistributedSamplerWrapper.__iter__)


class RealSampleMask:
    """Follows one dataloader through an epoch and tells real samples from repeated ones.

    On several processes, Lightning's and torch's samplers repeat samples until every process has
    equally many. Sample i of process r is number ``i * processes + r`` of the whole; numbers from
    the length of the dataset on are repeats.

    Args:
        dataloader: Any loader of one process; a warning says so where repeats cannot be told.
        processes: Number of processes that evaluate together.
        rank: This process.
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
            f"Figures may count samples twice: {type(sampler).__name__} of the evaluation "
            f"dataloader is not known to give each of {self._step} processes its own samples. "
            f"{_how_far_off(dataloader, self._step)} Use Lightning's own distributed sampler, one "
            "that does not pad, or one process."
        )

    def __call__(self, size: int) -> tuple[list[bool], list[int]]:
        """For the next batch of ``size``: which samples are real, and each one's number."""
        local = range(self._seen, self._seen + size)
        self._seen += size
        numbers = [i * self._step + self._first for i in local]
        return [self._total is None or n < self._total for n in numbers], numbers


def _how_far_off(dataloader: Any, processes: int) -> str:
    """What repeats can do to a figure, as a sentence."""
    try:
        seen, there = processes * len(dataloader.sampler), len(dataloader.dataset)
    except (AttributeError, TypeError):
        return "How many it repeats it does not say, so nothing bounds how far figures are off."
    if seen <= there:
        return (
            f"It gives out {seen} samples of {there}; how many of these are repeats it does not "
            "say, so nothing bounds how far figures are off."
        )
    share = (seen - there) / seen
    return (
        f"It gives out {seen} samples of {there}: means over images may be off by up to "
        f"{share:.3f} (as shares of 1), other figures by about as much."
    )


def dataloaders(trainer: Trainer, stage: str) -> list[Any]:
    """The dataloaders of ``val`` or ``test`` in the order of their ``dataloader_idx``."""
    loaders = trainer.val_dataloaders if stage == "val" else trainer.test_dataloaders
    if loaders is None:
        return []
    combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
    return list(combined.flattened)
