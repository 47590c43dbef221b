"""Inference: a network's call over an image larger or other than it was trained on."""

from lightning_seg.inference.sliding_window import SlidingWindow
from lightning_seg.inference.test_time_augmentation import TestTimeAugmentation

__all__ = ["SlidingWindow", "TestTimeAugmentation"]
