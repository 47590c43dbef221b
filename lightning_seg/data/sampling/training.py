"""Order and random numbers of training samples as functions of seed, epoch and index."""

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, Dataset, DistributedSampler, get_worker_info

from lightning_seg.data.samples import Sample
from lightning_seg.data.sampling.evaluation import rank, world_size

Key = tuple[int, int]
"""Epoch and index of a sample."""


class SeededDataset(Dataset[Sample]):
    """Samples whose random numbers depend only on seed, epoch and index.

    The number of workers and the state of the training's own random numbers do not matter, so a
    resumed run draws what the uninterrupted one would have drawn.

    Args:
        dataset: Draws from the random states of torch, NumPy or Python.
        seed: Seed of the run.
    """

    def __init__(self, dataset: Dataset[Sample], seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Key | int) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        drawn = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)[0]
        # Only a worker has random states that nothing else uses.
        with nullcontext() if get_worker_info() else isolate_rng(include_cuda=False):
            torch.random.default_generator.manual_seed(int(drawn))
            np.random.seed(drawn)  # noqa: NPY002
            random.seed(int(drawn))
            return self.dataset[index]


class TrainingSampler(DistributedSampler[Key]):
    """Epoch and index of shuffled samples, starting after those already used for training.

    Each pass is another epoch, even if no trainer calls ``set_epoch``.

    Args:
        dataset: The samples.
        seed: Seed of the run, equal on all processes.
        trained: Returns the number of samples of the current epoch that this process had already
            used before the run was resumed.
    """

    def __init__(self, dataset: SeededDataset, seed: int, trained: Callable[[], int]) -> None:
        super().__init__(dataset, num_replicas=world_size(), rank=rank(), seed=seed)
        self.trained = trained

    def __iter__(self) -> Iterator[Key]:
        keys = [(self.epoch, int(index)) for index in super().__iter__()]  # type: ignore[call-overload]
        self.epoch += 1
        return iter(keys[self.trained() :])


class TrainingLoader(DataLoader[Sample]):
    """DataLoader that begins an epoch when its first batch is requested.

    Lightning creates the iterator of a resumed run before it has set the epoch, and with a step
    schedule even before it has read the checkpoint.
    """

    def __iter__(self) -> Iterator[Sample]:  # type: ignore[override]
        yield from super().__iter__()
