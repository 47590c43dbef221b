import monai.losses
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from loss_contract import (
    LABEL_MAPS,
    VOID,
    LossContract,
    mean_of_images,
    on_each_label_map,
    random_logits,
    softmax,
)

from lightning_seg.losses import DiceLoss, dice

SMP = {"preset": "smp"}


def numpy_sums(logits, mask, classes=slice(None)):
    """Return sum yp, sum y and sum p per class over a set of pixels, (K,) each."""
    valid = (mask != VOID)[:, None]
    p = softmax(logits) * valid
    y = np.stack([mask == label for label in range(logits.shape[1])], axis=1)
    return [(x * valid).sum(axis=(0, 2, 3))[classes] for x in (y * p, y, p)]


def numpy_dice(logits, mask, smooth=1.0, macro=False, all_classes=False, **chosen):
    both, y, p = numpy_sums(logits, mask, **chosen)
    if not macro:
        return 1 - (smooth + 2 * both.sum()) / (smooth + y.sum() + p.sum())
    present = y > 0
    losses = 1 - (smooth + 2 * both[present]) / (smooth + y[present] + p[present])
    return losses.sum() / (len(y) if all_classes else present.sum())


class TestMicroDiceLoss(LossContract):
    def make(self):
        return DiceLoss()

    def expected(self, logits, mask):
        return mean_of_images(numpy_dice, logits, mask)


class TestMacroDiceLoss(LossContract):
    def make(self):
        return DiceLoss(average="macro")

    def expected(self, logits, mask):
        return mean_of_images(numpy_dice, logits, mask, macro=True)


class TestDiceLossOfSegmentationModels(LossContract):
    def make(self):
        return DiceLoss(**SMP)

    def expected(self, logits, mask):
        return numpy_dice(logits, mask, smooth=0.0, macro=True, all_classes=True)


class TestMicroDiceLossOfSomeClasses(LossContract):
    classes_permute = False

    def make(self):
        return DiceLoss(classes=[2, 1])

    def expected(self, logits, mask):
        return mean_of_images(numpy_dice, logits, mask, classes=[2, 1])


class TestDiceLossOfSegmentationModelsOfSomeClasses(LossContract):
    classes_permute = False

    def make(self):
        return DiceLoss(preset="smp", classes=[2, 1, 3])

    def expected(self, logits, mask):
        return numpy_dice(logits, mask, 0.0, macro=True, all_classes=True, classes=[2, 1, 3])


def test_false_positives_cost_where_the_chosen_classes_are_absent():
    logits, mask = random_logits((1, 4, 9, 7)), torch.zeros(1, 9, 7, dtype=torch.long)
    wrong = logits.softmax(1)[:, 1].sum()
    torch.testing.assert_close(dice(logits, mask, classes=[1]), 1 - 1 / (1 + wrong))
    assert dice(logits, mask, average="macro", classes=[1]) == 0


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_equals_the_reference(reference_case, average):
    loss = DiceLoss(average=average)
    reference_case.check(f"dice|average={average},smooth=1", loss)
    reference_case.check_single_precision(f"dice|average={average},smooth=1", loss)


def test_equals_the_reference_of_segmentation_models(reference_case):
    reference_case.check("smp_dice|smooth=0", DiceLoss(**SMP))


@on_each_label_map
def test_equals_segmentation_models_pytorch(mask):
    logits = random_logits((2, 4, 9, 7))
    theirs = smp.losses.DiceLoss("multiclass", ignore_index=VOID)
    torch.testing.assert_close(DiceLoss(**SMP)(logits, mask), theirs(logits, mask))


@pytest.mark.parametrize("reduction", ["image", "batch"])
def test_equals_monai_where_no_class_is_absent(reduction):
    """MONAI averages over all classes: an absent one costs 1 - s / (s + sum p)."""
    logits, mask = random_logits((2, 3, 9, 7)), LABEL_MAPS["noise"]
    theirs = monai.losses.DiceLoss(
        to_onehot_y=True, softmax=True, smooth_nr=1.0, smooth_dr=1.0, batch=reduction == "batch"
    )
    ours = dice(logits, mask, average="macro", reduction=reduction)
    torch.testing.assert_close(ours, theirs(logits, mask.unsqueeze(1)))


def test_micro_is_one_minus_the_mean_probability_of_the_true_class():
    logits, mask = random_logits((1, 4, 9, 7)), LABEL_MAPS["noise"][:1]
    mean = logits.softmax(1).gather(1, mask.unsqueeze(1)).mean()
    torch.testing.assert_close(dice(logits, mask, smooth=0.0), 1 - mean)


def test_presets_only_set_arguments_that_are_not_given():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    formula = {"average": "micro", "smooth": 1.0, "reduction": "image", "absent": "exclude"}
    smp = {"average": "macro", "smooth": 0.0, "reduction": "batch", "absent": "zero"}
    assert dice(logits, mask) == dice(logits, mask, **formula)
    assert dice(logits, mask, preset="smp") == dice(logits, mask, **smp)
    mixed = DiceLoss(smooth=1.0, preset="smp")
    assert mixed(logits, mask) == dice(logits, mask, **smp | {"smooth": 1.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"average": "weighted"}, "average is 'weighted', expected one of: 'micro', 'macro'"),
        ({"smooth": -1.0}, r"smooth is -1.0, expected a finite number of 0 or more"),
        ({"reduction": "sum"}, "reduction is 'sum', expected one of: 'image', 'batch'"),
        ({"absent": "zero"}, "absent='zero' needs average='macro'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DiceLoss(**arguments)
