"""Distributed evaluation that counts every sample exactly once."""

from collections.abc import Sized
from typing import cast

import torch.distributed
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import Dataset, Sampler, SequentialSampler

from lightning_seg.errors import InputError


def world_size() -> int:
    """Return the number of distributed processes, 1 without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def rank() -> int:
    """Return the index of this distributed process, 0 without a process group."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


def evaluation_sampler(dataset: Dataset) -> Sampler[int]:
    """Return a sequential sampler that distributes samples over processes without repeats.

    Lightning keeps this sampler; its own would repeat samples to give all processes equally many.
    """
    count, processes = len(cast(Sized, dataset)), world_size()
    if processes == 1:
        return SequentialSampler(cast(Sized, dataset))
    if count < processes:
        raise InputError(
            f"{count} sample(s) cannot be distributed over {processes} processes. "
            f"Use trainer.devices={count} or fewer for this evaluation."
        )
    return UnrepeatedDistributedSampler(dataset, shuffle=False)
