"""Tanimoto on class probabilities and on maps."""

from typing import ClassVar

import monai.losses
import numpy as np
import pytest
import torch
from device_checks import check_never_waits
from loss_contract import (
    LABEL_MAPS,
    VOID,
    LossContract,
    random_logits,
    softmax,
    value_and_gradient,
)

from lightning_seg.losses import MapTanimotoLoss, TanimotoLoss, map_tanimoto, tanimoto


def numpy_weights(volumes, kind, normalize, empty):
    """Return V^-1 or V^-2, and the largest finite one or 0 where V is 0."""
    if kind is None:
        return np.ones_like(volumes)
    with np.errstate(divide="ignore"):
        weights = volumes ** {"inverse": -1.0, "inverse_square": -2.0}[kind]
    finite = weights[np.isfinite(weights)]
    infinite = np.isinf(weights)
    weights[infinite] = finite.max() if finite.size else 1.0
    weights = weights / weights.max() if normalize else weights
    return np.where(infinite & (empty == "zero"), 0.0, weights)


def numpy_coefficient(p, t, weights, smooth, kind):
    """Equations 1, 2 and 3 with the sums of equation 5; p and t are (C, pixels)."""
    overlap = (p * t).sum(1)
    below = {
        "D1": (p.sum(1) + t.sum(1)) / 2,
        "D2": ((p**2).sum(1) + (t**2).sum(1)) / 2,
        "D3": (p**2).sum(1) + (t**2).sum(1) - overlap,
    }[kind]
    return ((weights * overlap).sum() + smooth) / ((weights * below).sum() + smooth)


def numpy_tanimoto(
    prediction,
    target,
    mask,
    complement=True,
    volume_weights="inverse",
    normalize_weights=True,
    smooth=1e-5,
    dual_weights="complement",
    volumes="batch",
    coefficient="D3",
    empty_weight="largest",
    class_weights=None,
):
    images = [
        (prediction[b][:, mask[b] != VOID], target[b][:, mask[b] != VOID])
        for b in range(len(mask))
        if (mask[b] != VOID).any()
    ]
    losses = []
    for p, t in images:
        scores = []
        for dual in (False, True)[: 1 + complement]:
            outside = dual and dual_weights == "complement"
            counted = [1 - one if outside else one for _, one in images]
            if volumes == "image":
                counted = [1 - t if outside else t]
            volume = np.mean([one.sum(1) for one in counted], axis=0)
            weights = numpy_weights(volume, volume_weights, normalize_weights, empty_weight)
            if class_weights is not None:
                weights = np.array(class_weights)
                if outside:
                    shares = np.divide(1, weights, out=np.zeros(len(weights)), where=weights > 0)
                    weights = 1 / (1 - shares / shares.sum())
                weights = weights / weights.max()
            pair = (1 - p, 1 - t) if dual else (p, t)
            scores.append(numpy_coefficient(*pair, weights, smooth, coefficient))
        losses.append(1 - np.mean(scores))
    return np.mean(losses)


def one_hot(mask, num_classes):
    return np.stack([mask == label for label in range(num_classes)], axis=1).astype(float)


class TanimotoContract(LossContract):
    arguments: ClassVar = {}

    def make(self):
        return TanimotoLoss(**self.arguments)

    def expected(self, logits, mask):
        labels = one_hot(mask, logits.shape[1])
        return numpy_tanimoto(softmax(logits), labels, mask, **self.arguments)


class TestTanimotoLoss(TanimotoContract):
    pass


class TestTanimotoLossWithoutEmptyClasses(TanimotoContract):
    arguments: ClassVar = {"empty_weight": "zero"}


class TestTanimotoLossOfThePaper(TanimotoContract):
    arguments: ClassVar = {"volume_weights": "inverse_square"}


class TestTanimotoLossOfTheAuthors(TanimotoContract):
    arguments: ClassVar = {"volume_weights": "inverse_square", "normalize_weights": False}


