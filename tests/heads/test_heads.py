import math

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead, SignedDistanceHead
from lightning_seg.heads.signed_distance import recoverable_clamp
from lightning_seg.losses import CrossEntropyLoss
from lightning_seg.targets import SignedDistance


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return {"decoder": torch.randn(2, 64, 12, 10, generator=generator)}


def test_the_classifier_gives_scores(features):
    assert ClassificationHead(64, 5)(features)["logits"].shape == (2, 5, 12, 10)


def test_one_sigmoid_channel_is_binary_cross_entropy_in_value_and_gradient(features):
    head = ClassificationHead(64, 2, sigmoid=True).double()
    decoder = features["decoder"].double().requires_grad_()
    logits = head({"decoder": decoder})["logits"]
    z = head.classifier(decoder)
    assert z.shape == (2, 1, 12, 10)
    probability = z.sigmoid()
    torch.testing.assert_close(logits.softmax(1), torch.cat([1 - probability, probability], 1))
    mask = (torch.rand(2, 12, 10, generator=torch.Generator().manual_seed(1)) < 0.3).long()
    losses = (
        CrossEntropyLoss()(logits, mask),
        F.binary_cross_entropy_with_logits(z[:, 0], mask.double()),
    )
    torch.testing.assert_close(*losses)
    inputs = [decoder, *head.parameters()]
    gradients = [torch.autograd.grad(loss, inputs, retain_graph=True) for loss in losses]
    torch.testing.assert_close(*gradients)


def test_one_sigmoid_channel_is_for_two_classes():
    with pytest.raises(InputError, match="there are 3 classes"):
        ClassificationHead(64, 3, sigmoid=True)


def test_the_cascade_gives_scores_and_distances_in_range(features):
    head = SignedDistanceHead(64, 5)
    predictions = head({"decoder": 1e3 * features["decoder"]})
    assert {k: v.shape for k, v in predictions.items()} == {
        "logits": (2, 5, 12, 10),
        "distance": (2, 5, 12, 10),
    }
    assert predictions["distance"].abs().max() == 1


def test_the_cascade_classifies_from_its_distances(features):
    head = SignedDistanceHead(64, 5)
    head(features)["logits"].sum().backward()
    assert head.distance.weight.grad.abs().sum() > 0


def test_scores_are_one_convolution_of_concatenated_features_and_distances():
    torch.manual_seed(0)
    head = SignedDistanceHead(8, 3).double()
    x = torch.randn(2, 8, 9, 7, dtype=torch.float64, requires_grad=True)
    actual = head({"decoder": x})
    both = torch.cat([x, actual["distance"]], dim=1)
    expected = F.conv2d(both, head.classifier.weight, head.classifier.bias, padding=1)
    torch.testing.assert_close(actual["logits"], expected)
    inputs = [x, *head.parameters()]
    direction = torch.randn_like(expected)
    gradients = torch.autograd.grad(actual["logits"], inputs, direction, retain_graph=True)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, inputs, direction))


def test_the_added_convolution_has_the_size_of_the_paper():
    """SegNet, 6 classes: 29,450,256 parameters with the cascade, 29,446,470 without."""
    count = sum(p.numel() for p in SignedDistanceHead(64, 6).parameters())
    plain = sum(p.numel() for p in ClassificationHead(64, 6).parameters())
    assert count - plain == 29_450_256 - 29_446_470


def test_the_recoverable_clamp_is_hardtanh_with_gradients_back_into_its_range():
    values = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]).repeat(2, 1).requires_grad_()
    clamped = recoverable_clamp(values)
    assert torch.equal(clamped, F.hardtanh(values))
    descent = torch.tensor([[1.0], [-1.0]])  # the first row is to sink, the second to rise
    (clamped * descent).sum().backward()
    assert values.grad.tolist() == [[0, 0, 1, 1, 1, 1, 1], [-1, -1, -1, -1, -1, 0, 0]]


@pytest.mark.parametrize(
    ("clamp", "recovers"), [("recoverable", True), ("plain", False), ("distance_loss_only", True)]
)
def test_a_class_saturated_on_the_wrong_side_can_learn_again(features, clamp, recovers):
    head = SignedDistanceHead(64, 2, clamp=clamp)
    torch.nn.init.constant_(head.distance.bias, -50.0)
    head(features)["distance"].sub(1).abs().mean().backward()
    assert bool(head.distance.bias.grad.abs().sum() > 0) == recovers


