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

from lightning_seg.losses import JaccardLoss, jaccard

SMP = {"preset": "smp"}


def numpy_jaccard(logits, mask, smooth=1.0, macro=False, all_classes=False, classes=None):
    p = softmax(logits)
    per_class = []
    union = []
    for label in range(logits.shape[1]) if classes is None else classes:
        y = (mask == label)[mask != VOID].astype(float)
        q = p[:, label][mask != VOID]
        per_class.append((y * q).sum())
        union.append((y + q - y * q).sum())
    both, union = np.array(per_class), np.array(union)
    if not macro:
        return 1 - (smooth + both.sum()) / (smooth + union.sum())
    present = np.array([(mask == label).any() for label in range(logits.shape[1])])
    losses = 1 - (smooth + both[present]) / (smooth + union[present])
    return losses.sum() / (len(present) if all_classes else present.sum())


class TestMicroJaccardLoss(LossContract):
    def make(self):
        return JaccardLoss()

    def expected(self, logits, mask):
        return mean_of_images(numpy_jaccard, logits, mask)


class TestMacroJaccardLoss(LossContract):
    def make(self):
        return JaccardLoss(average="macro")

    def expected(self, logits, mask):
        return mean_of_images(numpy_jaccard, logits, mask, macro=True)


class TestMicroJaccardLossOfSomeClasses(LossContract):
    classes_permute = False

    def make(self):
        return JaccardLoss(classes=[2, 1])

    def expected(self, logits, mask):
        return mean_of_images(numpy_jaccard, logits, mask, classes=[2, 1])


class TestJaccardLossOfSegmentationModels(LossContract):
    def make(self):
        return JaccardLoss(**SMP)

    def expected(self, logits, mask):
        return numpy_jaccard(logits, mask, smooth=0.0, macro=True, all_classes=True)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_equals_the_reference(reference_case, average):
    loss = JaccardLoss(average=average)
    reference_case.check(f"iou|average={average},smooth=1", loss)
    reference_case.check_single_precision(f"iou|average={average},smooth=1", loss)


def test_equals_the_reference_of_segmentation_models(reference_case):
    reference_case.check("smp_jaccard|smooth=0", JaccardLoss(**SMP))


@on_each_label_map
def test_equals_segmentation_models_pytorch(mask):
    logits = random_logits((2, 4, 9, 7))
    theirs = smp.losses.JaccardLoss("multiclass", ignore_index=VOID)
    torch.testing.assert_close(JaccardLoss(**SMP)(logits, mask), theirs(logits, mask))


@pytest.mark.parametrize("reduction", ["image", "batch"])
def test_equals_monai_where_no_class_is_absent(reduction):
    """MONAI averages over all classes, and adds its smoothing to twice the sums of ours."""
    logits, mask = random_logits((2, 3, 9, 7)), LABEL_MAPS["noise"]
    theirs = monai.losses.DiceLoss(
        jaccard=True,
        to_onehot_y=True,
        softmax=True,
        smooth_nr=2.0,
        smooth_dr=2.0,
        batch=reduction == "batch",
    )
    ours = jaccard(logits, mask, average="macro", reduction=reduction)
    torch.testing.assert_close(ours, theirs(logits, mask.unsqueeze(1)))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="average is 'none'"):
        JaccardLoss(average="none")
