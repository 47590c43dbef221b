"""Inference: a network's call over an image larger or other than it was trained on."""

from lightning_seg.inference.sliding_window import SlidingWindow

__all__ = ["SlidingWindow"]