@pytest.mark.parametrize(
    ("clamp", "passes"), [("recoverable", True), ("plain", False), ("distance_loss_only", False)]
)
def test_only_the_recoverable_clamp_passes_score_gradients_to_saturated_distances(
    features, clamp, passes
):
    head = SignedDistanceHead(64, 2, clamp=clamp)
    torch.nn.init.constant_(head.distance.bias, -50.0)
    head(features)["logits"].square().sum().backward()
    assert bool(head.distance.bias.grad.abs().sum() > 0) == passes


@pytest.mark.parametrize("clamp", ["recoverable", "plain", "distance_loss_only"])
def test_every_clamp_predicts_the_same_and_has_the_same_gradient_inside_its_range(features, clamp):
    actual = []
    for kind in ("plain", clamp):
        torch.manual_seed(0)
        head = SignedDistanceHead(64, 3, clamp=kind)
        predictions = head(features)
        sum(maps.square().sum() for maps in predictions.values()).backward()
        actual.append([*predictions.values(), head.distance.weight.grad])
    assert actual[0][1].abs().max() < 1
    torch.testing.assert_close(*actual)
    saturated = {"decoder": 1e3 * features["decoder"]}
    torch.manual_seed(0)
    plain = SignedDistanceHead(64, 3, clamp="plain")(saturated)
    assert all(torch.equal(maps, plain[name]) for name, maps in head(saturated).items())


@pytest.mark.parametrize(("recoverable", "clamp"), [(True, "recoverable"), (False, "plain")])
def test_the_old_recoverable_option_selects_the_same_clamp(recoverable, clamp):
    assert SignedDistanceHead(8, 2, recoverable=recoverable).clamp == clamp


def test_an_unknown_clamp_is_refused():
    with pytest.raises(ValueError, match="clamp is 'soft', expected one of: 'recoverable', 'plain"):
        SignedDistanceHead(8, 2, clamp="soft")


def test_the_target_is_the_clipped_distance_over_its_clip():
    mask = torch.zeros(1, 20, 20, dtype=torch.int64)
    mask[:, :, 10:] = 1
    head = SignedDistanceHead(8, 2, clip=4.0)
    target = head.targets(torch.rand(1, 3, 20, 20), mask, {"distance"})["distance"]
    assert torch.equal(target, SignedDistance(clip=4.0)(mask, 2))
    assert target[0, 1, 0, 8:12].tolist() == [-0.5, -0.25, 0.25, 0.5]


def test_unwanted_targets_are_not_computed():
    mask = torch.zeros(1, 4, 4, dtype=torch.int64)
    assert SignedDistanceHead(8, 2).targets(torch.rand(1, 3, 4, 4), mask, set()) == {}


def test_distances_stuck_on_the_wrong_side_are_counted():
    mask = torch.zeros(1, 4, 4, dtype=torch.int64)
    mask[:, :, 2:] = 1
    mask[:, 0] = 255
    head = SignedDistanceHead(8, 2, clip=1.0)
    targets = {"distance": SignedDistance(clip=1.0)(mask, 2)}
    right = {"distance": targets["distance"].clone()}
    wrong = {"distance": -targets["distance"]}
    assert head.statistics(right, targets, mask)["distance_stuck"] == 0
    assert head.statistics(wrong, targets, mask)["distance_stuck"] == 1


def test_the_share_of_positive_distances_is_logged_per_class():
    mask = torch.tensor([[[0, 0, 1, 1], [255, 2, 1, 1]]])
    distance = -torch.ones(1, 4, 2, 4)
    distance[0, 0, 0, :2] = 0.5  # both pixels of class 0
    distance[0, 1, :, 2] = 0.1  # two of four of class 1
    distance[0, 3] = 1.0  # a class without pixels
    distance[0, :, 1, 0] = 1.0  # void
    actual = SignedDistanceHead(8, 4).statistics(
        {"distance": distance}, {"distance": distance}, mask
    )
    shares = {name: share.item() for name, share in actual.items() if name.startswith("positive")}
    assert shares == pytest.approx(
        {"positive/0": 1, "positive/1": 0.5, "positive/2": 0, "positive/3": math.nan}, nan_ok=True
    )


def test_statistics_never_sync_with_the_device():
    with FakeTensorMode():
        with torch.device("cuda"):
            head, mask = SignedDistanceHead(8, 4), torch.empty(1, 6, 5, dtype=torch.long)
            maps = {"distance": torch.empty(1, 4, 6, 5)}
        actual = head.statistics(maps, maps, mask)
        assert {share.device.type for share in actual.values()} == {"cuda"}


@pytest.mark.parametrize("head", [ClassificationHead, SignedDistanceHead])
def test_one_class_is_refused(head):
    with pytest.raises(ValueError, match="a binary task is two classes"):
        head(8, 1)
