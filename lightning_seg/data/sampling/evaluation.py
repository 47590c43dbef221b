"""Evaluation on several processes that counts every sample exactly once."""

from collections.abc import Sized
from typing import cast

import torch.distributed
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import Dataset, Sampler, SequentialSampler

from lightning_seg.errors import InputError


def world_size() -> int:
    """Number of processes that train or evaluate together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def evaluation_sampler(dataset: Dataset) -> Sampler[int]:
    """Shares a dataset out among the processes in order, without repeating samples.

    Lightning leaves this sampler in place; its own would repeat samples until all processes have
    equally many.

    Raises:
        InputError: There are fewer samples than processes.
    """
    count, processes = len(cast(Sized, dataset)), world_size()
    if processes == 1:
        return SequentialSampler(cast(Sized, dataset))
    if count < processes:
        raise InputError(
            f"{count} sample(s) cannot be shared out among {processes} processes. "
            f"Use trainer.devices={count} or fewer for this evaluation."
        )
    return UnrepeatedDistributedSampler(dataset, shuffle=False)