class TestTanimotoLossWithClassWeights(TanimotoContract):
    classes_permute = False
    arguments: ClassVar = {"class_weights": [1.0, 4.0, 0.0, 2.5]}


class TestTanimotoLossWithDirectClassWeights(TanimotoContract):
    classes_permute = False
    arguments: ClassVar = {"class_weights": [3.0, 1.0, 2.0, 5.0], "dual_weights": "direct"}


class TestTanimotoLossWithDirectWeights(TanimotoContract):
    arguments: ClassVar = {"dual_weights": "direct", "volumes": "image"}


class TestTanimotoLossWithoutComplementAndWeights(TanimotoContract):
    arguments: ClassVar = {"complement": False, "volume_weights": None, "smooth": 0.0}


class TestDiceWithComplement(TanimotoContract):
    arguments: ClassVar = {"coefficient": "D1", "volume_weights": None, "smooth": 0.0}


class TestDiceOfSquaresWithoutComplement(TanimotoContract):
    arguments: ClassVar = {"coefficient": "D2", "complement": False, "volumes": "image"}


@pytest.mark.parametrize("scheme", ["none", "inverse_square"])
@pytest.mark.parametrize("scope", ["batch_mean", "sample"])
@pytest.mark.parametrize(
    "dual", ["dual=0", "dual=1,dual_weights=complement", "dual=1,dual_weights=direct"]
)
def test_equals_the_reference(reference_case, scheme, scope, dual):
    loss = TanimotoLoss(
        complement="dual=1" in dual,
        volume_weights=None if scheme == "none" else "inverse_square",
        normalize_weights=False,
        dual_weights="direct" if "direct" in dual else "complement",
        volumes="batch" if scope == "batch_mean" else "image",
    )
    key = f"tanimoto|scheme={scheme},scope={scope},{dual},smooth=1e-5"
    reference_case.check(key, loss)
    reference_case.check_single_precision(key, loss)


@pytest.mark.parametrize("dual_weights", ["complement", "direct"])
def test_equals_the_reference_with_normalized_weights(reference_case, dual_weights):
    key = (
        "tanimoto|scheme=inverse_square,scope=batch_mean,dual=1,"
        f"dual_weights={dual_weights},smooth=1e-5,normalize=max"
    )
    loss = TanimotoLoss(volume_weights="inverse_square", dual_weights=dual_weights)
    reference_case.check(key, loss)
    reference_case.check_single_precision(key, loss)


@pytest.mark.parametrize("coefficient", ["D1", "D2", "D3"])
@pytest.mark.parametrize("complement", [False, True])
def test_equals_the_reference_of_the_dice_family(reference_case, coefficient, complement):
    loss = TanimotoLoss(
        complement=complement, volume_weights=None, smooth=0.0, coefficient=coefficient
    )
    reference_case.check(f"dice_family_loss|kind={coefficient},dual={int(complement)}", loss)


def test_equals_the_reference_on_maps(reference_case):
    maps = reference_case.maps
    target = (maps["sdt10_background"] + 1) / 2
    loss = MapTanimotoLoss(volume_weights="inverse_square", normalize_weights=False)
    value = loss(maps["probs"], target, reference_case.mask)
    key = (
        "tanimoto|regression_target=(sdt10+1)/2,scheme=inverse_square,scope=batch_mean,dual=1,"
        "dual_weights=complement"
    )
    assert value.item() == pytest.approx(reference_case.value(key), rel=1e-10)


@pytest.mark.parametrize("name", ["noise", "one class fills an image", "one-pixel objects"])
def test_dice_without_complement_is_the_generalized_dice_of_monai(name):
    """MONAI's numerator is twice the overlap, so it takes twice our ``smooth``."""
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS[name]
    theirs = monai.losses.GeneralizedDiceLoss(
        to_onehot_y=True, softmax=True, smooth_nr=2e-5, smooth_dr=2e-5
    )
    ours = TanimotoLoss(
        complement=False,
        volume_weights="inverse_square",
        normalize_weights=False,
        coefficient="D1",
        volumes="image",
    )
    torch.testing.assert_close(ours(logits, mask), theirs(logits, mask.unsqueeze(1)))


