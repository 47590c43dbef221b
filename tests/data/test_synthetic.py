"""SyntheticDataModule: Potsdam's layout on disk, written once, read like Potsdam."""

import numpy as np
import pytest
import tifffile
import torch

from lightning_seg.data.datasets.synthetic import SyntheticDataModule, scene_seed
from lightning_seg.data.reading.tiff import Window, read_raster
from lightning_seg.data.scenes import render_scene
from lightning_seg.errors import InputError

COLOURS = np.array(
    [(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)], np.uint8
)


def module(root, **settings):
    small = {"num_train": 2, "num_val": 1, "num_test": 1, "size": 96, "crop_size": 64}
    small |= {"num_workers": 0, "batch_size": 2, "samples_per_epoch": 4}
    return SyntheticDataModule(root, **(small | settings))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "scenes"


def written(root):
    return {path.relative_to(module(root).root).as_posix() for path in root.rglob("*.tif")}


def contents(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*.tif"))}


def label_file(root, **settings):
    return module(root, **settings).root / "5_Labels_all" / "top_potsdam_2_10_label.tif"


def test_files_have_potsdams_names(root):
    module(root).prepare_data()
    tiles = ("2_10", "2_11", "3_10", "4_10")
    images = {f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles}
    labels = {f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles}
    assert written(root) == images | labels


def test_labels_are_written_in_the_official_colours(root):
    module(root).prepare_data()
    _, labels = render_scene(scene_seed(0, "train", 0), 96)
    np.testing.assert_array_equal(tifffile.imread(label_file(root)), COLOURS[labels])


def test_images_are_stored_without_loss(root):
    module(root).prepare_data()
    image, _ = render_scene(scene_seed(0, "test", 0), 96)
    path = module(root).root / "2_Ortho_RGB" / "top_potsdam_4_10_RGB.tif"
    np.testing.assert_array_equal(tifffile.imread(path), image)


def test_masks_read_back_are_the_drawn_classes(root):
    data = module(root)
    data.prepare_data()
    data.setup("test")
    (batch,) = data.test_dataloader()
    image, labels = render_scene(scene_seed(0, "test", 0), 96)
    np.testing.assert_array_equal(batch["mask"][0], labels)
    pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
    torch.testing.assert_close(batch["image"][0], pixels)


def test_a_windowed_read_equals_the_slice_of_the_whole_tile(root):
    # Wider than one block of the file in both directions, and off its grid.
    module(root, size=600, num_train=1).prepare_data()
    path = label_file(root, size=600)
    window = Window(row=100, column=201, height=300, width=256)
    whole = tifffile.imread(path)
    np.testing.assert_array_equal(read_raster(path, window), whole[100:400, 201:457])


def test_files_can_be_read_by_blocks(root):
    module(root, size=300, num_train=1).prepare_data()
    with tifffile.TiffFile(label_file(root, size=300)) as tiff:
        page = tiff.pages.first
        assert page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_training_crops_have_the_asked_size(root):
    data = module(root)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 3, 64, 64)
    assert batch["mask"].shape == (2, 64, 64)


def test_no_two_splits_or_seeds_share_a_scene():
    seeds = [
        scene_seed(seed, split, index)
        for seed in range(4)
        for split in ("train", "val", "test")
        for index in (0, 1, 99_999)
    ]
    assert len(set(seeds)) == len(seeds)


def test_splits_hold_different_tiles(root):
    tiles = module(root).tiles
    assert not set(tiles["train"]) & set(tiles["val"])
    assert not set(tiles["train"] + tiles["val"]) & set(tiles["test"])


def test_existing_scenes_are_not_written_again(root):
    module(root).prepare_data()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    module(root).prepare_data()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_adding_scenes_keeps_existing_ones(root):
    module(root).prepare_data()
    before = contents(root)
    module(root, num_train=3).prepare_data()
    assert len(contents(root)) == len(before) + 2
    assert before.items() <= contents(root).items()


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": 64}])
def test_runs_of_another_seed_or_size_share_the_root(root, change):
    module(root).prepare_data()
    before = contents(root)
    module(root, **change).prepare_data()
    assert before.items() <= contents(root).items()
    for settings in ({}, change):
        data = module(root, **settings)
        data.setup("test")
        _, labels = render_scene(scene_seed(data.seed, "test", 0), data.size)
        np.testing.assert_array_equal(data.datasets["test"][0]["mask"], labels)


def test_an_interrupted_run_is_completed(root):
    module(root).prepare_data()
    whole = contents(root)
    label_file(root).unlink()
    (module(root).root / "2_Ortho_RGB" / "top_potsdam_3_10_RGB.tif").unlink()
    module(root).prepare_data()
    assert contents(root) == whole


def test_nothing_half_written_is_left_behind(root):
    module(root).prepare_data()
    assert {path.suffix for path in root.rglob("*") if path.is_file()} == {".tif"}
    assert not [path for path in root.rglob("*") if path.name.startswith(".")]


def test_missing_scenes_raise_with_advice(root):
    module(root, seed=1).prepare_data()
    with pytest.raises(InputError, match="prepare_data"):
        module(root).setup("fit")


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"num_val": 0}, "num_val is 0"), ({"size": 16}, "size is 16"), ({"seed": -3}, "seed is -3")],
)
def test_settings_out_of_range_are_named(root, setting, said):
    with pytest.raises(InputError, match=said):
        module(root, **setting)
