"""Tests that every loss on logits passes, to be inherited by a test class:

    class TestDiceLoss(LossContract):
        def make(self):
            return DiceLoss()

        def expected(self, logits, mask):
            return numpy_dice(logits, mask)

A test class may override:

- ``make()`` (required): a new loss.
- ``expected(logits, mask)``: the value by the formula, from float64 NumPy arrays (B, K, H, W) and
  (B, H, W), independent of the implementation. Without it, values are not compared.
- ``num_classes``: classes of the logits; 3 or more, 4 by default.
- ``perfect``: the value of a confident correct prediction, 0 by default; None if unknown.
- ``classes_permute``: True if the order of the classes does not matter.
- ``turns``: True if flips and quarter turns of both inputs keep the value.
- ``huge_logits_move``: True if logits of +-1e4 give a nonzero gradient (cross entropy).
- ``half_tolerance``: relative tolerance between half-precision inputs and the same in float32;
  both are computed in float32.
- ``rtol``: relative tolerance of ``expected``, 1e-9 by default.
"""

import itertools

import numpy as np
import pytest
import torch
from device_checks import check_never_waits

VOID = 255


def random_logits(shape, seed=0, dtype=torch.float64):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def label_maps():
    """Return label maps (2, 9, 7) by name; class 3 is absent everywhere."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 3, (2, 9, 7))
    blocks = noise[:, ::3, ::3].repeat(3, 1).repeat(3, 2)[:, :, :7]
    void = np.where(rng.random(blocks.shape) < 0.3, VOID, blocks)
    void[0, :3] = VOID
    filled = np.zeros_like(noise)
    filled[1] = blocks[1]
    pixel = np.zeros_like(noise)
    pixel[0, 4, 3], pixel[1, 2, 2] = 1, 2
    border = np.zeros_like(noise)
    border[0, :, 0], border[0, -1, 2:], border[1, 0, 0], border[1, 3:6, -1] = 1, 2, 1, 2
    void_image = blocks.copy()
    void_image[0] = VOID
    everywhere = np.full_like(noise, 2)
    maps = {
        "noise": noise,
        "blocks": blocks,
        "void": void,
        "one class fills an image": filled,
        "one class fills all": everywhere,
        "one-pixel objects": pixel,
        "objects on the border": border,
        "an image of void": void_image,
    }
    return {name: torch.from_numpy(labels).long() for name, labels in maps.items()}


LABEL_MAPS = label_maps()
on_each_label_map = pytest.mark.parametrize("mask", LABEL_MAPS.values(), ids=LABEL_MAPS.keys())


def value_and_gradient(loss, logits, mask):
    logits = logits.clone().requires_grad_()
    value = loss(logits, mask)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def softmax(logits):
    """Softmax of a NumPy array over axis 1, in float64."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def mean_of_images(formula, logits, mask, **arguments):
    """Mean of ``formula(logits, mask)`` over the images with a valid pixel; NumPy arrays."""
    return np.mean(
        [
            formula(logits[b : b + 1], mask[b : b + 1], **arguments)
            for b in range(len(mask))
            if (mask[b] != VOID).any()
        ]
    )


