from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from foreign_modules import Base, HidesItself, ReturnsNothing, WithDistances, loader, trainer
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_seg.callbacks import PredictionPanels
from lightning_seg.callbacks.pictures.chosen_samples import _spread, to_rgb
from lightning_seg.callbacks.pictures.picture_maps import (
    HATCH_DARK,
    HATCH_LIGHT,
    boundary_band,
    entropy,
    judged,
    paint,
    paint_over,
)
from lightning_seg.callbacks.pictures.picture_maps import hatch as hatch_of
from lightning_seg.callbacks.pictures.pictures import Picture, draw, render
from lightning_seg.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")

CAMVID = Path(__file__).resolve().parents[3] / "shared" / "data" / "camvid"


LEFT_RIGHT = [(240, 220, 80), (0, 90, 160)]
RIGHT, WRONG = (125, 200, 130), (215, 20, 30)


def two_halves(shift=0, **kwargs):
    truth = np.zeros((40, 60), np.int64)
    truth[:, 30:] = 1
    return Picture(
        title="halves",
        image=np.full((40, 60, 3), 120, np.uint8),
        truth=truth,
        prediction=np.roll(truth, shift, axis=1) if shift else truth.copy(),
        class_names=["left", "right"],
        class_colors=LEFT_RIGHT,
        **kwargs,
    )


def test_the_band_holds_pixels_within_the_width_of_another_class():
    band = boundary_band(two_halves().truth, 2, width=3)
    assert np.flatnonzero(band.all(axis=0)).tolist() == [27, 28, 29, 30, 31, 32]
    assert np.flatnonzero(band.any(axis=0)).tolist() == [27, 28, 29, 30, 31, 32]


def test_void_and_image_borders_create_no_band():
    labels = np.zeros((20, 20), np.int64)
    labels[5:10] = 255
    assert not boundary_band(labels, 2, width=4).any()


def test_the_band_reaches_across_void_but_excludes_it():
    labels = two_halves().truth
    labels[:, 29:31] = 255
    band = boundary_band(labels, 2, width=3)
    assert np.flatnonzero(band.any(axis=0)).tolist() == [28, 31]


def where(pixels, color):
    """Return the columns of the middle row that are tinted with a colour."""
    tinted = np.array(color) * 0.85 + 0.15 * 120
    return np.flatnonzero((np.abs(pixels[20].astype(int) - tinted) < 1.5).all(axis=-1)).tolist()


def test_in_the_band_errors_are_red_correct_pixels_green_and_the_rest_grey():
    picture = two_halves(shift=2, band_width=4)
    actual = judged(picture.image, picture.verdicts, picture.void, picture.band)
    red, green, blue = actual[20].astype(int).T
    assert where(actual, WRONG) == [30, 31]
    assert where(actual, RIGHT) == [26, 27, 28, 29, 32, 33]
    rest = [*range(26), *range(34, 60)]
    assert np.array_equal(red[rest], green[rest])
    assert np.array_equal(red[rest], blue[rest])


def test_in_the_image_errors_are_red_and_correct_pixels_green():
    picture = two_halves(shift=2)
    actual = judged(picture.image, picture.verdicts, picture.void)
    assert where(actual, WRONG) == [0, 1, 30, 31]
    assert len(where(actual, RIGHT)) == 56


@pytest.mark.parametrize("clash", [(255, 0, 0), (110, 190, 120)])
def test_error_colours_differ_from_class_colours(clash):
    colors = [(40, 40, 200), clash]
    picture = replace(two_halves(shift=2), class_colors=colors)
    right, wrong = picture.verdicts
    assert {right.color, wrong.color}.isdisjoint({RIGHT, WRONG})
    for verdict in (right, wrong):
        difference = np.subtract(verdict.color, colors).astype(float)
        assert np.linalg.norm(difference, axis=1).min() > 80


def test_true_and_false_positives_and_false_negatives_have_their_own_colours():
    picture = two_halves(shift=2, positive=1)
    actual = judged(picture.image, picture.verdicts, picture.void)
    green, pink, blue = (60, 180, 75), (245, 110, 180), (30, 60, 200)
    assert [v.color for v in picture.verdicts] == [green, pink, blue]
    assert where(actual, green) == list(range(32, 60))
    assert where(actual, pink) == [0, 1]
    assert where(actual, blue) == [30, 31]
    true_negatives = actual[20, 2:30]
    assert (true_negatives == true_negatives[:, :1]).all()
    assert "right: IoU 87.5%" in texts(draw(picture))


