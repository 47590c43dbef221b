"""Combo (Dice and cross entropy) and Dice & Focal."""

import numpy as np
import pytest
from loss_contract import (
    LABEL_MAPS,
    VOID,
    LossContract,
    mean_of_images,
    on_each_label_map,
    random_logits,
    softmax,
)

from lightning_seg.losses import (
    ComboLoss,
    CrossEntropyLoss,
    DiceFocalLoss,
    DiceLoss,
    FocalLoss,
)


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


def test_both_sums_support_macro_dice(reference_case):
    dice = reference_case.value("dice|average=macro,smooth=1")
    entropy, focal = reference_case.value("ce"), reference_case.value("focal|gamma=2")
    inputs = reference_case.logits, reference_case.mask
    assert ComboLoss("macro")(*inputs).item() == pytest.approx(dice + entropy, rel=1e-10)
    assert DiceFocalLoss("macro")(*inputs).item() == pytest.approx(dice + focal, rel=1e-10)


@on_each_label_map
def test_the_smp_preset_applies_to_both_parts(mask):
    inputs = random_logits((2, 4, 9, 7)), mask
    dice = DiceLoss(preset="smp")(*inputs)
    combo, focal = ComboLoss(preset="smp"), DiceFocalLoss(preset="smp")
    assert combo(*inputs) == dice + CrossEntropyLoss()(*inputs)
    assert focal(*inputs) == dice + FocalLoss(preset="smp")(*inputs)


def test_given_arguments_override_the_preset():
    inputs = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    loss = DiceFocalLoss(average="micro", activation="softmax", preset="smp")
    dice = DiceLoss(average="micro", smooth=0.0, reduction="batch")
    assert loss(*inputs) == dice(*inputs) + FocalLoss(reduction="batch")(*inputs)


@pytest.mark.parametrize("loss", [ComboLoss, DiceFocalLoss])
def test_losses_pickled_without_presets_keep_their_value(loss):
    inputs = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    old = loss("macro")
    for name in ("absent", "classes", "activation"):
        old.__dict__.pop(name, None)
    assert old(*inputs) == loss("macro")(*inputs)


@pytest.mark.parametrize("loss", [ComboLoss, DiceFocalLoss])
def test_bad_arguments_are_refused(loss):
    with pytest.raises(ValueError, match="smooth is -1"):
        loss(smooth=-1)
    with pytest.raises(ValueError, match="average is 'all'"):
        loss(average="all")


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match="gamma is -2"):
        DiceFocalLoss(gamma=-2)
