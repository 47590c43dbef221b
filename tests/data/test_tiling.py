"""Training on crops of large rasters, and evaluation that covers every pixel once."""

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import seed_everything

from lightning_seg import testing
from lightning_seg.data import FolderDataModule, ISPRSDataModule
from lightning_seg.data.transforms import TransformPipeline
from lightning_seg.errors import InputError
from lightning_seg.inference import SlidingWindow
from lightning_seg.testing.files import write_png, write_tiff

RARE = np.zeros((200, 150), np.uint8)
RARE[130:134, 20:24] = 1


def write(root, mask, suffix=".tif"):
    """One image whose channels are each pixel's row and column, and its mask, in every split."""
    rows, columns = np.indices(mask.shape).astype(np.uint8)
    image = np.dstack([rows, columns, rows])
    for split in ("train", "val", "test"):
        for kind, pixels in (("images", image), ("masks", mask)):
            path = root / split / kind / f"a{suffix}"
            (write_tiff if suffix == ".tif" else write_png)(path, pixels)


def crops(root, **given):
    quick = {"num_classes": 2, "crop_size": 16, "samples_per_epoch": 40, "num_workers": 0}
    module = FolderDataModule(root, **{**quick, **given})
    module.setup("fit")
    seed_everything(0)
    return module.datasets["train"]


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_balanced_crops_show_every_class_equally_often(tmp_path, suffix):
    write(tmp_path, RARE, suffix)
    plain = [bool((crop["mask"] == 1).any()) for crop in crops(tmp_path)]
    balanced = [bool((c["mask"] == 1).any()) for c in crops(tmp_path, class_balanced=True)]
    assert sum(plain) < 5
    assert 10 < sum(balanced) < 30


def test_balanced_crops_stay_inside_and_differ(tmp_path):
    mask = RARE.copy()
    mask[0, 0] = mask[-1, -1] = 1
    write(tmp_path, mask)
    windows = {tuple(c["window"].tolist()) for c in crops(tmp_path, class_balanced=True)}
    assert len(windows) > 25
    for row, column, height, width in windows:
        assert (height, width) == (16, 16)
        assert 0 <= row <= 200 - 16
        assert 0 <= column <= 150 - 16


def test_an_absent_class_is_never_drawn(tmp_path):
    write(tmp_path, RARE)
    dataset = crops(tmp_path, num_classes=5, class_balanced=True)
    assert dataset.locations.pixels.sum(axis=0).tolist() == [200 * 150 - 16, 16, 0, 0, 0]
    assert len(list(dataset)) == 40


def test_balanced_crops_know_where_this_model_has_no_data(tmp_path):
    image, mask = np.full((64, 64, 4), 9, np.uint8), np.zeros((64, 64), np.uint8)
    image[:32, :, 3], mask[:32] = 0, 1
    write_png(tmp_path / "masks/a.png", mask)
    (tmp_path / "images").mkdir()
    alpha = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "images/a.tif", image, **alpha)
    given = {"class_balanced": True, "fractions": (1, 0, 0)}
    for channels, classes in ((4, {0, 1}), (3, {0})):  # alpha is a band of the first model
        dataset = crops(tmp_path, in_channels=channels, **given)
        seen = {crop["mask"][8, 8].item() for crop in dataset}
        assert seen - {255} == classes
    image[..., 3] = 255
    tifffile.imwrite(tmp_path / "images/a.tif", image, **alpha)
    dataset = crops(tmp_path, **given)
    assert {crop["mask"][8, 8].item() for crop in dataset} == {0, 1}
    write_png(tmp_path / "masks/a.png", np.zeros_like(mask))  # while the run goes on
    assert {crop["mask"][8, 8].item() for crop in dataset} == {0}


def test_labels_without_any_class_cannot_be_balanced(tmp_path):
    write(tmp_path, np.full((20, 20), 255, np.uint8))
    with pytest.raises(InputError, match="hold only 255"):
        crops(tmp_path, num_classes=3, class_balanced=True)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    crop_size=st.integers(1, 24),
    balanced=st.booleans(),
)
def test_a_crop_is_part_of_its_raster_and_ignored_beyond(
    tmp_path_factory, size, crop_size, balanced
):
    root = tmp_path_factory.mktemp("raster")
    mask = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size) % 2
    write(root, mask)
    crop = crops(root, crop_size=crop_size, class_balanced=balanced, ignored=[7])[0]
    row, column, height, width = crop["window"].tolist()
    assert crop["mask"].shape == (crop_size, crop_size)
    assert (height, width) == (min(crop_size, size[0]), min(crop_size, size[1]))
    expected = np.full((crop_size, crop_size), 255)
    expected[:height, :width] = mask[row : row + height, column : column + width]
    np.testing.assert_array_equal(crop["mask"], expected)
    shown = (crop["image"][:2, :height, :width] * 255).round().int().numpy()
    np.testing.assert_array_equal(shown[0, :, 0], np.arange(row, row + height))
    np.testing.assert_array_equal(shown[1, 0], np.arange(column, column + width))


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    window=st.integers(2, 24),
    overlap=st.sampled_from([0.0, 0.5, 0.75]),
    padding=st.sampled_from([0, 5]),
)
def test_a_tile_stitched_from_windows_is_the_tile(tmp_path_factory, size, window, overlap, padding):
    root = tmp_path_factory.mktemp("tiles")
    tiles = {"train_tiles": [], "val_tiles": [], "test_tiles": ["2_13"]}
    testing.write_potsdam(root, size=size, tiles={"test": ["2_13"]})
    module = ISPRSDataModule(root, elevation=True, num_workers=0, **tiles)
    module.setup("test")
    (batch,) = module.test_dataloader()
    assert batch["mask"].shape == (1, *size)
    sliding = SlidingWindow((window, window), overlap, batch_size=3, padding=padding)
    stitched = sliding(lambda image: {"image": image}, batch["image"])["image"]
    assert torch.equal(stitched, batch["image"])


def test_an_extra_channel_moves_with_the_image_and_keeps_its_values():
    import albumentations as A

    pipeline = TransformPipeline(
        [
            A.D4(p=1.0),
            A.RandomBrightnessContrast(p=1.0),
            A.PadIfNeeded(min_height=20, min_width=20, border_mode=0, fill=0, fill_mask=255),
        ]
    )
    mask = np.arange(12 * 12, dtype=np.uint8).reshape(12, 12)
    image = np.repeat(mask[..., None], 3, axis=2)
    depth = mask[..., None].astype(np.float32) / 255
    for seed in range(8):
        moved, labels, channel = pipeline.apply(image, mask, depth, seed)
        assert channel.shape == (20, 20, 1)
        assert channel.dtype == np.float32
        padded = labels == 255
        assert (channel[padded] == 0).all()
        np.testing.assert_array_equal(channel[~padded][:, 0], labels[~padded] / np.float32(255))
        assert not np.array_equal(moved[~padded][:, 0], labels[~padded])


def test_without_transforms_an_extra_channel_stays():
    depth = np.ones((2, 2, 1), np.float32)
    assert TransformPipeline().apply(np.zeros((2, 2, 3), np.uint8), None, depth, 0)[2] is depth