def test_a_chosen_class_shows_only_its_own_boundaries_and_errors():
    picture = two_halves(positive=1, band_width=2)
    picture = replace(picture, class_names=["a", "b", "c"], class_colors=[(9, 9, 9)] * 3)
    picture.truth[:, 10:20] = 2  # within what is not of class 1
    assert np.flatnonzero(picture.band.any(axis=0)).tolist() == [28, 29, 30, 31]
    assert not picture.wrong.any()
    assert "b: IoU 100.0%" in texts(draw(picture))


def test_void_is_hatched_in_two_greys_wherever_ground_truth_is_shown():
    picture = two_halves(
        shift=2, true_distance=np.zeros((2, 40, 60)), distance=np.zeros((2, 40, 60)),
        true_boundary=np.zeros((2, 40, 60)), boundary=np.zeros((2, 40, 60)),
    )  # fmt: skip
    picture.truth[:10] = 255
    hatch = hatch_of(40, 60)[:10]
    assert set(np.unique(hatch)) == {HATCH_LIGHT, HATCH_DARK}
    for painted in (
        paint(picture.truth, picture.class_colors),
        paint_over(picture.image, picture.truth, picture.class_colors),
        judged(picture.image, picture.verdicts, picture.void),
        judged(picture.image, picture.verdicts, picture.void, picture.band),
    ):
        assert (painted[:10] == hatch[..., None]).all()
        assert not (painted[10:] == hatch_of(40, 60)[10:, :, None]).all(axis=-1).any()
    titles = {axis.get_title(): axis for axis in draw(picture).axes}
    for title in ("true boundaries", "left: true distance"):
        shown = titles[title].images[0].get_array()
        assert (np.asarray(shown)[:10] == hatch[..., None]).all()
    known = titles["left: true distance"].images[1].get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(known))[:10].all()


def test_the_class_overlay_is_transparent():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 3:] = 255
    painted = paint_over(image, np.zeros((4, 6), np.int64), [(200, 40, 40)])
    assert painted[0, 0].tolist() == [120, 24, 24]
    assert painted[0, 5].tolist() == [222, 126, 126]


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_entropy_is_one_for_uniform_and_zero_for_certain_predictions(kind):
    logits = torch.zeros(1, 4, 1, 3)
    logits[0, 2, 0, 1] = 50
    logits[0, :2, 0, 2] = 50
    scores = logits if kind == "logits" else logits.softmax(1)
    torch.testing.assert_close(entropy(scores), torch.tensor([[[1, 0, 0.5]]]), atol=1e-4, rtol=0)


def test_entropy_of_a_binary_channel_is_that_of_two_classes():
    chance = torch.tensor([0.5, 1.0, 0.0, 0.25]).view(1, 1, 1, 4)
    expected = entropy(torch.cat([1 - chance, chance], dim=1))
    torch.testing.assert_close(entropy(chance), expected)
    torch.testing.assert_close(
        entropy(chance.clamp(0.01, 0.99).logit()), entropy(chance.clamp(0.01, 0.99)),
        atol=1e-5, rtol=0,
    )  # fmt: skip
    assert entropy(chance)[0, 0, 0] == 1


def test_a_picture_shows_classes_in_their_colours():
    pixels = render(draw(two_halves()))
    for color in LEFT_RIGHT:
        share = (np.abs(pixels.astype(int) - color) <= 2).all(axis=-1).mean()
        # Half of each of two cells of six.
        assert 0.05 < share < 0.25


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


def test_a_picture_has_titles_scales_and_a_legend():
    distance = np.linspace(-1, 1, 60)[None, None].repeat(40, 1).repeat(2, 0)
    picture = two_halves(
        shift=2, distance=distance, true_distance=-distance, entropy=np.ones((40, 60))
    )
    figure = draw(picture)
    actual = texts(figure)
    for text in (
        "halves", "image", "ground truth", "prediction", "left", "right", "wrong",
        "left: predicted distance", "right: true distance", "boundary", "far in",
        "entropy of the prediction", "undecided",
    ):  # fmt: skip
        assert text in actual
    assert any("wrong within 2 px" in text for text in actual)
    assert "errors: 6.7% wrong" in actual


