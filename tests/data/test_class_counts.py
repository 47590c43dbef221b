import json
import os
import shutil

import cv2
import numpy as np
import pytest
import tifffile
import torch
from clean_processes import in_clean_process

from lightning_seg.data import CamVidDataModule, FolderDataModule, ISPRSDataModule
from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.inspection import inspect_dataset
from lightning_seg.data.reading.labels import ColorLabels, IdLabels
from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.sampling import class_counts
from lightning_seg.data.sampling.class_counts import ClassCounts, balanced_weights, count_classes
from lightning_seg.errors import InputError

MASKS = [
    np.array([[0, 0, 0, 1], [0, 0, 1, 255]], np.uint8),
    np.array([[0, 0, 0, 0], [2, 2, 2, 2]], np.uint8),
    np.array([[255, 255, 0, 0], [255, 255, 0, 0]], np.uint8),
]


@pytest.fixture
def folder(tmp_path):
    """Three training images of four classes; the last class never occurs."""
    for split in ("train", "val"):
        for i, mask in enumerate(MASKS):
            for kind, array in (("images", np.zeros((2, 4, 3), np.uint8)), ("masks", mask)):
                path = tmp_path / split / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array if split == "train" else np.zeros_like(array))
    return FolderDataModule(root=tmp_path, num_classes=4, num_workers=0)


def test_median_frequency_is_the_median_over_the_share_where_a_class_occurs(folder):
    frequencies = [13 / (7 + 8 + 4), 2 / 7, 4 / 8]  # pixels over valid pixels of those images
    expected = [0.5 / frequency for frequency in frequencies]
    assert folder.class_weights("median_frequency") == pytest.approx((*expected, 0.0))


def test_inverse_frequency_gives_pixels_a_mean_weight_of_one(folder):
    weights = folder.class_weights("inverse_frequency")
    assert weights == pytest.approx((19 / 3 / 13, 19 / 3 / 2, 19 / 3 / 4, 0.0))
    assert np.dot(weights, [13, 2, 4, 0]) / 19 == pytest.approx(1.0)


def test_an_even_number_of_classes_takes_the_mean_of_the_middle_two():
    counts = ClassCounts(pixels=(1, 3), pixels_around=(4, 4))
    assert balanced_weights(counts, "median_frequency") == pytest.approx((2.0, 2 / 3))


def test_labels_without_a_class_are_refused():
    with pytest.raises(InputError, match="no pixel of any class"):
        balanced_weights(ClassCounts((0, 0), (0, 0)), "median_frequency")


def counted(label, decoder):
    """Return the counts of a label without an image."""
    return count_classes([Pair("a", label, label)], PairReader(decoder, masks_alone=True))


@in_clean_process
def test_workers_count_the_same(folder):
    pairs = folder.pairs("train")
    assert count_classes(pairs, folder.reader, 2) == count_classes(pairs, folder.reader, 0)


