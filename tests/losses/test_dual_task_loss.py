import numpy as np
import pytest
import torch
from loss_contract import LABEL_MAPS, VOID, LossContract, on_each_label_map, random_logits, softmax
from scipy import ndimage

from lightning_seg.losses import DualTaskLoss, dual_task
from lightning_seg.losses.base import as_labels
from lightning_seg.targets import semantic_edges


def potential(maps, sigma=2.0):
    """Gradient magnitude of maps (K, H, W), by SciPy."""
    smooth = maps
    if sigma:
        smooth = ndimage.gaussian_filter(
            maps, (0, sigma, sigma), mode="nearest", truncate=3.0, output=np.float64
        )
    slopes = [
        np.stack([ndimage.sobel(plane, axis=axis, mode="nearest") / 8 for plane in smooth])
        for axis in (0, 1)
    ]
    step = np.repeat([0.0, 1.0], 50)
    straight = np.gradient(ndimage.gaussian_filter1d(step, sigma, truncate=3.0) if sigma else step)
    total = sum((slope**2).sum(axis=0) for slope in slopes)
    return np.sqrt(total / 2) / straight.max()


def numpy_dual_task(logits, edge, mask, boundary=1.0, attention=1.0, threshold=0.8, tau=1.0):
    differences, at_found, at_truth, costs = [], [], [], []
    for scores, edges, labels in zip(logits, edge[:, 0], mask, strict=True):
        valid = labels != VOID
        of_truth = np.arange(len(scores))[:, None, None] == labels
        actual = potential(softmax(scores[None] / tau)[0] * valid)
        truth = potential(1.0 * of_truth)
        differences.append(np.abs(actual - truth)[valid])
        at_found.append((actual > 1e-3)[valid])
        at_truth.append((truth > 1e-3)[valid])
        nll = -np.log(np.maximum(softmax(scores[None])[0], 1e-300))
        costs.append(nll[of_truth & (edges > threshold)])
    differences, costs = np.concatenate(differences), np.concatenate(costs)
    total = 0.0
    for chosen in (np.concatenate(at_found), np.concatenate(at_truth)):
        total += boundary * 0.5 * differences[chosen].mean() if chosen.any() else 0.0
    return total + (attention * costs.mean() if costs.size else 0.0)


class AtTrueEdges(DualTaskLoss):
    """`DualTaskLoss` called like a loss on logits, with the edges of the labels."""

    def forward(self, logits, mask):
        labels = mask.argmax(1) if mask.shape == logits.shape else as_labels(mask)
        edges = semantic_edges(labels, self.ignore_index).unsqueeze(1)
        return super().forward(logits, 0.9 * edges.to(logits.dtype), mask)


class TestDualTaskLoss(LossContract):
    def make(self):
        return AtTrueEdges(gumbel=False)

    def expected(self, logits, mask):
        edges = semantic_edges(torch.from_numpy(mask)).unsqueeze(1).numpy()
        return numpy_dual_task(logits, 0.9 * edges, mask)


@on_each_label_map
def test_equals_the_formula_for_any_edges_and_settings(mask):
    logits = random_logits((2, 4, 9, 7), seed=5)
    edge = torch.rand(2, 1, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = DualTaskLoss(2.0, 0.5, threshold=0.4, temperature=0.5, gumbel=False)
    expected = numpy_dual_task(
        logits.numpy(), edge.numpy(), mask.numpy(), 2.0, 0.5, threshold=0.4, tau=0.5
    )
    assert loss(logits, edge, mask).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def halves(column, width=40):
    """A mask whose right part is class 1, from this column on."""
    mask = torch.zeros(1, 20, width, dtype=torch.long)
    mask[..., column:] = 1
    return mask


def certain(mask):
    return 1e3 * torch.nn.functional.one_hot(mask, 2).movedim(-1, 1).double()


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0])
def test_a_straight_edge_has_a_potential_of_one(sigma):
    """For a flat prediction the difference is the potential of the labels."""
    mask = halves(20)
    flat = certain(torch.zeros_like(mask))
    edge = torch.zeros(1, 1, 20, 40)
    actual = dual_task(flat, edge, mask, sigma=sigma).item()
    truth = potential(np.stack([1.0 * (mask[0] == k).numpy() for k in (0, 1)]), sigma)
    assert truth.max() == pytest.approx(1.0)
    assert actual == pytest.approx(0.5 * truth[truth > 1e-3].mean(), rel=1e-9)


