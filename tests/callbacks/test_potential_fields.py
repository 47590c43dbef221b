import numpy as np
import pytest
import torch
from foreign_modules import ReturnsDict, ReturnsNothing, Scenes, loader, trainer
from matplotlib.colors import to_rgb
from torch import nn

from lightning_seg.callbacks import PotentialFields
from lightning_seg.callbacks.pictures.picture_maps import hatch
from lightning_seg.callbacks.pictures.potential_fields import _line_colors
from lightning_seg.errors import InputError
from lightning_seg.losses import PointLoss
from lightning_seg.losses.potential import anisotropic_convolution

pytestmark = pytest.mark.filterwarnings("ignore")


class WithPointLoss(ReturnsDict):
    class_names = ("ground", "house", "tree")

    def __init__(self, **settings):
        super().__init__()
        self.losses = nn.ModuleDict({"point": PointLoss(**settings)})


def drawn(folder, module, **settings):
    figures = []

    class Keeps(PotentialFields):
        def draw(self, pl_module, sample):
            figures.append(super().draw(pl_module, sample))
            return figures[-1]

    t = trainer(folder, Keeps(num_images=1, **settings))
    t.validate(module, loader(as_dict=True, names=True), verbose=False)
    return figures


def shown(figure):
    return {
        axis.get_title(): np.asarray(axis.images[0].get_array())
        for axis in figure.axes
        if axis.get_title()
    }


def true_mask():
    return Scenes(5, as_dict=True)[2]["mask"]


def test_each_ground_truth_line_has_its_colour_and_void_is_hatched(tmp_path):
    (figure,) = drawn(tmp_path, WithPointLoss(kernel_size=5), class_name="house", crop_size=None)
    mask = true_mask()
    field = anisotropic_convolution((mask == 1).float()[None, None], kernel_size=5)[0, 0, 0].numpy()
    colors = (_line_colors(levels=2)(np.arange(4))[:, :3] * 255).round().astype(np.uint8)
    expected = colors[field.astype(int)]
    expected[mask == 255] = hatch(*mask.shape)[mask == 255][:, None]
    assert np.array_equal(shown(figure)["ground truth, up"], expected)
    assert {tuple(color) for color in colors} <= {tuple(p) for p in expected.reshape(-1, 3)}
    assert (colors[0] == 255).all()
    assert np.array_equal(colors[3], np.round(255 * np.array(to_rgb("0.55"))).astype(np.uint8))


def test_directions_and_kernel_come_from_the_modules_loss_or_the_arguments(tmp_path):
    module = WithPointLoss(splitter="B", kernel_size=3)
    (figure,) = drawn(tmp_path, module)
    names = ("up left", "down right", "up right", "down left")
    assert {f"{kind}, {name}" for kind in ("ground truth", "prediction") for name in names} <= set(
        shown(figure)
    )
    assert "line 1" in bar_labels(figure)
    assert "line 2" not in bar_labels(figure)
    (figure,) = drawn(tmp_path, module, splitter="C", kernel_size=9)
    assert sum(title.startswith("ground truth, ") for title in shown(figure)) == 8
    assert "line 4" in bar_labels(figure)
    assert (tmp_path / "pictures" / "val_potential_fields" / "scene_2.png").is_file()


def bar_labels(figure):
    return [label.get_text() for axis in figure.axes for label in axis.get_yticklabels()]


def test_the_difference_of_potentials_equals_the_point_loss(tmp_path):
    module = WithPointLoss(norm="l1")
    (figure,) = drawn(tmp_path, module, class_name="tree", crop_size=None)
    scene = Scenes(5, as_dict=True)[2]
    valid = scene["mask"] != 255
    fields = [
        anisotropic_convolution((maps * valid)[None, None])[:, 0, 0]
        for maps in (scene["image"].softmax(0)[2], (scene["mask"] == 2).float())
    ]
    expected = (fields[0] - fields[1]).abs()[3]
    actual = {t: m for t, m in shown(figure).items() if t.startswith("difference, right")}
    ((title, difference),) = actual.items()
    np.testing.assert_allclose(difference, expected, atol=1e-5)
    assert title == f"difference, right: mean {expected[valid].mean():.3f}"


def test_the_part_with_the_most_boundary_of_the_class_is_shown(tmp_path):
    (figure,) = drawn(tmp_path, WithPointLoss(), class_name="house", crop_size=14)
    actual = shown(figure)
    assert actual["part of it"].shape == (14, 14, 3)
    assert actual["probability of house"].shape == (14, 14)
    # The house is 9 x 12 pixels at most, so all that lies deep in it is in the part.
    house = (true_mask() == 1).float()
    deep = int((anisotropic_convolution(house[None, None])[0] == 4).sum())
    inside = np.round(255 * np.array(_line_colors(3)(4)[:3]))
    assert deep > 0
    assert (actual["ground truth, up"] == inside).all(axis=-1).sum() == deep


def test_an_absent_class_is_drawn_too(tmp_path):
    class Houseless(WithPointLoss):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            outputs = super().validation_step(batch, batch_idx)
            return outputs | {"mask": outputs["mask"].masked_fill(outputs["mask"] == 1, 0)}

    (figure,) = drawn(tmp_path, Houseless(), class_name="house", crop_size=8)
    assert (shown(figure)["ground truth, up"] == 255).all()


def test_it_works_with_modules_trained_without_these_losses(tmp_path):
    t = trainer(tmp_path, PotentialFields(num_images=2))
    t.validate(ReturnsNothing(), loader(), verbose=False)
    assert len(list((tmp_path / "pictures" / "val_potential_fields").iterdir())) == 2


def test_modules_and_settings_that_cannot_be_drawn_are_refused(tmp_path):
    class LabelsOnly(ReturnsDict):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            return {"preds": batch["image"].argmax(1), "mask": batch["mask"]}

    with pytest.raises(InputError, match="predicts labels only"):
        drawn(tmp_path, LabelsOnly())
    with pytest.raises(InputError, match="class_name names 'car'"):
        drawn(tmp_path, WithPointLoss(), class_name="car")
    with pytest.raises(InputError, match="crop_size is 0"):
        PotentialFields(crop_size=0)
    with pytest.raises(ValueError, match="kernel_size is 4"):
        PotentialFields(kernel_size=4)


def test_void_has_no_potential_in_the_prediction(tmp_path):
    (figure,) = drawn(tmp_path, WithPointLoss(), class_name="ground", crop_size=None)
    scene = Scenes(5, as_dict=True)[2]
    valid = scene["mask"] != 255
    assert (~valid).any()
    probability = torch.where(valid, scene["image"].softmax(0)[0], 0)
    field = anisotropic_convolution(probability[None, None])[0, 0, 0]
    colors = (_line_colors(3)(field.round().long().numpy())[..., :3] * 255).round()
    actual = shown(figure)["prediction, up"]
    assert np.array_equal(actual[valid.numpy()], colors[valid.numpy()])
