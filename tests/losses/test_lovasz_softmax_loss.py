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
    value_and_gradient,
)

from lightning_seg.losses import LovaszSoftmaxLoss, lovasz_softmax


def jaccard_loss_of(wrong, member):
    """Return 1 - IoU of a class in which exactly the pixels ``wrong`` are wrong."""
    union = (member | wrong).sum()
    return wrong.sum() / union if union else 0.0


def numpy_lovasz_softmax(logits, mask, all_classes=False):
    """Lovász extension from its definition, over the sets of largest errors."""
    p = np.moveaxis(softmax(logits), 1, -1)[mask != VOID]
    labels = mask[mask != VOID]
    losses = []
    for label in range(logits.shape[1]):
        member = labels == label
        if not member.any() and not all_classes:
            continue
        error = np.where(member, 1 - p[:, label], p[:, label])
        wrong, before, loss = np.zeros_like(member), 0.0, 0.0
        for pixel in np.argsort(-error):
            wrong[pixel] = True
            now = jaccard_loss_of(wrong, member)
            loss += error[pixel] * (now - before)
            before = now
        losses.append(loss)
    return np.mean(losses)


class TestLovaszSoftmaxLoss(LossContract):
    def make(self):
        return LovaszSoftmaxLoss()

    def expected(self, logits, mask):
        return numpy_lovasz_softmax(logits, mask)


class TestLovaszSoftmaxLossOfEachImage(LossContract):
    def make(self):
        return LovaszSoftmaxLoss(reduction="image")

    def expected(self, logits, mask):
        return mean_of_images(numpy_lovasz_softmax, logits, mask)


class TestLovaszSoftmaxLossOfAllClasses(LossContract):
    def make(self):
        return LovaszSoftmaxLoss(classes="all")

    def expected(self, logits, mask):
        return numpy_lovasz_softmax(logits, mask, all_classes=True)


@on_each_label_map
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_equals_segmentation_models_pytorch(mask, reduction):
    """Its mean over images counts those without a valid pixel as 0."""
    logits = random_logits((2, 4, 9, 7), dtype=torch.float32)
    theirs = smp.losses.LovaszLoss("multiclass", per_image=reduction == "image", ignore_index=VOID)
    if reduction == "image":
        valid = (mask != VOID).flatten(1).any(1)
        logits, mask = logits[valid], mask[valid]
    value, gradient = value_and_gradient(LovaszSoftmaxLoss(reduction=reduction), logits, mask)
    their_value, their_gradient = value_and_gradient(theirs, logits, mask)
    torch.testing.assert_close(value, their_value)
    torch.testing.assert_close(gradient, their_gradient, rtol=1e-4, atol=1e-6)


def test_a_confident_prediction_costs_its_jaccard_loss():
    mask, guess = LABEL_MAPS["blocks"][:1], LABEL_MAPS["blocks"][1:]
    logits = 100 * torch.nn.functional.one_hot(guess, 3).movedim(-1, 1).double()
    ious = [
        ((mask == label) & (guess == label)).sum() / ((mask == label) | (guess == label)).sum()
        for label in range(3)
    ]
    assert lovasz_softmax(logits, mask).item() == pytest.approx(1 - np.mean(ious))


def test_steps_stay_exact_on_a_large_image():
    """Each of a million pixels adds about 1e-6, below the resolution of float32 quotients."""
    mask = torch.zeros(1, 1024, 1024, dtype=torch.int64)
    mask[:, :, 512:] = 1
    logits = random_logits((1, 2, 1024, 1024), dtype=torch.float32)
    _, gradient = value_and_gradient(lovasz_softmax, logits, mask)
    _, exact = value_and_gradient(lovasz_softmax, logits.double(), mask)
    # Only neighbours in the order, whose errors are equal in float32, may change places.
    assert (gradient - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": "some"}, "classes is 'some', expected one of: 'present', 'all'"),
        ({"reduction": "mean"}, "reduction is 'mean'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LovaszSoftmaxLoss(**arguments)
