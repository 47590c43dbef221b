"""Datasets as LightningDataModules: samples of image, mask and name."""

from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.camvid import CamVidDataModule
from lightning_seg.data.folder import FolderDataModule
from lightning_seg.data.isprs import ISPRSDataModule
from lightning_seg.data.synthetic import SyntheticDataModule

__all__ = [
    "CamVidDataModule",
    "FolderDataModule",
    "ISPRSDataModule",
    "SegmentationDataModule",
    "SyntheticDataModule",
]
