"""Losses, metrics, targets, a network, a head and inference with the core's packages alone."""

from importlib import import_module

import torch

from lightning_seg.errors import MissingPackageError
from lightning_seg.heads import SignedDistanceHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.inference.export import save_onnx
from lightning_seg.losses import DiceLoss, DistanceTransformLoss, EquipotentialLineLoss
from lightning_seg.metrics import BoundaryErrors, BoundaryFMeasure, BoundaryIoU, SurfaceDistance
from lightning_seg.networks import SegNet, Unet
from lightning_seg.targets import signed_distance

mask = torch.zeros(2, 64, 64, dtype=torch.int64)
mask[:, 16:40, 20:50] = 1
image = torch.rand(2, 3, 64, 64)
network = SegNet(3, width=4)
head = SignedDistanceHead(network.out_channels, 2)
predictions = head(network(image))
losses = [DiceLoss(), DistanceTransformLoss(), EquipotentialLineLoss()]
distances = signed_distance(mask, 2, clip=10) / 10
loss = sum(criterion(predictions["logits"], mask) for criterion in losses)
(loss + (predictions["distance"] - distances).abs().mean()).backward()
assert all(torch.isfinite(p.grad).all() for p in network.parameters())

with torch.no_grad():
    stitched = SlidingWindow((32, 32))(lambda window: head(network(window)), image[:1])
assert stitched["logits"].shape[-2:] == (64, 64)
for metric in (BoundaryIoU(2), BoundaryFMeasure(2), SurfaceDistance(2)):
    metric.update(mask, mask)
    assert torch.isfinite(metric.compute()).all()
errors = BoundaryErrors(2)
errors.update(mask.roll(2, 1), mask)
errors.compute()

for extra, use in (
    ("train", lambda: Unet(3)),
    ("callbacks", lambda: import_module("lightning_seg.callbacks")),
    ("train", lambda: import_module("lightning_seg.data")),
    ("export", lambda: save_onnx(None, None, {})),
):
    said = ""
    try:
        use()
    except MissingPackageError as error:
        said = str(error)
    assert said.endswith(f"pip install 'lightning_seg_core[{extra}]'"), said