def test_counting_leaves_the_random_numbers_of_training_alone(folder):
    before = torch.get_rng_state()
    count_classes(folder.pairs("train"), folder.reader, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_counts_are_cached_until_labels_change(folder, monkeypatch):
    weights = folder.class_weights("median_frequency")
    with monkeypatch.context() as patch:
        patch.setattr(class_counts, "count_classes", None)  # would fail
        assert folder.class_weights("median_frequency") == weights
    label = folder.pairs("train")[0].label
    os.utime(label, ns=(1, 1))
    assert folder.class_weights("median_frequency") == weights


def test_other_classes_are_counted_again(folder):
    folder.class_weights("median_frequency")
    other = FolderDataModule(root=folder.root, palette=[2, 1, 0, 3], num_workers=0)
    one, many = folder.class_weights("inverse_frequency"), other.class_weights("inverse_frequency")
    assert many == (one[2], one[1], one[0], one[3])


def single(root, **settings):
    return FolderDataModule(root, 2, fractions=(1, 0, 0), num_workers=0, **settings)


def test_a_changed_source_of_a_virtual_mask_is_counted_again(tmp_path):
    files = pytest.importorskip("rasterio.shutil")
    source, vrt = tmp_path / "source/a.tif", tmp_path / "masks/a.vrt"
    for folder in ("images", "masks", "source"):
        (tmp_path / folder).mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(source, np.eye(8, dtype=np.uint8))
    files.copy(source, vrt, driver="VRT")
    assert single(tmp_path).class_weights("inverse_frequency") == pytest.approx((64 / 112, 4.0))
    tifffile.imwrite(source, 1 - np.eye(8, dtype=np.uint8))
    assert single(tmp_path).class_weights("inverse_frequency") == pytest.approx((4.0, 64 / 112))


def test_training_and_data_check_weigh_only_pixels_with_data(tmp_path):
    image, mask = np.full((64, 64, 3), 9, np.uint8), np.zeros((64, 64), np.uint8)
    image[:40], mask[40:52] = 0, 1
    for folder, pixels in (("images", image), ("masks", mask)):
        (tmp_path / folder).mkdir()
        tag = [(42113, "s", 0, "0", True)] if folder == "images" else []
        tifffile.imwrite(tmp_path / folder / "a.tif", pixels, extratags=tag)
    data = single(tmp_path)
    weights = data.class_weights("median_frequency")
    assert weights == (1.0, 1.0)
    checked = inspect_dataset(data).splits["train"].counts
    assert balanced_weights(checked, "median_frequency") == weights
    assert (checked.ignored, checked.ignored_by_labels) == (40 * 64, 0)


def test_a_damaged_file_of_counts_is_counted_again(folder):
    weights = folder.class_weights("median_frequency")
    (file,) = (folder.root / ".lightning_seg").iterdir()
    for damage in ("{", "{}", "[]", '{"pixels": 3, "pixels_around": 3}'):
        file.write_text(damage)
        assert folder.class_weights("median_frequency") == weights
    content = file.read_text()
    file.write_text(json.dumps(json.loads(content) | {"pixels": [1, 2, 4, 0]}))
    assert folder.class_weights("median_frequency") == weights
    assert file.read_text() == content


def test_a_read_only_root_is_counted_every_time(folder):
    weights = folder.class_weights("median_frequency")
    shutil.rmtree(folder.root / ".lightning_seg")
    (folder.root / ".lightning_seg").write_text("in the way")
    for _ in range(2):
        assert folder.class_weights("median_frequency") == weights
    assert (folder.root / ".lightning_seg").read_text() == "in the way"


@pytest.fixture
def tile(tmp_path):
    """A label tile too large to read at once, and its ids."""
    ids = np.random.default_rng(0).integers(0, 6, (2100, 2000))
    colors = np.array(list(ISPRS_CLASSES.values()), np.uint8)[ids]
    path = tmp_path / "tile.tif"
    tifffile.imwrite(path, colors, photometric="rgb", compression="zlib", tile=(256, 256))
    return path, ids


def test_a_large_tile_is_counted_whole(tile):
    path, ids = tile
    counts = counted(path, ColorLabels(tuple(ISPRS_CLASSES.values())))
    assert counts.pixels == tuple(np.bincount(ids.ravel()).tolist())
    assert counts.pixels_around == (ids.size,) * 6


def test_an_unknown_colour_in_a_large_tile_is_named_with_its_position(tile):
    path, ids = tile
    colors = np.array([*ISPRS_CLASSES.values(), (1, 2, 3)], np.uint8)
    ids[1999, 7] = 6
    tifffile.imwrite(path, colors[ids], photometric="rgb", compression="zlib")
    with pytest.raises(InputError, match=r"colour \(1, 2, 3\) at row 1999, column 7"):
        counted(path, ColorLabels(tuple(ISPRS_CLASSES.values())))


def test_an_unknown_label_value_is_named_with_its_position(tmp_path):
    path = tmp_path / "label.png"
    cv2.imwrite(str(path), np.array([[0, 9]], np.uint8))
    with pytest.raises(InputError, match=r"label\.png: label value 9 at row 0, column 1"):
        counted(path, IdLabels((0, 1)))


def test_crops_use_the_class_weights_of_whole_tiles(tmp_path):
    ids = np.zeros((64, 64), int)
    ids[:, 48:] = 1
    colors = np.array(list(ISPRS_CLASSES.values()), np.uint8)[ids]
    for name in ("2_Ortho_RGB/top_potsdam_2_10_RGB", "5_Labels_all/top_potsdam_2_10_label"):
        path = tmp_path / f"{name}.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, colors, photometric="rgb")
    data = ISPRSDataModule(tmp_path, train_tiles=["2_10"], crop_size=16, num_workers=0)
    assert data.class_weights("inverse_frequency") == pytest.approx((2 / 3, 2.0, 0, 0, 0, 0))


def test_camvid_weights_are_near_those_of_segnet(camvid_root):
    # Published with SegNet (Badrinarayanan et al., 2017), counted on labels of another version:
    # signs, of which it has fewer, are left out.
    segnet = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 1.8418, 0.6823, 6.2478, 7.3614]
    data = CamVidDataModule(camvid_root)
    # Without the data module's cache, which is kept beside the frames.
    counts = count_classes(data.pairs("train"), data.reader)
    weights = list(balanced_weights(counts, "median_frequency"))
    del weights[6]
    assert weights == pytest.approx(segnet, rel=0.2)