def test_inner_distances_have_their_own_scale():
    distance = np.linspace(0, 1, 60)[None, None].repeat(40, 1).repeat(2, 0)
    actual = texts(draw(two_halves(distance=distance, true_distance=distance)))
    assert "deepest" in actual
    assert "far out" not in actual


@pytest.mark.parametrize("with_distance", [False, True])
def test_boundaries_and_colours_have_their_own_row(with_distance):
    boundary, red = np.zeros((2, 40, 60)), np.zeros((3, 40, 60))
    boundary[1, :, 28:32] = 1
    red[1:] = 1
    picture = two_halves(boundary=boundary, color=red, distance=boundary if with_distance else None)
    figure = draw(picture)
    actual = texts(figure)
    assert "predicted boundaries" in actual
    assert "predicted colours" in actual
    assert "true colours" not in [axis.get_title() for axis in figure.axes if axis.get_visible()]
    pixels, plain = render(figure), render(draw(two_halves()))
    assert (pixels == (255, 0, 0)).all(axis=-1).mean() > 0.05
    assert pixels.shape[0] > 1.3 * plain.shape[0]
    assert ("deepest" in actual) is with_distance


@pytest.mark.parametrize("void", [False, True])
def test_the_legend_lists_void_only_if_present(void):
    picture = two_halves()
    if void:
        picture.truth[:3] = 255
    assert ("not labelled" in texts(draw(picture))) is void


@pytest.mark.parametrize("fill", [0, 255])
def test_an_image_of_one_class_or_of_void_is_drawn(fill):
    picture = two_halves(distance=-np.ones((2, 40, 60)))
    picture.truth[:] = fill
    picture.prediction[:] = 0
    actual = texts(draw(picture))
    assert "no true boundaries" in actual
    assert ("no labelled pixels" in actual) is (fill == 255)


def axes_of(figure):
    return {axis.get_title(): axis for axis in figure.axes if axis.get_title()}


def test_extra_bands_have_panels_and_colours_show_their_mean_error():
    color = np.full((3, 40, 60), 0.5)
    color[0], color[1] = 0.0, 1.0
    brighter = color.copy()
    brighter[2] = 0.8  # pure red of 0.8 in place of 0.5
    elevation = np.arange(2400.0).reshape(40, 60)
    picture = two_halves(color=brighter, true_color=color, bands={"elevation": elevation})
    axes = axes_of(draw(picture))
    assert np.array_equal(axes["elevation"].images[0].get_array(), elevation)
    error = axes["error of colours: 0.100 of 1"].images[0].get_array()
    np.testing.assert_allclose(error, 0.1)


class Sees(WithDistances):
    """Module with names of channels and classes."""

    class_names = ("ground", "house", "tree")
    channel_names = ("red", "green", "blue", "elevation")

    def __init__(self, extra=0):
        super().__init__()
        self.extra = extra

    def on_before_batch_transfer(self, batch, dataloader_idx):
        shown = batch["image"]
        more = shown[:, :1].expand(-1, self.extra, -1, -1)
        return batch | {"image": torch.cat([shown, more], dim=1)} if self.extra else batch

    def forward(self, x):
        return super().forward(x[:, :3])

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return super().validation_step(batch | {"image": batch["image"][:, :3]}, batch_idx)


def drawn(folder, module, **settings):
    """Return the figures that a validation draws."""
    figures = []

    class Keeps(PredictionPanels):
        def draw(self, pl_module, sample):
            figures.append(super().draw(pl_module, sample))
            return figures[-1]

    t = trainer(folder, Keeps(num_images=1, **settings))
    t.validate(module, loader(as_dict=True, names=True), verbose=False)
    return figures


def test_bands_have_the_names_of_the_module_or_datamodule(tmp_path):
    (figure,) = drawn(tmp_path, Sees(extra=1))
    assert "elevation" in axes_of(figure)
    (figure,) = drawn(tmp_path, Sees(extra=2))
    assert {"channel 4", "channel 5"} <= set(axes_of(figure))


