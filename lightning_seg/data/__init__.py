"""Datasets as LightningDataModules: samples of image, mask and name."""

from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.camvid import CamVidDataModule
from lightning_seg.data.celebamask_hq import CelebAMaskHQDataModule
from lightning_seg.data.cityscapes import CityscapesDataModule
from lightning_seg.data.dfc2015 import DFC2015DataModule
from lightning_seg.data.folder import FolderDataModule
from lightning_seg.data.helen import HELENDataModule
from lightning_seg.data.inria import INRIADataModule
from lightning_seg.data.isprs import ISPRSDataModule
from lightning_seg.data.sunrgbd import SUNRGBDDataModule
from lightning_seg.data.synthetic import SyntheticDataModule
from lightning_seg.data.voc import VOCDataModule
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
