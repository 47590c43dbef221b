"""Any head on any network learns."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_seg.data import SyntheticDataModule
from lightning_seg.heads import (
    ClassificationHead,
    ConditionedMultiTaskHead,
    MultiTaskHead,
    PyramidPoolingHead,
    SignedDistanceHead,
)
from lightning_seg.losses import MapL1Loss, MapTanimotoLoss, TanimotoLoss, WeightedLoss
from lightning_seg.networks import ResUNetA, Unet
from lightning_seg.tasks import SegmentationTask

NETWORKS = {
    "unet": partial(Unet, encoder="test_resnet", decoder_channels=(16, 8)),
    "resunet_a": partial(ResUNetA, initial_filters=8),
}
HEADS = {
    "classification": ClassificationHead,
    "pyramid_pooling": partial(PyramidPoolingHead, channels=8),
    "signed_distance": SignedDistanceHead,
    "multi_task": partial(MultiTaskHead, channels=8),
    "conditioned": partial(ConditionedMultiTaskHead, channels=8),
}
NUM_CLASSES = 6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    data = SyntheticDataModule(
        root=tmp_path_factory.mktemp("scenes"), num_train=2, num_val=1, num_test=1, size=96,
        crop_size=64, samples_per_epoch=4, batch_size=2, num_workers=0,
    )  # fmt: skip
    data.prepare_data()
    return data


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


@pytest.fixture(params=HEADS)
def task(request, network):
    torch.manual_seed(0)
    head = HEADS[request.param]
    losses = {}
    for name in getattr(head, "func", head).predictions:
        in_unit_range = request.param != "signed_distance"
        loss = MapTanimotoLoss() if in_unit_range else MapL1Loss()
        losses[name] = WeightedLoss(TanimotoLoss() if name == "logits" else loss, prediction=name)
    return SegmentationTask(NUM_CLASSES, 3, network, head, losses)


def test_two_steps_train_every_parameter(task, scenes):
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    trainer = Trainer(
        accelerator="cpu", max_steps=2, limit_val_batches=0, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(task, datamodule=scenes)
    assert [name for name, p in task.named_parameters() if torch.equal(p, before[name])] == []
    assert all(p.isfinite().all() for p in task.parameters())


@pytest.mark.slow
def test_it_overfits_a_batch(task, scenes):
    scenes.setup("fit")
    batch = next(iter(scenes.train_dataloader()))
    targets, mask = task.targets(batch), batch["mask"]
    optimizer = torch.optim.Adam(task.parameters(), lr=3e-3)
    actual = 0.0
    for step in range(1, 301):
        task.train()
        optimizer.zero_grad()
        task.objective(task(batch["image"]), targets, mask)[0].backward()
        optimizer.step()
        if step % 20 == 0:
            actual = mean_iou(task, batch)
        if actual > 0.95:
            return
    pytest.fail(f"a mean IoU of {actual:.3f} after 300 steps")


@torch.no_grad()
def mean_iou(task, batch):
    labels, mask = task.eval()(batch["image"])["logits"].argmax(dim=1), batch["mask"]
    ious = [
        ((labels == k) & (mask == k)).sum() / ((labels == k) | (mask == k)).sum()
        for k in range(NUM_CLASSES)
        if (mask == k).any()
    ]
    return torch.stack(ious).mean().item()
