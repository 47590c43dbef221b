"""Error of regressed distances by the weights of their L1 loss: none, of channels, or of pixels.

    python benchmarks/distance_balance.py data/camvid --weights efficientnet_lite0.safetensors
        [--steps 200]

A U-Net over a pretrained EfficientNet-Lite0 with the cascade head learns CamVid's training frames
at 96 x 128 pixels, 8 a step, mirrored at random, with cross entropy and twice the L1 of the signed
distances up to 10 pixels. Balanced runs weight both by median frequency. Printed for the validation
frames: unweighted L1 of the distances, in units of the clip; the share of each class's own pixels
whose distance of the class is positive, averaged over the classes; accuracy and mean IoU.
"""

import argparse
from functools import partial
from pathlib import Path

import cv2
import torch
from torch import Tensor

from lightning_seg.heads import SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask

CLASSES, VOID, SIZE, BATCH = 11, 255, (128, 96), 8


def frames(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) in [0, 1] and masks (N, H, W)."""
    images, masks = [], []
    for path in sorted((folder / split).glob("*.png")):
        image = cv2.resize(cv2.imread(str(path)), SIZE, interpolation=cv2.INTER_AREA)
        labels = cv2.imread(str(folder / f"{split}annot" / path.name), cv2.IMREAD_UNCHANGED)
        images.append(torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1) / 255)
        masks.append(torch.from_numpy(cv2.resize(labels, SIZE, interpolation=cv2.INTER_NEAREST)))
    mask = torch.stack(masks).long()
    return torch.stack(images), mask.masked_fill(mask >= CLASSES, VOID)


def median_frequency(mask: Tensor) -> list[float]:
    present = [(mask == k).flatten(1).any(dim=1) for k in range(CLASSES)]
    pixels_where_present = [(mask[p] != VOID).sum() for p in present]
    frequency = torch.stack(
        [(mask == k).sum() / n for k, n in zip(range(CLASSES), pixels_where_present, strict=True)]
    )
    return (frequency.median() / frequency).tolist()


def train(task: SegmentationTask, image: Tensor, mask: Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(task.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, 0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(image), (BATCH,), generator=generator)
        batch = {"image": image[chosen], "mask": mask[chosen]}
        if torch.rand((), generator=generator) < 0.5:
            batch = {name: maps.flip(-1) for name, maps in batch.items()}
        with torch.autocast("cpu", torch.bfloat16):
            predictions = task(batch["image"])
        loss, _ = task.objective(predictions, task.targets(batch), batch["mask"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def measure(task: SegmentationTask, image: Tensor, mask: Tensor) -> list[float]:
    task.eval()
    error, pixels = 0.0, 0
    confusion, positive = torch.zeros(CLASSES, CLASSES), torch.zeros(CLASSES)
    for images, labels in zip(image.split(BATCH), mask.split(BATCH), strict=True):
        predictions = {name: maps.float() for name, maps in task(images).items()}
        target = task.targets({"image": images, "mask": labels})["distance"]
        valid = labels != VOID
        error += (predictions["distance"] - target).abs().mean(dim=1)[valid].sum().item()
        pixels += int(valid.sum())
        true, decided = labels[valid], predictions["logits"].argmax(1)[valid]
        confusion += torch.bincount(true * CLASSES + decided, minlength=CLASSES**2).view(
            CLASSES, CLASSES
        )
        own = predictions["distance"].movedim(1, -1)[valid].gather(1, true[:, None]).squeeze(1)
        positive += torch.bincount(true, weights=(own > 0).float(), minlength=CLASSES)
    hits = confusion.diag()
    union = confusion.sum(0) + confusion.sum(1) - hits
    share = (positive / confusion.sum(1)).mean()
    scores = [error / pixels, share, hits.sum() / confusion.sum(), (hits / union).mean()]
    return [float(score) for score in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="CamVid, with train, val and their labels")
    parser.add_argument("--weights", help="file of the encoder; default: timm's download")
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    image, mask = frames(options.folder, "train")
    held_out = frames(options.folder, "val")
    weights = median_frequency(mask)
    print("| class weights | distance L1 | positive | accuracy | mIoU |\n|---|---|---|---|---|")
    for name, balanced, weigh in (
        ("none", None, "pixels"),
        ("channels", weights, "channels"),
        ("pixels", weights, "pixels"),
    ):
        torch.manual_seed(0)
        losses = {
            "cross_entropy": WeightedLoss(CrossEntropyLoss(balanced)),
            "distance": WeightedLoss(MapL1Loss(balanced, weigh), 2.0, "distance"),
        }
        network = partial(
            Unet,
            encoder="tf_efficientnet_lite0",
            pretrained=options.weights is None,
            weights=options.weights,
            decoder_channels=(256, 128, 64, 64, 64),
        )
        task = SegmentationTask(CLASSES, 3, network, partial(SignedDistanceHead, clip=10), losses)
        train(task, image, mask, options.steps)
        print(
            f"| {name} |", " | ".join(f"{v:.3f}" for v in measure(task, *held_out)), "|", flush=True
        )


if __name__ == "__main__":
    main()
