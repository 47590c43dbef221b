"""Datasets as LightningDataModules: samples of image, mask and name."""

from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.camvid import CamVidDataModule

__all__ = ["CamVidDataModule", "SegmentationDataModule"]
