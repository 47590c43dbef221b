"""Hue, saturation and value."""

import colorsys

import cv2
import numpy as np
import pytest
import torch

from lightning_seg.targets import HSV, rgb_to_hsv


def noise(*shape, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_equals_opencv():
    image = noise(2, 3, 30, 40)
    for rgb, actual in zip(image, rgb_to_hsv(image)):
        hsv = cv2.cvtColor(rgb.movedim(0, -1).contiguous().numpy(), cv2.COLOR_RGB2HSV)
        hsv[..., 0] /= 360
        np.testing.assert_allclose(actual.movedim(0, -1), hsv, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 3, 6])
def test_equals_colorsys_where_channels_tie(levels):
    steps = torch.linspace(0, 1, levels, dtype=torch.float64)
    colors = torch.cartesian_prod(steps, steps, steps)
    expected = [colorsys.rgb_to_hsv(*color) for color in colors.tolist()]
    actual = rgb_to_hsv(colors.T.reshape(1, 3, 1, -1))[0, :, 0].T
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))


def test_grey_and_black_have_neither_hue_nor_saturation():
    hsv = rgb_to_hsv(torch.tensor([0.0, 0.4, 1.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3))
    assert hsv[0, :2].abs().max() == 0
    assert hsv[0, 2, 0].tolist() == pytest.approx([0, 0.4, 1])


def test_a_hue_just_below_one_wraps_to_zero():
    almost = torch.tensor([1.0, 0.0, 1e-9]).view(1, 3, 1, 1)
    assert rgb_to_hsv(almost)[0, 0].item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_result_keeps_dtype_and_range(dtype):
    hsv = rgb_to_hsv(noise(1, 3, 64, 64, dtype=dtype) * 2 - 0.5)
    assert hsv.dtype == dtype
    assert (hsv >= 0).all()
    assert (hsv <= 1).all()
    assert (hsv[:, 0] < 1).all()


def test_the_first_three_bands_are_used():
    image = noise(1, 5, 8, 8)
    assert torch.equal(HSV()(image), rgb_to_hsv(image[:, :3]))


@pytest.mark.parametrize("image", [torch.rand(1, 1, 4, 4), torch.zeros(1, 3, 4, 4).byte()])
def test_images_of_other_shapes_are_refused(image):
    with pytest.raises(ValueError, match="at least 3 channels"):
        HSV()(image)


def test_its_key_is_its_name():
    assert HSV().key == "hsv"
