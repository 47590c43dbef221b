import monai.losses
import numpy as np
import pytest
import torch
from loss_contract import LABEL_MAPS, VOID, LossContract, mean_of_images, random_logits, softmax

from lightning_seg.losses import GeneralizedDiceLoss


def numpy_generalized_dice(logits, mask, power=2):
    """Equation 3 of one image; a class without pixels has the largest weight of the others."""
    valid = mask[0] != VOID
    p = softmax(logits)[0][:, valid]
    y = np.stack([mask[0][valid] == label for label in range(len(p))]).astype(float)
    volumes = y.sum(1)
    weights = 1 / np.where(volumes > 0, volumes, volumes[volumes > 0].min()) ** power
    return 1 - 2 * (weights * (y * p).sum(1)).sum() / (weights * (y + p).sum(1)).sum()


class TestGeneralizedDiceLoss(LossContract):
    def make(self):
        return GeneralizedDiceLoss(smooth=0.0)

    def expected(self, logits, mask):
        return mean_of_images(numpy_generalized_dice, logits, mask)


class TestGeneralizedDiceLossOfInverseVolumes(LossContract):
    def make(self):
        return GeneralizedDiceLoss("inverse", smooth=0.0)

    def expected(self, logits, mask):
        return mean_of_images(numpy_generalized_dice, logits, mask, power=1)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("inverse_square", "square"), ("inverse", "simple"), (None, "uniform")]
)
@pytest.mark.parametrize("volumes", ["image", "batch"])
@pytest.mark.parametrize("name", ["noise", "one class fills an image", "one-pixel objects"])
def test_equals_monai(name, ours, theirs, volumes):
    """MONAI sums over the batch, so values are equal only for one image."""
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS[name]
    if volumes == "batch":
        logits, mask = logits[:1], mask[:1]
    expected = monai.losses.GeneralizedDiceLoss(
        to_onehot_y=True, softmax=True, w_type=theirs, smooth_nr=0.0, smooth_dr=0.0
    )(logits, mask.unsqueeze(1))
    loss = GeneralizedDiceLoss(ours, volumes, smooth=0.0)
    torch.testing.assert_close(loss(logits, mask), expected)


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="volume_weights is 'square', expected one of: 'inverse"):
        GeneralizedDiceLoss("square")
