"""A tiny task from module-level functions, so that other processes can create it."""

from functools import partial

from lightning_seg.heads import SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask


def make_task(losses=None, head=SignedDistanceHead, **kwargs):
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = losses or {
        "cross_entropy": WeightedLoss(CrossEntropyLoss()),
        "distance": WeightedLoss(MapL1Loss(), weight=2.0, prediction="distance"),
    }
    return SegmentationTask(3, 3, network, head, losses, **kwargs)


def make_balanced(balance="median_frequency"):
    losses = {
        "cross_entropy": WeightedLoss(CrossEntropyLoss(class_weights=balance)),
        "distance": WeightedLoss(MapL1Loss(class_weights=balance), 2.0, "distance"),
    }
    return make_task(losses)
