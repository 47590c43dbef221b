"""A tiny task on tiny random images."""

from functools import partial

import pytest
import tiny_task
import torch
from torch.utils.data import DataLoader


@pytest.fixture
def make_task():
    return tiny_task.make_task


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    samples = []
    for i in range(5):
        mask = torch.randint(0, 3, (5, 8), generator=generator)
        mask = mask.repeat_interleave(8, 0).repeat_interleave(8, 1)
        mask[:, :i] = 255
        noise = torch.rand(3, 40, 64, generator=generator)
        image = (mask.clamp(max=2) / 2 + noise).clamp(0, 1) / 2
        samples.append({"image": image, "mask": mask, "name": f"{i}"})
    return samples


@pytest.fixture
def loader(samples):
    return partial(DataLoader, samples)
