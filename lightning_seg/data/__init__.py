"""Datasets as LightningDataModules: samples of image, mask and name."""

from importlib import import_module

from lightning_seg.errors import needs

with needs("train", "lightning_seg.data"):
    from lightning_seg.data.base import SegmentationDataModule
    from lightning_seg.data.datasets.camvid import CamVidDataModule
    from lightning_seg.data.datasets.celebamask_hq import CelebAMaskHQDataModule
    from lightning_seg.data.datasets.cityscapes import CityscapesDataModule
    from lightning_seg.data.datasets.dfc2015 import DFC2015DataModule
    from lightning_seg.data.datasets.folder import FolderDataModule
    from lightning_seg.data.datasets.helen import HELENDataModule
    from lightning_seg.data.datasets.inria import INRIADataModule
    from lightning_seg.data.datasets.isprs import ISPRSDataModule
    from lightning_seg.data.datasets.sunrgbd import SUNRGBDDataModule
    from lightning_seg.data.datasets.synthetic import SyntheticDataModule
    from lightning_seg.data.datasets.voc import VOCDataModule
    from lightning_seg.data.zoom_rotate import ZoomRotate

__all__ = [
    "CamVidDataModule",
    "CelebAMaskHQDataModule",
    "CityscapesDataModule",
    "DFC2015DataModule",
    "FolderDataModule",
    "HELENDataModule",
    "INRIADataModule",
    "ISPRSDataModule",
    "SUNRGBDDataModule",
    "SegmentationDataModule",
    "SyntheticDataModule",
    "VOCDataModule",
    "ZoomRotate",
]

# Old names in this package; they resolve to their new packages.
_MOVED = {"fake": "lightning_seg.testing", "RasterDataModule": "lightning_seg.prediction"}


def __getattr__(name: str) -> object:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_MOVED[name])
    return module if name == "fake" else getattr(module, name)
