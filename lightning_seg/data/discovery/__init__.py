"""What a folder of images and masks holds, as settings of `FolderDataModule`."""

from lightning_seg.data.discovery.classes import find_classes
from lightning_seg.data.discovery.image_format import Images, find_image_format
from lightning_seg.data.discovery.layout import find_layout

__all__ = ["Images", "find_classes", "find_image_format", "find_layout"]
