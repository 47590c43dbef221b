"""The distance-transform loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from loss_contract import LABEL_MAPS, VOID, LossContract, random_logits, softmax, value_and_gradient
from scipy.ndimage import distance_transform_cdt, distance_transform_edt

from lightning_seg.losses import DistanceTransformLoss, distance_transform_loss
from lightning_seg.targets import InnerDistance


def by_the_formula(
    logits, mask, metric="euclidean", reduce="mean_present", classes=None, void="ignore"
):
    """Steps 1 to 7 and equation 3.1, class by class, with the corrections."""
    probabilities = softmax(logits)
    num_classes = logits.shape[1]
    losses = []
    for p, labels in zip(probabilities, mask):
        ratios = []
        for c in range(num_classes) if classes is None else classes:
            y = labels == c
            valid = labels != VOID
            background = ~y if void == "background" else ~y & valid
            if not y.any():
                ratios.append(None)
                continue
            weight = y.astype(float)
            if background.any():
                transform = (
                    distance_transform_edt if metric == "euclidean" else distance_transform_cdt
                )
                distance = transform(~background) * y
                reverse = (distance.max() - distance) * y
                if reverse.max() > 0:
                    weight = reverse / reverse.max()
            total = weight.sum() + ((~y & valid) * p[c]).sum()
            ratios.append((weight * p[c]).sum() / total)
        present = [ratio for ratio in ratios if ratio is not None]
        if reduce == "mean_present" and present:
            losses.append(1 - np.mean(present))
        elif reduce == "mean_all" and valid.any():
            losses.append(1 - np.sum(present) / len(ratios))
        elif reduce == "sum" and valid.any():
            losses.append(1 - np.sum(present))
    return np.mean(losses) if losses else 0.0


class TestDistanceTransformLoss(LossContract):
    rtol = 1e-7  # distances are float32

    def options(self):
        return {}

    def make(self):
        return DistanceTransformLoss(**self.options())

    def ignore(self, loss, label):
        loss.target = replace(loss.target, ignore_index=label)

    def expected(self, logits, mask):
        return by_the_formula(logits, mask, **self.options())


class TestChessboard(TestDistanceTransformLoss):
    def options(self):
        return {"metric": "chessboard"}


class TestVoidAsBackground(TestDistanceTransformLoss):
    def options(self):
        return {"void": "background"}


class TestMeanOfAllClasses(TestDistanceTransformLoss):
    perfect = 1 / 4  # class 3 is absent

    def options(self):
        return {"reduce": "mean_all"}


class TestSumAsPrinted(TestDistanceTransformLoss):
    perfect = -2.0  # of three classes

    def options(self):
        return {"reduce": "sum"}


class TestSomeClasses(TestDistanceTransformLoss):
    classes_permute = False

    def options(self):
        return {"classes": [2, 1]}


def loss_of(labels, probabilities, **options):
    """Loss of one row of labels and of probabilities of class 1 out of two."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    logits = torch.stack([(1 - p).log(), p.log()])[None, :, None]
    return distance_transform_loss(logits, torch.tensor([[labels]]), **options).item()


def test_equals_a_value_computed_by_hand():
    # D of class 1 is 1 2 3, so W is 1 1/2 0; one half of the background's probability is wrong.
    actual = loss_of([0, 0, 1, 1, 1], [0.25, 0.25, 0.5, 0.5, 0.5], classes=[1])
    assert actual == pytest.approx(1 - (0.5 + 0.25) / (1.5 + 0.5))


def test_boundary_pixels_weigh_more_than_the_interior():
    labels = [0, 0, 1, 1, 1]
    weak_boundary = loss_of(labels, [0.1, 0.1, 0.5, 0.9, 0.9], classes=[1])
    weak_inside = loss_of(labels, [0.1, 0.1, 0.9, 0.9, 0.5], classes=[1])
    assert weak_boundary > weak_inside


def test_pixels_of_equal_depth_weigh_one():
    actual = loss_of([0, 1, 0], [0.25, 0.5, 0.25], classes=[1])
    assert actual == pytest.approx(1 - 0.5 / (1 + 0.5))