@pytest.mark.parametrize("size", [16, 256, 512])
def test_a_uniform_prediction_costs_one_half_at_any_size(size):
    mask = torch.zeros(1, size, size, dtype=torch.int64)
    mask[:, size // 2 :] = 1
    assert tanimoto(torch.zeros(1, 2, size, size), mask).item() == pytest.approx(0.5, abs=1e-4)


def test_without_normalization_the_smoothing_outweighs_a_large_image():
    mask = torch.zeros(1, 512, 512, dtype=torch.int64)
    mask[:, 256:] = 1
    loss = TanimotoLoss(volume_weights="inverse_square", normalize_weights=False)
    assert loss(torch.zeros(1, 2, 512, 512), mask).item() == pytest.approx(0.302, abs=1e-3)


def test_an_image_of_void_does_not_count():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["an image of void"]
    for normalize in (True, False):
        loss = TanimotoLoss(normalize_weights=normalize)
        torch.testing.assert_close(loss(logits, mask), loss(logits[1:], mask[1:]))


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 2, 3, 9, 7, generator=generator, dtype=torch.float64)
    target[:, 1] = 0  # empty
    return prediction, target, LABEL_MAPS["void"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"complement": False},
        {"normalize_weights": False},
        {"volume_weights": "inverse_square"},
        {"volume_weights": None, "smooth": 0.5},
        {"dual_weights": "direct"},
        {"volumes": "image"},
        {"coefficient": "D2"},
        {"empty_weight": "zero"},
    ],
)
def test_on_maps_equals_the_formula(maps, arguments):
    expected = numpy_tanimoto(*(x.numpy() for x in maps), **arguments)
    assert MapTanimotoLoss(**arguments)(*maps).item() == pytest.approx(expected, rel=1e-9)


def test_equal_maps_give_zero(maps):
    _, target, mask = maps
    assert map_tanimoto(target, target, mask).item() == pytest.approx(0, abs=1e-12)
    empty = torch.zeros_like(target)
    assert MapTanimotoLoss(smooth=0.0)(empty, empty, mask).item() == pytest.approx(0, abs=1e-12)


def on_maps(target, mask, **arguments):
    loss = MapTanimotoLoss(**arguments)
    return lambda prediction, _: loss(prediction, target, mask)


def test_void_pixels_of_maps_change_neither_value_nor_gradient(maps):
    prediction, target, mask = maps
    void = (mask == VOID).unsqueeze(1)
    value, gradient = value_and_gradient(on_maps(target, mask), prediction, mask)
    unknown = on_maps(target.masked_fill(void, torch.nan), mask)
    elsewhere = prediction.masked_fill(void, 1e4)
    other_value, other_gradient = value_and_gradient(unknown, elsewhere, mask)
    assert value == other_value
    assert torch.equal(gradient, other_gradient)


def test_a_batch_of_void_maps_gives_zero_and_a_zero_gradient(maps):
    prediction, target, mask = maps
    loss = on_maps(target, torch.full_like(mask, VOID), smooth=0.0)
    value, gradient = value_and_gradient(loss, prediction, mask)
    assert value == 0
    assert not gradient.any()


def test_gradient_on_maps_is_the_derivative(maps):
    prediction, target, mask = (x[..., 2:6, :3].clone() for x in maps)
    assert torch.autograd.gradcheck(
        lambda x: map_tanimoto(x, target, mask), prediction.requires_grad_()
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_computed_in_float32(maps, dtype):
    prediction, target, mask = maps
    half, target = prediction.to(dtype), target.to(dtype)
    expected = map_tanimoto(half.float(), target.float(), mask)
    with torch.autocast("cpu", dtype):
        value = map_tanimoto(half, target, mask)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)


def test_on_maps_compiles_to_one_graph(maps):
    loss = MapTanimotoLoss()
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*maps), loss(*maps))


