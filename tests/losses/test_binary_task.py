"""With classes=[1], two softmax classes give the values of one sigmoid class (Gül 2023)."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from loss_contract import LABEL_MAPS, VOID, random_logits
from scipy.ndimage import distance_transform_edt

from lightning_seg.losses import (
    ComboLoss,
    CrossEntropyLoss,
    DiceFocalLoss,
    DiceLoss,
    DistanceTransformLoss,
    FocalLoss,
    JaccardLoss,
)

MASKS = {
    name: torch.where(mask == VOID, VOID, (mask == 1).long()) for name, mask in LABEL_MAPS.items()
}
on_each_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())


def cross_entropy(y, p):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def focal(y, p):
    return -(y * np.log(p) * (1 - p) ** 2 + (1 - y) * np.log(1 - p) * p**2).mean()


def dice(y, p):
    return 1 - (1 + 2 * (y * p).sum()) / (1 + y.sum() + p.sum())


def jaccard(y, p):
    return 1 - (1 + (y * p).sum()) / (1 + (y + p - y * p).sum())


ONE_CLASS = {
    "cross entropy": (CrossEntropyLoss(reduction="image"), cross_entropy),
    "focal": (FocalLoss(), focal),
    "dice": (DiceLoss(classes=[1]), dice),
    "jaccard": (JaccardLoss(classes=[1]), jaccard),
    "combo": (ComboLoss(classes=[1]), lambda y, p: dice(y, p) + cross_entropy(y, p)),
    "dice & focal": (DiceFocalLoss(classes=[1]), lambda y, p: dice(y, p) + focal(y, p)),
}


def sigmoid_of_the_difference(logits):
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


@pytest.mark.parametrize(("loss", "formula"), ONE_CLASS.values(), ids=ONE_CLASS.keys())
@on_each_mask
def test_each_loss_has_the_value_of_one_sigmoid_class(loss, formula, mask):
    logits = random_logits((2, 2, 9, 7))
    values = [
        formula(labels[labels != VOID] == 1, p[labels != VOID])
        for labels, p in zip(mask.numpy(), sigmoid_of_the_difference(logits).numpy())
        if (labels != VOID).any()
    ]
    assert loss(logits, mask).item() == pytest.approx(np.mean(values), rel=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (DiceLoss(preset="smp", classes=[1]), [smp.losses.DiceLoss("binary")]),
        (JaccardLoss(preset="smp", classes=[1]), [smp.losses.JaccardLoss("binary")]),
        (CrossEntropyLoss(), [smp.losses.SoftBCEWithLogitsLoss()]),
        (FocalLoss(reduction="batch"), [smp.losses.FocalLoss("binary")]),
        (
            ComboLoss(preset="smp", classes=[1]),
            [smp.losses.DiceLoss("binary"), smp.losses.SoftBCEWithLogitsLoss()],
        ),
        (
            DiceFocalLoss(preset="smp", classes=[1], activation="softmax"),
            [smp.losses.DiceLoss("binary"), smp.losses.FocalLoss("binary")],
        ),
    ],
    ids=lambda loss: type(loss).__name__,
)
@pytest.mark.parametrize("name", ["noise", "blocks", "one-pixel objects", "one class fills all"])
def test_equal_binary_losses_of_segmentation_models_pytorch(ours, theirs, name):
    logits, mask = random_logits((2, 2, 9, 7)), MASKS[name]
    score = (logits[:, 1] - logits[:, 0]).unsqueeze(1)
    expected = sum(loss(score, mask.unsqueeze(1).double()) for loss in theirs)
    torch.testing.assert_close(ours(logits, mask), expected)


def test_losses_of_a_disc_and_a_uniform_prediction_are_as_computed_by_hand():
    """By hand except for distances: A of N pixels are foreground, p is 1/2 everywhere."""
    y, x = np.mgrid[:64, :64] - 31.5
    disc = x**2 + y**2 < 16**2
    mask = torch.from_numpy(disc).long().unsqueeze(0)
    logits = torch.zeros(1, 2, 64, 64, dtype=torch.float64)
    area, pixels = disc.sum(), disc.size
    assert DiceLoss(classes=[1])(logits, mask).item() == pytest.approx(
        1 - (1 + area) / (1 + area + pixels / 2)
    )
    depth = distance_transform_edt(disc)
    weight = ((depth.max() - depth) * disc / (depth.max() - 1)).sum()
    assert DistanceTransformLoss(classes=[1])(logits, mask).item() == pytest.approx(
        1 - weight / 2 / (weight + (pixels - area) / 2)
    )
    # Two classes pay less for the same prediction: the background is large, and easy to overlap.
    assert DiceLoss()(logits, mask).item() == pytest.approx(0.5, abs=1e-3)
    assert DistanceTransformLoss()(logits, mask) < DistanceTransformLoss(classes=[1])(logits, mask)
