"""Every DataModule on a tiny copy of its dataset, for shared tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lightning_seg import testing
from lightning_seg.data import (
    CamVidDataModule,
    CelebAMaskHQDataModule,
    CityscapesDataModule,
    DFC2015DataModule,
    FolderDataModule,
    HELENDataModule,
    INRIADataModule,
    ISPRSDataModule,
    SegmentationDataModule,
    SUNRGBDDataModule,
    SyntheticDataModule,
    VOCDataModule,
)

POTSDAM = {"train_tiles": ["2_10", "7_8"], "val_tiles": ["3_12"], "test_tiles": ["2_13"]}
VAIHINGEN = {
    "area": "vaihingen",
    "train_tiles": ["1", "3"],
    "val_tiles": ["11"],
    "test_tiles": ["2"],
}
CROPS = {"crop_size": 32, "samples_per_epoch": 4}


@dataclass(frozen=True)
class Tiny:
    """A dataset: its writer, its module, and the settings that fit the tiny copy."""

    write: Callable[..., testing.Masks]
    module: type[SegmentationDataModule]
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self, root: Path, **settings: Any) -> SegmentationDataModule:
        quick = {"num_workers": 0, "batch_size": 1, "eval_batch_size": 1}
        data = self.module(root=root, **{**quick, **self.settings, **settings})
        data.prepare_data()
        return data


def write_synthetic(root: Path) -> testing.Masks:
    """Write nothing: the module draws its own scenes."""
    return {}


TINY = {
    "folder": Tiny(testing.write_folder, FolderDataModule, {"num_classes": 3}),
    "folder_crops": Tiny(testing.write_folder, FolderDataModule, {"num_classes": 3, **CROPS}),
    "folder_5_bands_16_bit": Tiny(
        partial(testing.write_folder, channels=5, sixteen_bit=True),
        FolderDataModule,
        {"num_classes": 3, "in_channels": 5, **CROPS},
    ),
    "camvid": Tiny(testing.write_camvid, CamVidDataModule),
    "camvid_original": Tiny(testing.write_camvid_original, CamVidDataModule, {"form": "original"}),
    "cityscapes": Tiny(testing.write_cityscapes, CityscapesDataModule),
    "voc": Tiny(testing.write_voc, VOCDataModule),
    "helen": Tiny(testing.write_helen, HELENDataModule),
    "celebamask_hq": Tiny(testing.write_celebamask_hq, CelebAMaskHQDataModule),
    "sunrgbd": Tiny(testing.write_sunrgbd, SUNRGBDDataModule),
    "potsdam": Tiny(testing.write_potsdam, ISPRSDataModule, POTSDAM | CROPS),
    "potsdam_5_bands": Tiny(
        testing.write_potsdam,
        ISPRSDataModule,
        POTSDAM | CROPS | {"bands": "RGBIR", "elevation": True},
    ),
    "vaihingen": Tiny(testing.write_vaihingen, ISPRSDataModule, VAIHINGEN | CROPS),
    "inria": Tiny(testing.write_inria, INRIADataModule, CROPS),
    "dfc2015": Tiny(testing.write_dfc2015, DFC2015DataModule, CROPS),
    "synthetic": Tiny(
        write_synthetic,
        SyntheticDataModule,
        {"num_train": 1, "num_val": 1, "num_test": 1, "size": 64, **CROPS},
    ),
}