def test_boundaries_farther_apart_cost_more():
    mask, edge = halves(20), torch.zeros(1, 1, 20, 40)
    costs = [dual_task(certain(halves(20 + shift)), edge, mask).item() for shift in range(6)]
    assert costs[0] == 0
    assert costs == sorted(costs)
    assert costs[5] > 0.5


def test_wrong_classes_cost_only_where_edges_are_predicted():
    mask = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    edge = torch.full((1, 1, 4, 4), 0.8, dtype=torch.float64)
    edge[0, 0, 1, 2] = 0.81
    loss = dual_task(logits, edge, mask)
    assert loss.item() == pytest.approx(np.log(2))
    (gradient,) = torch.autograd.grad(loss, logits)
    moved = gradient.abs().sum(dim=1)[0]
    assert moved[1, 2] == pytest.approx(1.0)
    assert moved.sum() == pytest.approx(1.0)


def test_without_a_predicted_edge_only_boundaries_count():
    mask = LABEL_MAPS["void"]
    logits = random_logits((2, 4, 9, 7))
    edge = torch.full((2, 1, 9, 7), 0.5)
    both = dual_task(logits, edge, mask)
    assert both == dual_task(logits, edge, mask, attention_weight=0.0)
    assert dual_task(logits, edge, mask, boundary_weight=0.0) == 0


def test_the_edges_get_no_gradient():
    logits = random_logits((2, 4, 9, 7)).requires_grad_()
    edge = torch.rand(2, 1, 9, 7, dtype=torch.float64, requires_grad=True)
    loss = dual_task(logits, edge, LABEL_MAPS["blocks"])
    assert torch.autograd.grad(loss, edge, allow_unused=True) == (None,)


def test_noise_is_added_only_in_training_and_follows_the_seed():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["blocks"]
    edge = torch.zeros(2, 1, 9, 7)
    loss = DualTaskLoss()

    def of_seed(seed):
        torch.manual_seed(seed)
        return loss(logits, edge, mask).item()

    assert of_seed(0) == of_seed(0) != of_seed(1)
    loss.eval()
    assert of_seed(0) == of_seed(1) == DualTaskLoss(gumbel=False)(logits, edge, mask).item()


def test_classes_are_sampled_by_their_probability():
    """Gumbel-max: with logits 0 and log 3, class 1 is drawn three times in four."""
    from lightning_seg.losses.dual_task import _gumbel

    torch.manual_seed(0)
    scores = torch.tensor([0.0, np.log(3.0)]).expand(20_000, 2)
    share = (scores + _gumbel(scores)).argmax(dim=1).double().mean()
    assert share.item() == pytest.approx(0.75, abs=0.01)


def test_the_gradient_is_the_derivative_with_a_low_temperature():
    mask = LABEL_MAPS["void"][:, 2:6, :3]
    edge = torch.rand(2, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    logits = random_logits((2, 4, 4, 3), seed=2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: dual_task(x, edge, mask, threshold=0.3, temperature=0.5), logits
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.2}, "threshold is 1.2"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"boundary_weight": -1.0}, "boundary_weight is -1.0"),
        ({"attention_weight": float("inf")}, "attention_weight is inf"),
        ({"sigma": -1.0}, "sigma is -1.0"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DualTaskLoss(**options)
    with pytest.raises(ValueError, match=message):
        dual_task(
            random_logits((2, 4, 9, 7)), torch.zeros(2, 1, 9, 7), LABEL_MAPS["blocks"], **options
        )


@pytest.mark.parametrize("shape", [(2, 4, 9, 7), (2, 9, 7), (2, 1, 5, 4), (1, 1, 9, 7)])
def test_edges_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="edge has the shape"):
        dual_task(random_logits((2, 4, 9, 7)), torch.zeros(shape), LABEL_MAPS["blocks"])
