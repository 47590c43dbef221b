"""Evaluation in batches of equal size that count every sample exactly once."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch.distributed
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import Dataset

from lightning_seg.errors import InputError


def world_size() -> int:
    """Return the number of distributed processes, 1 without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def rank() -> int:
    """Return the index of this distributed process, 0 without a process group."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


class SampleLists(Dataset[list[Any]]):
    """The samples of another dataset by lists of indices."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, indices: list[int] | int) -> list[Any]:
        # Lightning's overfit_batches brings a sampler of single indices.
        return [self.dataset[i] for i in ([indices] if isinstance(indices, int) else indices)]


class EvaluationBatches(UnrepeatedDistributedSampler):
    """Batches of consecutive samples of equal size, as lists of indices, for `SampleLists`.

    Each process takes every n-th sample, without repeats. Lightning keeps this sampler; its own
    would repeat samples to give all processes equally many.

    Args:
        dataset: The samples.
        batch_size: Largest number of samples in a batch.
        sizes: Height and width of every sample; by default equal.

    Raises:
        InputError: There are fewer samples than processes.
    """

    def __init__(
        self,
        dataset: SampleLists,
        batch_size: int,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        count, processes = len(dataset), world_size()
        if count < processes:
            raise InputError(
                f"{count} sample(s) cannot be distributed over {processes} processes. "
                f"Use trainer.devices={count} or fewer for this evaluation."
            )
        super().__init__(dataset, num_replicas=processes, rank=rank(), shuffle=False)
        self.batches: list[list[int]] = []
        for index in range(rank(), count, processes):
            last = self.batches[-1] if self.batches else []
            fits = sizes is None or not last or sizes[index] == sizes[last[0]]
            if last and fits and len(last) < batch_size:
                last.append(index)
            else:
                self.batches.append([index])

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
