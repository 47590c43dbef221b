from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from clean_processes import in_clean_process
from lightning.pytorch import seed_everything

from lightning_seg.data import ISPRSDataModule
from lightning_seg.data.reading import tiff
from lightning_seg.errors import InputError

REAL = Path(__file__).parents[3] / "shared" / "data"
COLORS = np.array(
    [
        (255, 255, 255),
        (0, 0, 255),
        (0, 255, 255),
        (0, 255, 0),
        (255, 255, 0),
        (255, 0, 0),
        (0, 0, 0),
    ],
    np.uint8,
)


def write_tile(root: Path, tile: str, size=(64, 80), classes=6) -> np.ndarray:
    """Write a tile whose red and green encode row and column; return the class ids."""
    rows, columns = np.indices(size)
    image = np.stack([rows, columns, np.zeros(size, int)], axis=2).astype(np.uint8)
    ids = (rows // 5 + columns // 7) % classes
    for name, array in (
        (f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif", image),
        (f"5_Labels_all/top_potsdam_{tile}_label.tif", COLORS[ids]),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(root / name, array, photometric="rgb", rowsperstrip=8, compression="zlib")
    return ids


def make(root: Path, **settings) -> ISPRSDataModule:
    given = {"train_tiles": ["2_10"], "val_tiles": ["2_11"], "test_tiles": ["2_12"]}
    small = {"crop_size": 16, "samples_per_epoch": 12, "batch_size": 4, "num_workers": 0}
    return ISPRSDataModule(root, **{**given, **small, **settings})


@pytest.fixture
def root(tmp_path):
    for tile in ("2_10", "2_11", "2_12"):
        write_tile(tmp_path, tile)
    return tmp_path


def test_crops_are_parts_of_the_tile_with_their_own_labels(root):
    ids = write_tile(root, "2_10")
    data = make(root)
    data.setup("fit")
    assert len(data.datasets["train"]) == 12
    for index in range(12):
        sample = data.datasets["train"][index]
        row, column = (round(float(part) * 255) for part in sample["image"][:2, 0, 0])
        expected = ids[row : row + 16, column : column + 16]
        np.testing.assert_array_equal(sample["mask"], expected)
        assert sample["image"].shape == (3, 16, 16)


def places(data: ISPRSDataModule) -> list[list[tuple[float, ...]]]:
    seed_everything(0, workers=True)
    loader = data.train_dataloader()
    return [[tuple(i[:2, 0, 0].tolist()) for b in loader for i in b["image"]] for _ in range(2)]


@pytest.mark.parametrize("num_workers", [0, 2])
@in_clean_process
def test_crops_differ_between_epochs_and_workers_and_runs_repeat(root, num_workers):
    data = make(root, num_workers=num_workers)
    data.setup("fit")
    first, second = places(data)
    assert len(set(first + second)) > 20
    assert places(data) == [first, second]


def test_crops_reach_every_corner_of_the_tile(root):
    data = make(root, crop_size=60)
    data.setup("fit")
    seen = {tuple(data.datasets["train"][0]["image"][:2, 0, 0].tolist()) for _ in range(800)}
    assert {round(row * 255) for row, _ in seen} == set(range(5))
    assert {round(column * 255) for _, column in seen} == set(range(21))


def test_a_tile_smaller_than_the_crop_is_mirrored_and_ignored_there(root):
    ids = write_tile(root, "2_10", size=(10, 80))
    data = make(root)
    data.setup("fit")
    sample = data.datasets["train"][0]
    column = round(float(sample["image"][1, 0, 0]) * 255)
    np.testing.assert_array_equal(sample["mask"][:10], ids[:, column : column + 16])
    assert (sample["mask"][10:] == 255).all()
    torch.testing.assert_close(sample["image"][:, 10:], sample["image"][:, 4:10].flip(1))


def test_evaluation_covers_each_tile_whole_and_once(root):
    ids = write_tile(root, "2_13", size=(50, 30))
    data = make(root, test_tiles=["2_12", "2_13"])
    data.setup("test")
    batches = list(data.test_dataloader())
    names = [batch["name"] for batch in batches]
    assert names == [["top_potsdam_2_12_RGB"], ["top_potsdam_2_13_RGB"]]
    np.testing.assert_array_equal(batches[1]["mask"][0], ids)


def test_predict_needs_no_labels(root):
    (root / "5_Labels_all" / "top_potsdam_2_12_label.tif").unlink()
    data = make(root)
    data.setup("predict")
    (batch,) = data.predict_dataloader()
    assert set(batch) == {"image", "name", "size"}


def test_the_benchmarks_tiles_are_the_default():
    potsdam, vaihingen = ISPRSDataModule(), ISPRSDataModule(area="vaihingen")
    counts = {split: len(tiles) for split, tiles in potsdam.tiles.items()}
    assert (counts["train"] + counts["val"], counts["test"]) == (24, 14)
    counts = {split: len(tiles) for split, tiles in vaihingen.tiles.items()}
    assert (counts["train"] + counts["val"], counts["test"]) == (16, 17)
    assert (potsdam.root, vaihingen.root) == (Path("data/potsdam"), Path("data/vaihingen"))


@pytest.mark.parametrize(("bands", "channels"), [("RGB", 3), ("IRRG", 3), ("RGBIR", 4)])
def test_the_bands_give_the_channels(bands, channels):
    assert ISPRSDataModule(bands=bands).in_channels == channels


@pytest.mark.parametrize(
    ("settings", "image", "label"),
    [
        (
            {"area": "potsdam", "bands": "RGBIR"},
            "4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif",
            "5_Labels_all/top_potsdam_2_10_label.tif",
        ),
        (
            {"area": "potsdam", "bands": "IRRG", "labels": "eroded"},
            "3_Ortho_IRRG/top_potsdam_2_10_IRRG.tif",
            "5_Labels_all_noBoundary/top_potsdam_2_10_label_noBoundary.tif",
        ),
        (
            {"area": "vaihingen"},
            "top/top_mosaic_09cm_area1.tif",
            "gts_for_participants/top_mosaic_09cm_area1.tif",
        ),
        (
            {"area": "vaihingen", "labels": "eroded"},
            "top/top_mosaic_09cm_area1.tif",
            "gts_eroded_for_participants/top_mosaic_09cm_area1_noBoundary.tif",
        ),
    ],
)
def test_files_are_read_under_their_official_names(tmp_path, settings, image, label):
    channels = 4 if "RGBIR" in image else 3
    for name, bands in ((image, channels), (label, 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pixels = np.full((20, 30, bands), 255, np.uint8)
        extra = {"extrasamples": ["unspecified"]} if bands == 4 else {}
        tifffile.imwrite(tmp_path / name, pixels, photometric="rgb", **extra)
    tile = "1" if settings["area"] == "vaihingen" else "2_10"
    data = make(tmp_path, train_tiles=[tile], val_tiles=[], test_tiles=[], **settings)
    (pair,) = data.pairs("train")
    sample = data.dataset("train", [pair])[0]
    assert sample["image"].shape == (channels, 16, 16)
    assert (sample["mask"] == 0).all()


def test_vaihingen_has_only_irrg():
    with pytest.raises(InputError, match="Set bands to IRRG"):
        ISPRSDataModule(area="vaihingen", bands="RGB")


def test_a_missing_folder_says_where_to_ask_and_what_it_holds(tmp_path):
    with pytest.raises(InputError, match=r"does not exist.*www\.isprs\.org.*2_Ortho_RGB"):
        make(tmp_path / "nowhere").setup("fit")


def test_missing_tiles_are_named_with_the_setting_that_chooses_them(root):
    with pytest.raises(InputError, match=r"2 of 4 files.*top_potsdam_9_9_RGB\.tif.*in train_tiles"):
        make(root, train_tiles=["2_10", "9_9"]).setup("fit")


def test_a_tile_in_two_lists_is_refused(root):
    with pytest.raises(InputError, match=r"Tile 2_10 is listed more than once"):
        make(root, test_tiles=["2_10"])


def test_black_in_full_labels_is_unknown_and_suggests_the_eroded_ones(root):
    write_tile(root, "2_12", classes=7)
    data = make(root)
    data.setup("test")
    message = r"2_12_label\.tif: label colour \(0, 0, 0\) at row .*labels: eroded"
    with pytest.raises(InputError, match=message):
        list(data.test_dataloader())


@pytest.mark.parametrize(
    ("color", "class_id"), [((252, 255, 0), 4), ((9, 222, 221), 2), ((225, 227, 227), 0)]
)
def test_colours_of_official_lossy_tiles_are_accepted(root, color, class_id):
    path = root / "5_Labels_all" / "top_potsdam_2_12_label.tif"
    label = tifffile.imread(path)
    label[5, 7] = color
    tifffile.imwrite(path, label, photometric="rgb")
    data = make(root)
    data.setup("test")
    with pytest.warns(UserWarning, match=r"2_12_label\.tif: 0\.02% of the pixels"):
        assert data.datasets["test"][0]["mask"][5, 7] == class_id


def test_an_unknown_colour_in_a_crop_is_named_with_its_place_in_the_tile(root):
    path = root / "5_Labels_all" / "top_potsdam_2_10_label.tif"
    label = tifffile.imread(path)
    label[-1, -1] = (128, 2, 3)
    tifffile.imwrite(path, label, photometric="rgb")
    data = make(root, crop_size=60)
    data.setup("fit")
    draws = (data.datasets["train"][0] for _ in range(2000))
    with pytest.raises(InputError, match=r"\(128, 2, 3\) at row 63, column 79 \(1 unknown"):
        list(draws)


def test_image_and_label_tiles_of_different_sizes_are_named_before_training(root):
    path = root / "5_Labels_all" / "top_potsdam_2_10_label.tif"
    tifffile.imwrite(path, tifffile.imread(path)[:-1], photometric="rgb")
    with pytest.raises(InputError, match=r"2_10_RGB\.tif is 80 x 64.*2_10_label\.tif is 80 x 63"):
        make(root).setup("fit")


needs_real = pytest.mark.skipif(
    not (REAL / "isprs_potsdam").is_dir() or tiff.rasterio is None,
    reason="the real ISPRS samples, or rasterio, are not here",
)


@needs_real
@pytest.mark.parametrize(("area", "tile"), [("potsdam", "2_10"), ("vaihingen", "1")])
def test_real_tiles_with_eroded_labels_are_read(area, tile):
    lists = {"train_tiles": [tile], "val_tiles": [], "test_tiles": []}
    data = ISPRSDataModule(REAL / f"isprs_{area}", area=area, labels="eroded", **lists)
    crops = data.dataset("train", data.pairs("train"))
    whole = data.dataset("val", data.pairs("train"))[0]
    assert crops[0]["image"].shape == (3, 256, 256)
    assert whole["image"].shape == (3, 512, 512)
    assert set(whole["mask"].unique().tolist()) == {0, 1, 2, 3, 4, 255}