def test_errors_of_a_chosen_class_are_split_into_false_positives_and_negatives(tmp_path):
    (figure,) = drawn(tmp_path, Sees(), positive_class="house")
    assert {"false positive", "false negative"} <= set(texts(figure))
    assert any(title.startswith("house: IoU") for title in axes_of(figure))
    with pytest.raises(InputError, match=r"positive_class names 'car', which is not a class"):
        drawn(tmp_path, Sees(), positive_class="car")


class Binary(Base):
    """Binary module with a single logit: objects against background."""

    num_classes = 2

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        image, mask = batch["image"], batch["mask"]
        mask = torch.where(mask == 255, 255, (mask > 0).long())
        return {"logits": image[:, 1:].amax(1, keepdim=True) - image[:, :1], "mask": mask}


def test_of_two_classes_the_second_is_the_positive_one(tmp_path):
    (figure,) = drawn(tmp_path, Binary())
    assert {"true positive", "false positive", "false negative"} <= set(texts(figure))
    assert any(title.startswith("class 1: IoU") for title in axes_of(figure))


def test_an_ignored_class_is_drawn_as_void(tmp_path):
    (figure,) = drawn(tmp_path, HidesNoVoid(), ignore_index=0)
    assert "not labelled" in texts(figure)


class HidesNoVoid(WithDistances):
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        outputs = super().validation_step(batch, batch_idx)
        return outputs | {"mask": outputs["mask"].masked_fill(outputs["mask"] == 255, 0)}


def test_chosen_samples_are_spread_evenly():
    assert _spread(4, 100) == {12, 37, 62, 87}
    assert _spread(4, 2) == {0, 1}
    assert _spread(0, 5) == set()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_with_any_channels_and_range_are_shown(channels):
    shown = to_rgb(torch.randn(channels, 8, 9))
    assert shown.shape == (8, 9, 3)
    assert (shown.min(), shown.max()) == (0, 255)


def test_a_fit_writes_the_same_samples_every_nth_epoch_and_the_last(tmp_path):
    panels = PredictionPanels(num_images=2, every_n_epochs=2)
    t = trainer(tmp_path, panels, max_epochs=5, num_sanity_val_steps=1)
    t.fit(WithDistances(), loader(as_dict=True), loader(6, as_dict=True, names=True))
    actual = sorted(path.name for path in (tmp_path / "pictures" / "val").iterdir())
    assert actual == [f"scene_{i}_epoch_{e:03d}.png" for i in (1, 4) for e in (1, 3, 4)]


def test_picture_files_are_large_and_not_blank(tmp_path):
    t = trainer(tmp_path, PredictionPanels(num_images=1))
    t.test(WithDistances(), loader(as_dict=True, names=True), verbose=False)
    (path,) = (tmp_path / "pictures" / "test").iterdir()
    pixels = cv2.imread(str(path))
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 1200
    assert pixels.std() > 30


def test_a_module_that_returns_nothing_gets_tensorboard_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    t = trainer(tmp_path, PredictionPanels(num_images=2), logger=logger)
    t.validate(ReturnsNothing(), loader(), verbose=False)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    assert sorted(events.Tags()["images"]) == ["val/sample 1", "val/sample 3"]
    assert not t.lightning_module._forward_hooks


def test_panels_add_no_forward_pass(tmp_path):
    module = ReturnsNothing()
    t = trainer(tmp_path, PredictionPanels(num_images=1))
    t.validate(module, loader(), verbose=False)
    assert module.calls == len(loader())


def test_without_pictures_no_extractor_is_needed(tmp_path):
    t = trainer(tmp_path, PredictionPanels(num_images=0))
    t.validate(HidesItself(), loader(), verbose=False)
    assert not (tmp_path / "pictures").exists()


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"no CamVid frames in {CAMVID}")
def test_a_real_frame_is_drawn():
    from lightning_seg.data.datasets.camvid import CAMVID_CLASSES

    name = sorted(path.name for path in (CAMVID / "val").iterdir())[0]
    image = cv2.imread(str(CAMVID / "val" / name))[..., ::-1].copy()
    truth = cv2.imread(str(CAMVID / "valannot" / name), cv2.IMREAD_UNCHANGED).astype(np.int64)
    colors = list(CAMVID_CLASSES.values())
    picture = Picture(name, image, truth, np.roll(truth, 4, 1), list(CAMVID_CLASSES), colors)
    pixels = render(draw(picture))
    assert (pixels == CAMVID_CLASSES["road"]).all(axis=-1).mean() > 0.02
