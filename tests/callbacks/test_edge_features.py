from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_modules import ReturnsDict, ReturnsNothing, loader, trainer
from torch import nn

from lightning_seg.callbacks import EdgeFeatureMaps
from lightning_seg.errors import InputError
from lightning_seg.losses import SemedaLoss
from lightning_seg.networks import EdgeNetwork

pytestmark = pytest.mark.filterwarnings("ignore")


class WithSemeda(ReturnsDict):
    def __init__(self, classes=3, right=False):
        super().__init__()
        torch.manual_seed(0)
        self.losses = nn.ModuleDict({"semeda": SemedaLoss(EdgeNetwork(classes))})
        self.right = right

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        outputs = super().validation_step(batch, batch_idx)
        if self.right:  # certain and correct
            known = outputs["mask"].masked_fill(outputs["mask"] == 255, 0)
            outputs["logits"] = 100 * nn.functional.one_hot(known, 3).movedim(-1, 1).float()
        return outputs


def drawn(folder, module, **settings):
    figures = []

    class Keeps(EdgeFeatureMaps):
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


def test_maps_of_each_layer_are_beside_those_of_the_ground_truth(tmp_path):
    module = WithSemeda()
    (figure,) = drawn(tmp_path, module, maps=3)
    actual = shown(figure)
    for layer, number in (("layer 1", 3), ("layer 2", 3), ("edges", 1)):
        for kind in ("prediction", "ground truth"):
            titles = [t for t in actual if t.startswith(layer) and t.endswith(f": {kind}")]
            assert len(titles) == number
    assert (tmp_path / "pictures" / "val_edge_features" / "scene_2.png").is_file()
    assert not (tmp_path / "pictures" / "val").exists()


def test_ground_truth_maps_are_edge_network_activations_without_void(tmp_path):
    module = WithSemeda()
    (figure,) = drawn(tmp_path, module, maps=16)
    mask = loader(as_dict=True).dataset[2]["mask"]
    one_hot = nn.functional.one_hot(mask.where(mask != 255, 0), 3).permute(2, 0, 1).float()
    one_hot[:, mask == 255] = 0
    expected = module.losses["semeda"].edge_network.embeddings(one_hot[None])
    actual = shown(figure)
    np.testing.assert_allclose(actual["layer 1, map 5: ground truth"], expected[0][0, 4].detach())
    np.testing.assert_allclose(actual["edges: ground truth"], expected[2][0, 1].detach())


def test_a_confident_correct_prediction_has_no_difference(tmp_path):
    (figure,) = drawn(tmp_path, WithSemeda(right=True))
    assert [t for t in shown(figure) if "mean difference" in t] == [
        f"layer {n}: mean difference 0.000" for n in (1, 2, 3)
    ]


def test_any_module_works_with_an_edge_network_checkpoint(tmp_path):
    path = tmp_path / "edges.ckpt"
    state = {f"network.{name}": value for name, value in EdgeNetwork(3).state_dict().items()}
    torch.save({"edge_network": {"class_names": None}, "state_dict": state}, path)
    t = trainer(tmp_path, EdgeFeatureMaps(edge_network=str(path), maps=1, num_images=2))
    t.validate(ReturnsNothing(), loader(), verbose=False)
    assert len(list((tmp_path / "pictures" / "val_edge_features").iterdir())) == 2


def test_modules_and_settings_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not trained with SemedaLoss"):
        drawn(tmp_path, ReturnsDict())
    with pytest.raises(InputError, match="trained for 4 classes, but there are 3"):
        drawn(tmp_path, WithSemeda(classes=4))
    with pytest.raises(InputError, match="maps is 17"):
        EdgeFeatureMaps(maps=17)
    with pytest.raises(InputError, match="there is no edge network"):
        EdgeFeatureMaps(edge_network=str(Path(tmp_path, "none.ckpt")))