def test_maps_of_other_sizes_are_refused(maps):
    prediction, target, mask = maps
    with pytest.raises(ValueError, match=r"\(2, 3, 9, 7\), the target \(2, 1, 9, 7\)"):
        map_tanimoto(prediction, target[:, :1], mask)


@pytest.mark.parametrize("loss", [TanimotoLoss, MapTanimotoLoss])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"volume_weights": "cube"}, "volume_weights is 'cube', expected one of: 'inverse_square'"),
        ({"dual_weights": "both"}, "dual_weights is 'both', expected one of: 'complement', 'dire"),
        ({"volumes": "pixel"}, "volumes is 'pixel'"),
        ({"coefficient": "D4"}, "coefficient is 'D4'"),
        ({"empty_weight": "none"}, "empty_weight is 'none'"),
        ({"smooth": -1.0}, r"smooth is -1.0"),
    ],
)
def test_bad_arguments_are_refused(loss, arguments, message):
    with pytest.raises(ValueError, match=message):
        loss(**arguments)


@pytest.mark.parametrize("empty_weight", ["largest", "zero"])
@pytest.mark.parametrize("volumes", ["batch", "image"])
def test_the_ratio_of_class_weights_is_logged(volumes, empty_weight):
    mask = torch.zeros(2, 4, 5, dtype=torch.int64)
    mask[0, 0, :2] = (
        1  # 2 and 18 pixels in the first image, 4 and 12 in the second, class 2 nowhere
    )
    mask[1, 0, :4] = 1
    mask[1, 1, :4] = VOID
    expected = {"batch": 15 / 3, "image": 18 / 2}[volumes]
    loss = TanimotoLoss(volumes=volumes, empty_weight=empty_weight)
    actual = loss.statistics(random_logits((2, 3, 4, 5)), mask)
    assert actual == {"weight_ratio": pytest.approx(expected)}
    maps = torch.nn.functional.one_hot(mask.clamp(max=2), 3).movedim(-1, 1).float()
    loss = MapTanimotoLoss(volumes=volumes, empty_weight=empty_weight)
    actual = loss.statistics(torch.rand(2, 3, 4, 5), maps, mask)
    assert actual == {"weight_ratio": pytest.approx(expected)}


def test_inverse_frequencies_of_the_batch_are_its_own_volumes():
    mask = torch.tensor([[[0, 0, 0, 1], [2, 1, 0, VOID]], [[0, 0, 0, 0], [1, 2, VOID, 2]]])
    logits = random_logits((2, 3, 2, 4))
    volumes = torch.bincount(mask[mask != VOID])
    counted = TanimotoLoss(class_weights=(7 / volumes).tolist())
    torch.testing.assert_close(counted(logits, mask), TanimotoLoss()(logits, mask))
    expected = {"weight_ratio": pytest.approx(8 / 3)}
    assert counted.statistics(logits, mask) == expected == TanimotoLoss().statistics(logits, mask)


def test_a_rare_class_of_a_batch_no_longer_outweighs_the_others():
    # Two pixels of class 1 in this batch, a tenth of all training pixels.
    mask = torch.zeros(1, 20, 20, dtype=torch.int64)
    mask[0, 0, :2] = 1
    logits = torch.zeros(1, 2, 20, 20)
    logits[:, 0] = 6.0
    logits[0, 1, :5, :10] = 9.0  # predicted on 50 pixels
    by_batch = TanimotoLoss(complement=False)(logits, mask)
    by_training = TanimotoLoss(complement=False, class_weights=[10 / 9, 10.0])(logits, mask)
    assert by_batch > 0.9
    assert by_training < 0.6


