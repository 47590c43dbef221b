"""Inference on images of any size: sliding windows and test-time augmentation."""

from lightning_seg.inference.sliding_window import SlidingWindow
from lightning_seg.inference.stitching import Stitching
from lightning_seg.inference.test_time_augmentation import TestTimeAugmentation
from lightning_seg.inference.window_layout import WindowLayout, whole_image

__all__ = [
    "SlidingWindow",
    "Stitching",
    "TestTimeAugmentation",
    "WindowLayout",
    "whole_image",
]
