"""In every dataset, a label that is no class is named when it is read, in every split."""

import inspect

import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg import data
from lightning_seg.data import (
    CamVidDataModule,
    FolderDataModule,
    ISPRSDataModule,
    SegmentationDataModule,
    SyntheticDataModule,
)
from lightning_seg.errors import InputError

QUICK = {"batch_size": 1, "num_workers": 0}
CROPS = {"crop_size": 32, "samples_per_epoch": 2}


def png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def tiff(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="rgb")


def filled(value, size=(32, 40)):
    channels = () if np.ndim(value) == 0 else (3,)
    return np.full((*size, *channels), value, np.uint8)


def folder(root):
    for i in range(3):
        png(root / "images" / f"{i}.png", filled((9, 9, 9)))
        png(root / "masks" / f"{i}.png", filled(3))
    return FolderDataModule(root, num_classes=3, fractions=(0.34, 0.33, 0.33), **QUICK)


def camvid(root):
    for split in ("train", "val", "test"):
        png(root / split / "a.png", filled((9, 9, 9)))
        png(root / f"{split}annot" / "a.png", filled(12))
    return CamVidDataModule(root, **QUICK)


def isprs(root):
    for tile in ("2_10", "3_12", "2_13"):
        tiff(root / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif", filled((9, 9, 9)))
        tiff(root / f"5_Labels_all/top_potsdam_{tile}_label.tif", filled((128, 128, 128)))
    tiles = {"train_tiles": ["2_10"], "val_tiles": ["3_12"], "test_tiles": ["2_13"]}
    return ISPRSDataModule(root, **tiles, **QUICK, **CROPS)


def synthetic(root):
    counts = {"num_train": 1, "num_val": 1, "num_test": 1, "size": 64}
    module = SyntheticDataModule(root, **counts, **QUICK, **CROPS)
    module.prepare_data()
    for path in module.root.glob("5_Labels_all/*.tif"):
        tiff(path, filled((128, 128, 128), (64, 64)))
    return module


MODULES = {
    FolderDataModule: folder,
    CamVidDataModule: camvid,
    ISPRSDataModule: isprs,
    SyntheticDataModule: synthetic,
}


def test_every_dataset_is_tested():
    exported = {c for c in vars(data).values() if inspect.isclass(c)}
    datasets = {c for c in exported if issubclass(c, SegmentationDataModule)}
    assert datasets - {SegmentationDataModule} == set(MODULES)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("write", MODULES.values(), ids=[c.__name__ for c in MODULES])
def test_a_label_that_is_no_class_is_named_when_it_is_read(tmp_path, write, split):
    module = write(tmp_path)
    module.setup()
    loader = getattr(module, f"{split}_dataloader")()
    with pytest.raises(
        InputError, match=r"label (value 3|value 12|colour \(128, 128, 128\)) at row"
    ):
        next(iter(loader))
