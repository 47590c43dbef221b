import numpy as np
import pytest
import torch

from lightning_seg.losses import CrossEntropyLoss, cross_entropy


def numpy_cross_entropy(logits, mask, weights, ignore_index=255):
    """Written from the definition, pixel by pixel, in float64."""
    total = mass = 0.0
    for b, y, x in zip(*np.nonzero(mask != ignore_index)):
        scores = logits[b, :, y, x]
        label = mask[b, y, x]
        top = scores.max()
        log_sum = top + np.log(np.exp(scores - top).sum())
        total += weights[label] * (log_sum - scores[label])
        mass += weights[label]
    return total / mass


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 9, 7, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, 3, (2, 9, 7), generator=generator)  # class 3 is absent
    mask[0, :3] = 255
    return logits, mask


def test_equals_the_definition(batch):
    logits, mask = batch
    expected = numpy_cross_entropy(logits.numpy(), mask.numpy(), np.ones(4))
    assert cross_entropy(logits, mask).item() == pytest.approx(expected, rel=1e-12)


def test_equals_the_definition_with_class_weights(batch):
    logits, mask = batch
    weights = [0.5, 2.0, 0.0, 7.0]
    expected = numpy_cross_entropy(logits.numpy(), mask.numpy(), weights)
    loss = CrossEntropyLoss(class_weights=weights).double()
    assert loss(logits, mask).item() == pytest.approx(expected, rel=1e-12)


def test_a_batch_of_void_gives_zero_and_a_zero_gradient():
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    loss = CrossEntropyLoss(class_weights=[1.0, 2.0, 3.0])(logits, torch.full((1, 4, 5), 255))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_void_pixels_change_neither_value_nor_gradient(batch):
    logits, mask = batch
    changed = torch.where((mask == 255).unsqueeze(1), logits + 100, logits)
    one, other = (x.clone().requires_grad_() for x in (logits, changed))
    first, second = cross_entropy(one, mask), cross_entropy(other, mask)
    first.backward()
    second.backward()
    assert first == second
    assert torch.equal(one.grad, other.grad)


def test_half_precision_is_computed_in_single(batch):
    logits, mask = batch
    loss = cross_entropy(logits.half(), mask)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(cross_entropy(logits.half().float(), mask).item())


def test_huge_logits_give_finite_values_and_gradients(batch):
    logits, mask = batch
    huge = (logits.sign() * 1e4).requires_grad_()
    loss = cross_entropy(huge, mask)
    loss.backward()
    assert loss.isfinite()
    assert huge.grad.isfinite().all()


def test_gradient_is_the_derivative(batch):
    logits, mask = batch
    small = logits[:1, :, 2:5, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, mask[:1, 2:5, :3]), small)
