"""A tiny task on tiny random images."""

from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_seg.heads import SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask


@pytest.fixture
def make_task():
    def make(losses=None, head=SignedDistanceHead, **kwargs):
        network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
        losses = losses or {
            "logits": [WeightedLoss(CrossEntropyLoss())],
            "distance": [WeightedLoss(MapL1Loss(), weight=2.0)],
        }
        return SegmentationTask(3, 3, network, head, losses, **kwargs)

    return make


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
