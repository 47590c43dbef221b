import pytest
import torch

from lightning_seg.inference import SlidingWindow, TestTimeAugmentation


def identity(image):
    return {"logits": image, "distance": -image}


@pytest.mark.parametrize("window", [None, SlidingWindow((8, 8), 0.5)])
@pytest.mark.parametrize(("flip", "quarter_turns"), [(True, False), (False, True), (True, True)])
def test_an_identity_network_returns_the_image_bit_for_bit(flip, quarter_turns, window):
    image = torch.rand(2, 3, 13, 18)
    maps = TestTimeAugmentation((1.0,), flip, quarter_turns, window)(identity, image)
    assert torch.equal(maps["logits"], image)
    assert torch.equal(maps["distance"], -image)


def test_an_identity_network_returns_the_resampled_image_at_other_scales():
    ramp = torch.linspace(0, 1, 40).expand(1, 3, 30, 40)
    averaged = TestTimeAugmentation((0.5, 1.0, 2.0), flip=True)(identity, ramp)["logits"]
    torch.testing.assert_close(averaged[..., 2:-2], ramp[..., 2:-2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.25, 1.5, 1.75])
@pytest.mark.parametrize("window", [None, SlidingWindow((16, 16), 0.5, padding=8)])
def test_an_identity_network_returns_a_smooth_image_at_every_scale(scale, window):
    y, x = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 56), indexing="ij")
    ramp = torch.stack([x, y, x - y])[None]
    augmentation = TestTimeAugmentation((scale,), flip=True, quarter_turns=True, window=window)
    maps = augmentation(identity, ramp)
    # A bilinear map that is resampled bilinearly stays itself, but for the border.
    torch.testing.assert_close(
        maps["logits"][..., 3:-3, 3:-3], ramp[..., 3:-3, 3:-3], rtol=0, atol=1e-5
    )
    flat = torch.rand(1, 5, 1, 1).expand(1, 5, 40, 56)
    torch.testing.assert_close(augmentation(identity, flat)["logits"], flat, rtol=0, atol=1e-6)


def record(seen):
    def function(image):
        seen.append(image)
        return {"logits": image, "distance": torch.full_like(image, image.shape[-1])}

    return function


def test_every_view_is_a_different_copy_of_the_image():
    seen = []
    image = torch.rand(1, 1, 5, 7)
    TestTimeAugmentation(flip=True, quarter_turns=True)(record(seen), image)
    assert [tuple(view.shape[-2:]) for view in seen] == [(5, 7), (5, 7), (7, 5), (7, 5)] * 2
    distinct = {tuple(view.flatten().tolist()) + tuple(view.shape) for view in seen}
    assert len(distinct) == 8


def test_scales_resize_the_image():
    seen = []
    TestTimeAugmentation((0.5, 1.0, 1.75))(record(seen), torch.rand(1, 1, 8, 12))
    assert [tuple(view.shape[-2:]) for view in seen] == [(4, 6), (8, 12), (14, 21)]


def test_probabilities_are_averaged_over_scales_and_other_maps_come_from_scale_one():
    image = torch.zeros(1, 1, 4, 6)
    maps = TestTimeAugmentation((0.5, 1.0))(record([]), image)
    assert maps["distance"].unique().tolist() == [6]

    def by_size(view):
        return {"logits": torch.full_like(view, view.shape[-1])}

    assert TestTimeAugmentation((0.5, 1.0))(by_size, image)["logits"].unique().tolist() == [4.5]


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (float("inf"),)])
def test_scales_that_leave_no_pixels_are_refused(scales):
    with pytest.raises(ValueError, match="scales is"):
        TestTimeAugmentation(scales)
