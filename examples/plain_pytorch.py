"""A loss and a metric of lightning_seg in a plain PyTorch loop, without Lightning.

    python examples/plain_pytorch.py

Draws discs, trains a small U-Net on them twice, with cross entropy alone and with an additional
equipotential line loss, and prints the boundary IoU of both on unseen discs.
"""

import torch
from torch import Tensor, nn

from lightning_seg.heads import ClassificationHead
from lightning_seg.losses import CrossEntropyLoss, EquipotentialLineLoss
from lightning_seg.metrics import BoundaryIoU
from lightning_seg.networks import Unet

SIZE, NUM_CLASSES, STEPS = 64, 2, 60


def draw(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images (B, 3, H, W) of one disc each, and their masks (B, H, W) of 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(number, 2, 1, 1, generator=generator) * 32 + 16
    radius = torch.rand(number, 1, 1, generator=generator) * 10 + 6
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    mask = (y - center[:, 0]) ** 2 + (x - center[:, 1]) ** 2 <= radius**2
    noise = torch.rand(number, 3, SIZE, SIZE, generator=generator)
    return 0.3 * mask[:, None] + 0.7 * noise, mask.long()


def train(losses: list[nn.Module]) -> float:
    """Train a network with the sum of the losses; return its boundary IoU on new images."""
    torch.manual_seed(0)
    network = Unet(3, encoder="resnet18", decoder_channels=(32, 16, 16, 16, 16))
    head = ClassificationHead(network.out_channels, NUM_CLASSES)
    model = nn.Sequential(network, head)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(STEPS):
        images, masks = draw(8, seed=step)
        logits = model(images)["logits"]
        loss = sum(criterion(logits, masks) for criterion in losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    metric = BoundaryIoU(NUM_CLASSES)
    images, masks = draw(32, seed=10_000)
    with torch.no_grad():
        metric.update(model.eval()(images)["logits"], masks)
    return metric.compute().item()


if __name__ == "__main__":
    for name, losses in {
        "cross entropy": [CrossEntropyLoss()],
        "cross entropy and line loss": [CrossEntropyLoss(), EquipotentialLineLoss()],
    }.items():
        print(f"{name}: boundary IoU {train(losses):.3f}")
