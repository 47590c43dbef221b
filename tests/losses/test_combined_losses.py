"""Combo (Dice and cross entropy) and Dice & Focal."""

import numpy as np
import pytest
from loss_contract import (
    VOID,
    LossContract,
    mean_of_images,
    softmax,
)

from lightning_seg.losses import ComboLoss, DiceFocalLoss


def numpy_parts(logits, mask, gamma):
    """Micro Dice and focal loss of one image."""
    p = softmax(logits)[0].transpose(1, 2, 0)[mask[0] != VOID]
    y = np.eye(logits.shape[1])[mask[0][mask[0] != VOID]]
    dice = 1 - (1 + 2 * (y * p).sum()) / (1 + y.sum() + p.sum())
    return dice + -(y * np.log(p) * (1 - p) ** gamma).sum() / len(p)


class TestComboLoss(LossContract):
    huge_logits_move = True

    def make(self):
        return ComboLoss()

    def expected(self, logits, mask):
        return mean_of_images(numpy_parts, logits, mask, gamma=0)


class TestDiceFocalLoss(LossContract):
    huge_logits_move = True

    def make(self):
        return DiceFocalLoss(gamma=3.0)

    def expected(self, logits, mask):
        return mean_of_images(numpy_parts, logits, mask, gamma=3)


def test_equal_the_reference(reference_case):
    reference_case.check("combo|average=micro", ComboLoss())
    reference_case.check("dice_focal|average=micro,gamma=2", DiceFocalLoss())
    reference_case.check_single_precision("combo|average=micro", ComboLoss())
    reference_case.check_single_precision("dice_focal|average=micro,gamma=2", DiceFocalLoss())


def test_macro_dice_is_in_both(reference_case):
    dice = reference_case.value("dice|average=macro,smooth=1")
    entropy, focal = reference_case.value("ce"), reference_case.value("focal|gamma=2")
    inputs = reference_case.logits, reference_case.mask
    assert ComboLoss("macro")(*inputs).item() == pytest.approx(dice + entropy, rel=1e-10)
    assert DiceFocalLoss("macro")(*inputs).item() == pytest.approx(dice + focal, rel=1e-10)


@pytest.mark.parametrize("loss", [ComboLoss, DiceFocalLoss])
def test_bad_arguments_are_refused(loss):
    with pytest.raises(ValueError, match="smooth is -1"):
        loss(smooth=-1)
    with pytest.raises(ValueError, match="average is 'all'"):
        loss(average="all")


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match="gamma is -2"):
        DiceFocalLoss(gamma=-2)