def test_a_class_that_fills_the_image_weighs_one():
    assert loss_of([1, 1, 1], [0.5, 0.75, 1 - 1e-9]) == pytest.approx(1 - 2.25 / 3)


def test_a_class_that_fills_all_valid_pixels_weighs_one():
    actual = loss_of([1, VOID, 1], [0.5, 0.1, 0.75])
    assert actual == pytest.approx(1 - 1.25 / 2)


def test_false_positives_of_an_absent_class_cost_through_the_present_classes():
    mask = LABEL_MAPS["blocks"]
    logits = 2.0 * torch.nn.functional.one_hot(mask, 4).movedim(-1, 1)
    _, gradient = value_and_gradient(DistanceTransformLoss(), logits, mask)
    assert gradient[:, 3].sum() > 0


def test_an_image_without_a_chosen_class_does_not_count():
    mask = LABEL_MAPS["one-pixel objects"]  # class 1 in the first image alone
    logits = random_logits((2, 4, 9, 7))
    loss = DistanceTransformLoss(classes=[1])
    assert loss(logits, mask) == loss(logits[:1], mask[:1])


def test_a_given_distance_map_gives_the_same():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    loss = DistanceTransformLoss(metric="chessboard", void="background")
    assert loss(logits, mask, loss.target(mask, 4)) == loss(logits, mask)


def test_a_given_distance_map_is_used():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["blocks"]
    flat = torch.ones(2, 1, 9, 7)
    assert DistanceTransformLoss()(logits, mask, flat) != DistanceTransformLoss()(logits, mask)


def test_the_target_has_the_parameters_of_the_loss():
    loss = DistanceTransformLoss(metric="chessboard", void="background", ignore_index=3)
    assert loss.target == InnerDistance("chessboard", "background", 3)


@pytest.mark.parametrize("reduce", ["mean_present", "mean_all", "sum"])
@pytest.mark.parametrize("metric", ["euclidean", "chessboard"])
def test_equals_the_reference(reference_case, metric, reduce):
    key = f"gul|metric={metric},void=ignore,reduce={reduce}"
    loss = DistanceTransformLoss(metric, reduce)
    reference_case.check(key, loss, rel=1e-7)
    reference_case.check_single_precision(key, loss)


def test_equals_the_reference_with_void_as_background(reference_case):
    key = "gul|metric=euclidean,void=background,reduce=mean_present"
    reference_case.check(key, DistanceTransformLoss(void="background"), rel=1e-7)


def test_equals_the_reference_of_one_class(reference_case):
    key = "gul|metric=euclidean,void=ignore,classes=[1],reduce=mean_present"
    reference_case.check(key, DistanceTransformLoss(classes=[1]), rel=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"metric": "cityblock"},
            "metric is 'cityblock', expected one of: 'euclidean'",
        ),
        ({"reduce": "mean"}, "reduce is 'mean', expected one of: 'mean_present'"),
        ({"void": "drop"}, "void is 'drop', expected one of: 'ignore', 'background'"),
        ({"classes": []}, r"classes is \[\], but must name distinct labels"),
        ({"classes": [1, 1]}, r"classes is \[1, 1\], but must name distinct labels"),
        ({"classes": [-1]}, r"classes is \[-1\], but must name distinct labels"),
    ],
)
def test_bad_arguments_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        DistanceTransformLoss(**options)


def test_a_class_beyond_the_logits_is_refused():
    with pytest.raises(ValueError, match="there are 4 classes: labels 0 to 3"):
        DistanceTransformLoss(classes=[4])(random_logits((2, 4, 9, 7)), LABEL_MAPS["void"])


def test_a_distance_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"distance is \(2, 4, 9, 7\), but must be \(2, 1, 9, 7\)"):
        DistanceTransformLoss()(
            random_logits((2, 4, 9, 7)), LABEL_MAPS["void"], torch.ones(2, 4, 9, 7)
        )


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_the_precision_of_matrix_products_does_not_matter(precision):
    logits, mask = random_logits((2, 4, 9, 7), dtype=torch.float32), LABEL_MAPS["void"]
    expected = DistanceTransformLoss()(logits, mask)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert DistanceTransformLoss()(logits, mask) == expected
    finally:
        torch.set_float32_matmul_precision(before)
