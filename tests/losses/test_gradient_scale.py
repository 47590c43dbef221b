"""Gradient sizes of SEMEDA and Sobel relative to cross entropy, on real label maps."""

from pathlib import Path

import cv2
import pytest
import torch
import torch.nn.functional as F

from lightning_seg.losses import CrossEntropyLoss, SemedaLoss, SobelLoss
from lightning_seg.networks import EdgeNetwork
from lightning_seg.targets import semantic_edges

LABELS = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "valannot"
CLASSES, VOID = 11, 255


@pytest.fixture(scope="module")
def masks():
    """(4, 352, 480) int64."""
    paths = sorted(LABELS.glob("*.png"))[::26]
    if not paths:
        pytest.skip(f"no label maps of CamVid in {LABELS}")
    actual = torch.stack([torch.from_numpy(cv2.imread(str(path), -1)[:352]) for path in paths])
    return actual.long().masked_fill(actual >= CLASSES, VOID)


def one_hot(mask):
    return F.one_hot(mask.clamp(max=CLASSES), CLASSES + 1)[..., :CLASSES].movedim(-1, 1).float()


@pytest.fixture(scope="module")
def edge_network(masks):
    torch.manual_seed(0)
    network = EdgeNetwork(CLASSES)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    crops = masks.unfold(1, 88, 88).unfold(2, 80, 80).flatten(0, 2)
    for crop in crops.split(4):
        edges = semantic_edges(crop).long().masked_fill(crop == VOID, VOID)
        loss = F.cross_entropy(network(one_hot(crop)), edges, ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def coarse_logits(masks, size, noise):
    """Return realistic scores: the ground truth in blocks, blurred and with noise."""
    shares = F.avg_pool2d(one_hot(masks) + 0.02, size)
    scores = (shares / shares.sum(1, keepdim=True)).log()
    scores += noise * torch.randn(scores.shape, generator=torch.Generator().manual_seed(0))
    return F.interpolate(scores, masks.shape[1:], mode="bilinear")


def gradient_size(loss, logits, mask):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits, mask), logits)[0].norm()


@pytest.mark.parametrize(("size", "noise", "accuracy"), [(16, 1.5, 0.92), (16, 2.0, 0.79)])
def test_mean_reduction_has_gradients_of_cross_entropys_size_and_the_sum_far_larger_ones(
    masks, edge_network, size, noise, accuracy
):
    mask = masks[:2]
    logits = coarse_logits(mask, size, noise)
    right = (logits.argmax(1) == mask)[mask != VOID].float().mean()
    assert right.item() == pytest.approx(accuracy, abs=0.02)
    of_cross_entropy = gradient_size(CrossEntropyLoss(), logits, mask)
    times = {
        (name, reduction): (gradient_size(loss, logits, mask) / of_cross_entropy).item()
        for reduction in ("mean", "pixel")
        for name, loss in (
            ("semeda", SemedaLoss(edge_network, (2, 4, 0), reduction)),
            ("sobel", SobelLoss(4.0, reduction)),
        )
    }
    assert 0.2 < times["semeda", "mean"] < 3
    assert 0.3 < times["sobel", "mean"] < 3
    assert times["semeda", "pixel"] > 8
    assert times["sobel", "pixel"] > 6
