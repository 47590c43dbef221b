"""Regions of rasters for evaluation, and crops that do not touch them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_seg import testing
from lightning_seg.data import ISPRSDataModule
from lightning_seg.data.inspection import inspect_dataset
from lightning_seg.data.reading.tiff import Window
from lightning_seg.data.sampling.regions import FreeCorners
from lightning_seg.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"
LOWER_RIGHT, LOWER_LEFT = (0.5, 0.5, 1.0, 1.0), (0.5, 0.0, 1.0, 0.5)


def make(root: Path, **settings) -> ISPRSDataModule:
    quick = {"train_tiles": ["2_10", "7_8"], "crop_size": 16, "num_workers": 0, "batch_size": 1}
    return ISPRSDataModule(root, **{"test_tiles": ["2_13"], **quick, **settings})


def marked(size, windows) -> np.ndarray:
    shown = np.zeros(size, bool)
    for row, column, height, width in windows:
        shown[row : row + height, column : column + width] = True
    return shown


@pytest.mark.parametrize(
    "without",
    [
        [],
        [Window(5, 6, 7, 8)],
        [Window(0, 0, 6, 20), Window(10, 9, 7, 11)],
        [Window(6, 0, 11, 10), Window(6, 10, 11, 10)],
    ],
)
def test_valid_corners_touch_no_excluded_part(without):
    size, crop = (17, 20), (4, 5)
    taken = marked(size, without)
    expected = {
        (row, column)
        for row in range(14)
        for column in range(16)
        if not taken[row : row + 4, column : column + 5].any()
    }
    free = FreeCorners(size, crop, without)
    assert {(r, c) for r in range(14) for c in range(16) if (r, c) in free} == expected
    assert free.count == len(expected)
    assert set(free.on_grid(3)) == {(r, c) for r, c in expected if r % 3 == c % 3 == 0}
    random = np.random.default_rng(0)
    drawn = [free.draw(random) for _ in range(60 * len(expected))]
    assert set(drawn) == expected
    counts = np.array([drawn.count(corner) for corner in expected])
    assert abs(counts - 60).max() < 50  # six standard deviations


def test_there_may_be_no_valid_corner():
    assert FreeCorners((8, 8), (8, 8), [Window(7, 7, 1, 1)]).count == 0


@pytest.mark.parametrize("settings", [{}, {"class_balanced": True}, {"crop_stride": 8}])
def test_training_crops_touch_no_evaluated_region(tmp_path, settings):
    testing.write_potsdam(tmp_path, size=(64, 80))
    regions = {"val_region": LOWER_RIGHT, "test_region": LOWER_LEFT, "test_tiles": None}
    data = make(tmp_path, samples_per_epoch=300, **regions, **settings)
    data.setup("fit")
    windows = [
        data.datasets["train"][i]["window"].tolist() for i in range(len(data.datasets["train"]))
    ]
    seen = marked((64, 80), windows)
    assert not seen[32:].any()
    assert seen[:32].mean() > 0.95


def test_a_region_is_evaluated_as_its_own_image(tmp_path):
    masks = testing.write_potsdam(tmp_path, size=(64, 80))
    data = make(tmp_path, val_region=LOWER_RIGHT, test_region=LOWER_LEFT, test_tiles=None)
    data.setup()
    whole = make(tmp_path, val_tiles=["3_12"]).dataset("val", data.pairs("predict"))
    for split, part in (("val", np.s_[32:, 40:]), ("test", np.s_[32:, :40])):
        samples = [data.datasets[split][i] for i in range(2)]
        for place, sample in enumerate(samples):
            mask = masks["train"][sample["name"]]
            np.testing.assert_array_equal(sample["mask"], mask[part])
            assert torch.equal(sample["image"], whole[place]["image"][:, *part])
    assert data.datasets["predict"][0]["size"].tolist() == [64, 80]


def test_a_region_at_a_quarter_of_the_pixels_has_its_elevation_and_labels(tmp_path):
    testing.write_potsdam(tmp_path, size=(64, 80))
    settings = {"elevation": True, "field_of_view": 4}
    data = make(tmp_path, val_region=LOWER_RIGHT, **settings)
    whole = make(tmp_path, val_tiles=["3_12"], **settings)
    part, all_of_it = (
        m.dataset("val", m.pairs(s))[0] for m, s in ((data, "val"), (whole, "train"))
    )
    assert part["image"].shape == (4, 16, 20)
    torch.testing.assert_close(part["image"], all_of_it["image"][:, 16:, 20:], atol=0.01, rtol=0)
    assert torch.equal(part["mask"], all_of_it["mask"][16:, 20:])


def test_all_labelled_tiles_of_the_benchmark_are_split_by_region():
    data = ISPRSDataModule(val_region=LOWER_RIGHT)
    assert len(data.tiles["train"]) == 24
    assert data.tiles["val"] == data.tiles["train"]
    assert len(data.tiles["test"]) == 14
    assert "val [0.5, 0.5, 1.0, 1.0]" in data.about_splits()


def test_a_grid_visits_every_crop_once_an_epoch(tmp_path):
    testing.write_potsdam(tmp_path, size=(64, 80))
    data = make(tmp_path, val_tiles=["3_12"], crop_stride=16)
    data.setup("fit")
    batches = list(data.train_dataloader())
    seen = [(*batch["name"], *batch["window"][0].tolist()) for batch in batches]
    assert len(set(seen)) == len(seen) == 2 * 4 * 5
    assert {row for _, row, *_ in seen} == {0, 16, 32, 48}


def test_class_weights_ignore_evaluated_regions(tmp_path):
    masks = testing.write_potsdam(tmp_path, size=(64, 80))
    data = make(tmp_path, val_region=LOWER_RIGHT)
    counts = np.zeros(6)
    for tile in ("2_10", "7_8"):
        mask = masks["train"][f"top_potsdam_{tile}_RGB"].copy()
        mask[32:, 40:] = 255
        counts += np.bincount(mask.reshape(-1), minlength=256)[:6]
    expected = np.where(counts > 0, counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1)), 0)
    assert data.class_weights("inverse_frequency") == pytest.approx(tuple(expected))


def test_regions_of_one_tile_are_not_reported_as_shared_images(tmp_path):
    testing.write_potsdam(tmp_path)
    data = make(tmp_path, val_region=LOWER_RIGHT, test_region=LOWER_LEFT, test_tiles=None)
    report = inspect_dataset(data)
    assert report.problems == []
    assert report.splits["val"].sizes == {(32, 40): 2}
    assert report.splits["train"].counts.ignored == 2 * 32 * 80


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_region": (0.5, 0.0, 0.5, 1.0)}, r"val_region is \[0.5, 0.0, 0.5, 1.0\]"),
        ({"val_region": (0.0, 0.0, 1.0, 1.2)}, "as fractions of each raster's height and width"),
        (
            {"val_region": LOWER_RIGHT, "test_region": (0.6, 0.4, 1, 0.6), "test_tiles": None},
            "overlap",
        ),
        ({"val_region": LOWER_RIGHT, "val_tiles": ["3_12"]}, "val_region and val_tiles were both"),
        ({"val_region": LOWER_RIGHT, "fold": 1}, "val_region and fold were both"),
        ({"test_region": LOWER_RIGHT}, "test_region and test_tiles were both"),
        ({"crop_stride": 8, "class_balanced": True}, "either on a grid or around classes"),
        ({"crop_stride": 0}, "crop_stride is 0"),
    ],
)
def test_invalid_regions_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        make(Path("x"), **settings)


def test_a_crop_too_large_to_fit_beside_the_regions_is_refused(tmp_path):
    testing.write_potsdam(tmp_path, size=(64, 80))
    data = make(tmp_path, val_region=LOWER_RIGHT, crop_size=50)
    with pytest.raises(InputError, match="No crop of 50 x 50 pixels fits beside"):
        data.setup("fit")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real ISPRS samples are not here")
@pytest.mark.parametrize(("area", "tile"), [("potsdam", "2_10"), ("vaihingen", "1")])
def test_one_real_crop_can_be_trained_on_validated_and_tested(area, tile):
    data = ISPRSDataModule(
        SHARED / f"isprs_{area}",
        area=area,
        labels="eroded",
        train_tiles=[tile],
        val_region=(0.5, 0.0, 1.0, 0.5),
        test_region=(0.5, 0.5, 1.0, 1.0),
        crop_size=128,
        num_workers=0,
    )
    data.setup("fit")
    data.setup("test")
    crop = data.datasets["train"][0]
    assert crop["window"][0] <= 128
    assert data.datasets["val"][0]["mask"].shape == (256, 256)
    classes = {
        s: set(data.datasets[s][0]["mask"].unique().tolist()) - {255} for s in ("val", "test")
    }
    assert all(len(actual) >= 3 for actual in classes.values())