def test_a_class_of_weight_0_counts_in_neither_term_with_direct_weights():
    mask = torch.tensor([[[0, 0, 1], [2, 2, VOID]]])
    loss = TanimotoLoss(class_weights=[1.0, 4.0, 0.0], dual_weights="direct")
    probabilities = random_logits((1, 3, 2, 3)).softmax(1)
    value = loss(probabilities.log(), mask)
    split = probabilities.clone()  # the mass of class 2 alone changes
    split[:, 2] *= 3
    masked = torch.nn.functional.one_hot(mask.clamp(max=2), 3).movedim(-1, 1).double()
    valid = (mask != VOID).unsqueeze(1)
    formula, weights = loss.formula, loss.class_weights(3)
    first, other = (
        formula(torch.where(valid, p, 0), torch.where(valid, masked, 0), valid[:, 0], weights)
        for p in (probabilities, split)
    )
    torch.testing.assert_close(first, other)
    torch.testing.assert_close(first, value)
    assert loss.statistics(probabilities, mask) == {"weight_ratio": pytest.approx(4)}


def test_a_single_class_with_a_weight_is_finite():
    logits, mask = random_logits((1, 2, 3, 3)), torch.zeros(1, 3, 3, dtype=torch.int64)
    value, gradient = value_and_gradient(TanimotoLoss(class_weights=[1.0, 0.0]), logits, mask)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_class_weights_of_another_number_of_classes_are_refused():
    mask = torch.zeros(1, 3, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        tanimoto(torch.zeros(1, 3, 3, 3), mask, class_weights=torch.ones(2))
    with pytest.raises(ValueError, match="class_weights holds 2 weights, but there are 3"):
        TanimotoLoss(class_weights=[1.0, 2.0])(torch.zeros(1, 3, 3, 3), mask)


def test_the_papers_weights_have_the_ratio_of_squares():
    mask = torch.tensor([[[0, 0, 0, 1]]])
    actual = TanimotoLoss(volume_weights="inverse_square").statistics(torch.zeros(1, 2, 1, 4), mask)
    assert actual == {"weight_ratio": pytest.approx(9)}


def learned(volume_weights):
    """Return recalls of classes of 1500 to 2 pixels and the accuracy of a linear classifier."""
    sizes = [1500, 1500, 600, 250, 100, 40, 8, 2]
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(8).repeat_interleave(torch.tensor(sizes))
    features = torch.nn.functional.one_hot(labels).float()
    features += 0.5 * torch.randn(features.shape, generator=generator)
    features, mask = features.T[None, :, :, None], labels[None, :, None]
    classifier = torch.nn.Conv2d(8, 8, 1)
    for parameter in classifier.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.Adam(classifier.parameters(), 0.03)
    loss = TanimotoLoss(volume_weights=volume_weights)
    for _ in range(120):
        optimizer.zero_grad()
        loss(classifier(features), mask).backward()
        optimizer.step()
    right = (classifier(features).argmax(1) == mask).flatten()
    recalls = torch.stack([right[labels == label].float().mean() for label in range(8)])
    return recalls, right.float().mean()


def test_the_default_learns_rare_classes_without_forgetting_large_ones():
    recalls, accuracy = learned("inverse")
    of_equal, accuracy_of_equal = learned(None)
    of_paper, accuracy_of_paper = learned("inverse_square")
    assert accuracy > accuracy_of_equal - 0.02
    assert accuracy > accuracy_of_paper + 0.05
    assert recalls[:2].mean() > of_paper[:2].mean() + 0.05
    assert recalls[5:].mean() > of_equal[5:].mean() + 0.1


def test_equal_weights_have_the_ratio_one():
    actual = TanimotoLoss(volume_weights=None).statistics(
        random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    )
    assert actual == {"weight_ratio": 1}
    void = torch.full((2, 9, 7), VOID)
    assert TanimotoLoss().statistics(random_logits((2, 4, 9, 7)), void) == {"weight_ratio": 1}


def test_maps_never_sync_with_the_device():
    def inputs(device):
        mask = torch.empty(2, 9, 7, device=device, dtype=torch.long)
        return *(torch.empty(2, 4, 9, 7, device=device) for _ in range(2)), mask

    check_never_waits(MapTanimotoLoss, inputs)
