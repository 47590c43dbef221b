"""Learns a few frames of CamVid by heart with each choice of the Tanimoto loss's volume weights.

    python benchmarks/tanimoto_weights.py data/camvid [--steps 200] [--frames 4]

A U-Net with a tiny encoder is shown all of the frames, at 72 x 96 pixels, in every step of Adam.
Printed are accuracy and IoU on these frames, the mean IoU over the classes in them; and what maps
of the boundary and distance targets score that are perfect, all zero, and 1/2 everywhere.
"""

import argparse
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.heads import ClassificationHead
from lightning_seg.losses import CrossEntropyLoss, Loss, MapTanimotoLoss, TanimotoLoss
from lightning_seg.networks import Unet
from lightning_seg.targets import ClassBoundary, PatchDistance

CLASSES, VOID, SIZE = 11, 255, (96, 72)
LOSSES = {
    "cross entropy": CrossEntropyLoss(),
    "inverse": TanimotoLoss(),
    "inverse_square": TanimotoLoss(volume_weights="inverse_square"),
    "none": TanimotoLoss(volume_weights=None),
}


def frames(folder: Path, number: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in [0, 1] and masks (B, H, W) from frames far apart."""
    paths = sorted((folder / "train").glob("*.png"))
    paths = paths[:: max(1, len(paths) // number)][:number]
    images, masks = [], []
    for path in paths:
        image = cv2.resize(cv2.imread(str(path)), SIZE, interpolation=cv2.INTER_AREA)
        labels = cv2.imread(str(folder / "trainannot" / path.name), cv2.IMREAD_UNCHANGED)
        images.append(torch.from_numpy(image).permute(2, 0, 1) / 255)
        masks.append(torch.from_numpy(cv2.resize(labels, SIZE, interpolation=cv2.INTER_NEAREST)))
    mask = torch.stack(masks).long()
    return torch.stack(images), mask.masked_fill(mask >= CLASSES, VOID)


def learn(name: str, loss: Loss, image: Tensor, mask: Tensor, steps: int) -> None:
    """Trains from scratch and prints how far it is after a quarter, a half and all of the steps."""
    torch.manual_seed(0)
    network = Unet(3, "test_resnet", decoder_channels=(64, 48, 32, 24, 16))
    head = ClassificationHead(16, CLASSES)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], 1e-3)
    for step in range(1, steps + 1):
        logits = F.interpolate(head(network(image))["logits"], mask.shape[1:], mode="bilinear")
        optimizer.zero_grad()
        loss(logits, mask).backward()
        optimizer.step()
        if step in (steps // 4, steps // 2, steps):
            report(f"{name:15} step {step:4}", logits.argmax(1), mask)


def report(title: str, labels: Tensor, mask: Tensor) -> None:
    valid = mask != VOID
    iou = []
    for k in range(CLASSES):
        found, true = (labels == k) & valid, mask == k
        iou.append(((found & true).sum() / (found | true).sum()).item() if true.any() else None)
    here = [value for value in iou if value is not None]
    accuracy = (labels == mask)[valid].float().mean().item()
    by_class = " ".join("  - " if value is None else f"{value:.2f}" for value in iou)
    print(f"{title}: accuracy {accuracy:.3f}, mean IoU {sum(here) / len(here):.3f}  {by_class}")


def score_maps(mask: Tensor) -> None:
    targets = {
        "boundary": ClassBoundary()(mask, CLASSES),
        "distance": PatchDistance()(mask, CLASSES),
    }
    for name, target in targets.items():
        target = target.float()
        maps = {"perfect": target, "all zero": target * 0, "1/2 everywhere": target * 0 + 0.5}
        for weights in ("inverse", "inverse_square"):
            loss = MapTanimotoLoss(volume_weights=weights)
            scores = {which: loss(found, target, mask).item() for which, found in maps.items()}
            print(
                name, weights, ", ".join(f"{which} {score:.3f}" for which, score in scores.items())
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="CamVid, with train and trainannot")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--frames", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    image, mask = frames(options.folder, options.frames)
    pixels = [(mask == k).sum().item() for k in range(CLASSES)]
    print(f"pixels of the classes: {pixels}")
    score_maps(mask)
    for name, loss in LOSSES.items():
        learn(name, loss, image, mask, options.steps)


if __name__ == "__main__":
    main()