class LossContract:
    num_classes = 4
    perfect = 0.0
    classes_permute = True
    turns = True
    huge_logits_move = False
    half_tolerance = 1e-5
    rtol = 1e-9

    def make(self):
        raise NotImplementedError

    expected = None

    @pytest.fixture
    def loss(self):
        return self.make()

    @pytest.fixture
    def logits(self):
        return random_logits((2, self.num_classes, 9, 7))

    @on_each_label_map
    def test_equals_the_formula(self, loss, logits, mask):
        if self.expected is None:
            pytest.skip("its values are tested separately")
        expected = self.expected(logits.numpy(), mask.numpy())
        assert loss(logits, mask).item() == pytest.approx(expected, rel=self.rtol, abs=1e-12)

    def test_is_a_scalar_of_the_logits_type(self, loss, logits):
        mask = LABEL_MAPS["blocks"]
        for dtype in (torch.float32, torch.float64):
            value = loss(logits.to(dtype), mask)
            assert value.shape == ()
            assert value.dtype == dtype

    def test_a_confident_correct_prediction_gives_zero(self, loss):
        if self.perfect is None:
            pytest.skip("the formula says no value")
        mask = LABEL_MAPS["blocks"]
        logits = 100 * torch.nn.functional.one_hot(mask, self.num_classes).movedim(-1, 1).double()
        assert loss(logits, mask).item() == pytest.approx(self.perfect, abs=1e-9)

    def test_void_pixels_change_neither_value_nor_gradient(self, loss, logits):
        mask = LABEL_MAPS["void"]
        void = (mask == VOID).unsqueeze(1)
        elsewhere = torch.where(void, 1e4 * random_logits(logits.shape, seed=1), logits)
        value, gradient = value_and_gradient(loss, logits, mask)
        other_value, other_gradient = value_and_gradient(loss, elsewhere, mask)
        assert value == other_value
        assert torch.equal(gradient, other_gradient)
        assert not gradient[void.expand_as(gradient)].any()
        assert gradient.any()

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_non_finite_logits_at_void_change_neither_value_nor_gradient(
        self, loss, logits, number
    ):
        mask = LABEL_MAPS["void"]
        void = (mask == VOID).unsqueeze(1)
        value, gradient = value_and_gradient(loss, logits, mask)
        other = value_and_gradient(loss, logits.masked_fill(void, number), mask)
        torch.testing.assert_close(other, (value, gradient), rtol=1e-12, atol=0)

    def test_a_nan_at_a_valid_pixel_gives_nan(self, loss, logits):
        logits[1, 1, 4, 3] = float("nan")
        assert loss(logits, LABEL_MAPS["blocks"]).isnan()

    @pytest.mark.parametrize("label", [-100, 3, 1000])
    def test_ignore_index_can_be_any_label(self, loss, logits, label):
        mask = LABEL_MAPS["void"]
        expected = value_and_gradient(loss, logits, mask)
        self.ignore(loss, label)
        relabelled = mask.masked_fill(mask == VOID, label)
        torch.testing.assert_close(
            value_and_gradient(loss, logits, relabelled), expected, rtol=0, atol=0
        )

    def ignore(self, loss, label):
        """Set ``label`` as the ignore index."""
        loss.ignore_index = label

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
    def test_masks_may_be_of_any_integer_type_and_have_a_channel(self, loss, logits, dtype):
        mask = LABEL_MAPS["void"]
        expected = value_and_gradient(loss, logits, mask)
        for given in (mask.to(dtype), mask.to(dtype).unsqueeze(1)):
            actual = value_and_gradient(loss, logits, given)
            torch.testing.assert_close(actual, expected, rtol=0, atol=0)

    def test_masks_of_floating_point_are_refused(self, loss, logits):
        with pytest.raises(ValueError, match=r"the mask is torch\.float32, expected integers"):
            loss(logits, LABEL_MAPS["void"].float())

    def test_masks_with_a_channel_for_each_class_are_named(self, loss, logits):
        with pytest.raises(ValueError, match=r"one-hot mask give mask\.argmax\(1\)"):
            loss(logits, torch.zeros_like(logits))

    def test_never_syncs_with_the_device(self):
        check_never_waits(self.make, self.empty_inputs)

    def empty_inputs(self, device):
        mask = torch.empty(2, 9, 7, device=device, dtype=torch.long)
        return torch.empty(2, self.num_classes, 9, 7, device=device), mask

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    def test_a_gpu_gives_the_same_without_a_sync(self, loss, logits):
        mask = LABEL_MAPS["void"]
        expected, slope = value_and_gradient(loss, logits, mask)
        loss.cuda()
        inputs = logits.cuda(), mask.cuda()
        value_and_gradient(loss, *inputs)  # compiles its kernels
        torch.cuda.set_sync_debug_mode("error")
        try:
            value, gradient = value_and_gradient(loss, *inputs)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(value.cpu(), expected)
        torch.testing.assert_close(gradient.cpu(), slope)

    def test_a_batch_of_void_gives_zero_and_a_zero_gradient(self, loss, logits):
        value, gradient = value_and_gradient(loss, logits, torch.full((2, 9, 7), VOID))
        assert value == 0
        assert torch.equal(gradient, torch.zeros_like(logits))

    @on_each_label_map
    def test_huge_logits_give_finite_values_and_gradients(self, loss, logits, mask):
        huge = logits.sign().float() * 1e4
        value, gradient = value_and_gradient(loss, huge, mask)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert gradient.any() or not self.huge_logits_move

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_float32(self, loss, logits, dtype):
        mask = LABEL_MAPS["void"]
        half = logits.to(dtype)
        expected, slope = value_and_gradient(loss, half.float(), mask)
        value, gradient = value_and_gradient(loss, half, mask)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected.item(), rel=self.half_tolerance)
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, slope.to(dtype))
        with torch.autocast("cpu", dtype):
            for scores in (half, half.float()):
                value, gradient = value_and_gradient(loss, scores, mask)
                assert value.dtype == torch.float32
                assert value.item() == pytest.approx(expected.item(), rel=self.half_tolerance)
                torch.testing.assert_close(gradient, slope.to(scores.dtype))

    def test_float32_is_close_to_float64(self, loss, logits):
        mask = LABEL_MAPS["void"]
        expected, slope = value_and_gradient(loss, logits.float().double(), mask)
        value, gradient = value_and_gradient(loss, logits.float(), mask)
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(gradient.double(), slope, rtol=1e-4, atol=1e-7)

    def test_gradient_is_the_derivative(self, loss):
        mask = LABEL_MAPS["void"][:, 2:6, :3]
        logits = random_logits((2, self.num_classes, 4, 3), seed=2).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: loss(x, mask), logits)

    def test_the_order_of_classes_does_not_matter(self, loss, logits):
        if not self.classes_permute:
            pytest.skip("the order of its classes matters")
        mask = LABEL_MAPS["void"]
        value, gradient = value_and_gradient(loss, logits, mask)
        order = torch.randperm(self.num_classes, generator=torch.Generator().manual_seed(3))
        moved = torch.where(mask == VOID, VOID, order.argsort()[mask.clamp(max=2)])
        permuted, permuted_gradient = value_and_gradient(loss, logits[:, order], moved)
        torch.testing.assert_close(permuted, value)
        torch.testing.assert_close(permuted_gradient, gradient[:, order])

    def test_flips_and_quarter_turns_of_both_inputs_leave_the_value(self, loss, logits):
        if not self.turns:
            pytest.skip("it depends on directions")
        mask = LABEL_MAPS["void"]
        value = loss(logits, mask)
        for turns, flip in itertools.product(range(4), [[], [-1]]):
            turned = [x.rot90(turns, (-2, -1)).flip(flip) for x in (logits, mask)]
            torch.testing.assert_close(loss(*turned), value)

    def test_the_memory_layout_does_not_matter(self, loss, logits):
        mask = LABEL_MAPS["void"]
        value, gradient = value_and_gradient(loss, logits, mask)
        other = logits.contiguous(memory_format=torch.channels_last)
        other_value, other_gradient = value_and_gradient(loss, other, mask)
        torch.testing.assert_close(other_value, value)
        torch.testing.assert_close(other_gradient, gradient)

    def test_calls_leave_no_state(self, loss, logits):
        first = loss(logits, LABEL_MAPS["void"])
        state = {name: value.clone() for name, value in loss.state_dict().items()}
        loss(random_logits((1, self.num_classes, 12, 5), seed=4), torch.zeros(1, 12, 5).long())
        loss.eval()
        assert loss(logits, LABEL_MAPS["void"]) == first
        assert all(torch.equal(state[name], value) for name, value in loss.state_dict().items())

    def test_works_in_inference_mode(self, loss, logits):
        mask = LABEL_MAPS["void"]
        with torch.inference_mode():
            assert loss(logits, mask) == loss(logits.clone(), mask)
        assert not loss(logits, mask).requires_grad

    def test_compiles_to_one_graph(self, loss, logits):
        self.check_compiled(loss, logits.float(), "aot_eager")

    @pytest.mark.slow
    def test_compiles_to_fast_code(self, loss, logits):
        self.check_compiled(loss, logits.float(), "inductor")

    def check_compiled(self, loss, logits, backend):
        torch._dynamo.reset()
        compiled = torch.compile(loss, fullgraph=True, backend=backend)
        for mask in (LABEL_MAPS["void"], LABEL_MAPS["one class fills all"]):
            value, gradient = value_and_gradient(loss, logits, mask)
            compiled_value, compiled_gradient = value_and_gradient(compiled, logits, mask)
            torch.testing.assert_close(compiled_value, value)
            torch.testing.assert_close(compiled_gradient, gradient)
