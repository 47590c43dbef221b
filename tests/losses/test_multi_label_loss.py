"""Losses of several labels per pixel, and of one sigmoid channel, against other packages."""

import monai
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from loss_contract import VOID, random_logits, value_and_gradient
from torch import nn

from lightning_seg.errors import InputError
from lightning_seg.losses import (
    BoundaryLoss,
    CrossEntropyLoss,
    DiceLoss,
    DistanceTransformLoss,
    DualTaskLoss,
    EquipotentialLineLoss,
    FocalLoss,
    JaccardLoss,
    LovaszSoftmaxLoss,
    MapL1Loss,
    MultiLabelLoss,
    PointLoss,
    SemedaLoss,
    SobelLoss,
    TanimotoLoss,
)
from lightning_seg.networks import EdgeNetwork

K = 3


@pytest.fixture
def logits():
    return random_logits((2, K, 9, 7))


@pytest.fixture
def mask():
    """Return labels that overlap; the last one is absent from the first image."""
    labels = (torch.rand(2, K, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.5).long()
    labels[:, 1] = labels[:, 0] | labels[:, 1]
    labels[0, 2] = 0
    return labels.repeat_interleave(3, 2).repeat_interleave(3, 3)[..., :7]


@pytest.fixture
def void(mask):
    mask[0, 0, :3], mask[1, 2, 4:6] = VOID, VOID
    return mask


def close(ours, theirs, logits, mask, **tolerance):
    expected = value_and_gradient(theirs, logits, mask)
    torch.testing.assert_close(value_and_gradient(ours, logits, mask), expected, **tolerance)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_cross_entropy_is_binary_cross_entropy_with_logits(logits, mask, average):
    ours = MultiLabelLoss(CrossEntropyLoss(), average)
    close(ours, lambda x, y: F.binary_cross_entropy_with_logits(x, y.double()), logits, mask)


def test_class_weights_weight_positive_pixels(logits, mask):
    ours = MultiLabelLoss(CrossEntropyLoss(class_weights=[1.0, 5.0]))

    def theirs(x, y):
        weights = 1 + 4 * y.double()
        summed = F.binary_cross_entropy_with_logits(
            x, y.double(), pos_weight=torch.tensor(5.0), reduction="sum"
        )
        return summed / weights.sum()

    close(ours, theirs, logits, mask)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(DiceLoss, smp.losses.DiceLoss), (JaccardLoss, smp.losses.JaccardLoss)]
)
def test_overlap_by_label_equals_segmentation_models_pytorch(ours, theirs, logits, mask):
    ours = MultiLabelLoss(ours(classes=[1], preset="smp"), "macro")
    close(ours, theirs("multilabel"), logits.float(), mask)


@pytest.mark.parametrize("jaccard", [False, True])
def test_overlap_by_image_and_label_equals_monai(jaccard, logits, mask):
    mask[0, 2, 0] = 1  # MONAI's term of an absent label is another
    ours = (JaccardLoss if jaccard else DiceLoss)(classes=[1], smooth=0.0)
    theirs = monai.losses.DiceLoss(sigmoid=True, jaccard=jaccard, smooth_nr=0, smooth_dr=0)
    close(MultiLabelLoss(ours), theirs, logits, mask)


def test_focal_equals_monai(logits, mask):
    theirs = monai.losses.FocalLoss(gamma=2.0)  # in float32
    close(MultiLabelLoss(FocalLoss(gamma=2.0)), theirs, logits.float(), mask)


LOSSES = {
    "boundary": BoundaryLoss(),
    "cross entropy": CrossEntropyLoss(),
    "dice": DiceLoss(classes=[1]),
    "distance transform": DistanceTransformLoss(),
    "line": EquipotentialLineLoss(),
    "focal": FocalLoss(),
    "lovasz": LovaszSoftmaxLoss(),
    "point": PointLoss(),
    "semeda": SemedaLoss(EdgeNetwork(2)),
    "sobel": SobelLoss(),
    "tanimoto": TanimotoLoss(),
    "torch": nn.CrossEntropyLoss(ignore_index=VOID),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@each_loss
def test_each_loss_is_the_mean_over_labels_of_its_binary_loss(loss, logits, mask):
    loss = loss.double()
    binary = [
        loss(torch.stack([torch.zeros_like(z), z], dim=1), y)
        for z, y in zip(logits.unbind(1), mask.unbind(1))
    ]
    expected = torch.stack(binary).mean()
    torch.testing.assert_close(MultiLabelLoss(loss, "macro")(logits, mask), expected)


@each_loss
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_ignored_labels_of_a_pixel_change_neither_value_nor_gradient(loss, logits, void, average):
    ours = MultiLabelLoss(loss.double(), average)
    value, gradient = value_and_gradient(ours, logits, void)
    other = value_and_gradient(ours, logits.masked_fill(void == VOID, 50.0), void)
    torch.testing.assert_close(other, (value, gradient))
    assert not gradient[void == VOID].any()
    assert gradient.any()


@each_loss
def test_autocast_and_half_precision_are_computed_in_float32(loss, logits, void):
    half = logits.bfloat16()
    ours = MultiLabelLoss(loss.float())
    expected, slope = value_and_gradient(ours, half.float(), void)
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = value_and_gradient(ours, half, void)
    assert value.dtype == torch.float32 or isinstance(loss, nn.CrossEntropyLoss)
    torch.testing.assert_close(value.float(), expected, rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(gradient, slope.bfloat16(), rtol=2e-2, atol=1e-4)


def test_one_channel_is_a_binary_task(logits, void):
    ours, z, y = MultiLabelLoss(DiceLoss(classes=[1])), logits[:, :1], void[:, 0]
    expected = DiceLoss(classes=[1])(torch.cat([torch.zeros_like(z), z], 1), y)
    for given in (y, y[:, None], y.float(), y.byte()[:, None]):
        assert ours(z, given) == expected


def test_compiles_to_one_graph(logits, void):
    ours = MultiLabelLoss(DiceLoss(classes=[1]))
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    close(compiled, ours, logits, void)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda: MapL1Loss(), r"MapL1Loss is called with \(prediction, target, mask\)"),
        (lambda: DualTaskLoss(), r"DualTaskLoss is called with \(logits, edge, mask\)"),
        (lambda: SemedaLoss(EdgeNetwork(4)), "edge network was trained for 4 classes"),
        (lambda: CrossEntropyLoss([1.0, 2.0, 3.0]), "class_weights holds 3 weights"),
        (lambda: CrossEntropyLoss("median_frequency"), "counts the classes of label maps"),
        (lambda: DiceLoss(classes=[2]), "there are 2 classes"),
    ],
)
def test_losses_without_a_meaning_for_single_labels_are_refused(loss, message):
    with pytest.raises(InputError, match=message):
        MultiLabelLoss(loss())


@pytest.mark.parametrize("shape", [(2, 9, 7), (2, 1, 9, 7), (2, K, 9, 8)])
def test_masks_of_other_shapes_are_refused(logits, shape):
    with pytest.raises(ValueError, match="a channel of 0 and 1 for each label"):
        MultiLabelLoss(DiceLoss())(logits, torch.zeros(shape))


def test_a_mask_with_fractions_is_refused():
    with pytest.raises(ValueError, match="fractions"):
        MultiLabelLoss(DiceLoss())(torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 0.7))
