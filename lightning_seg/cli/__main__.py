"""``python -m lightning_seg.cli``, the same as ``lightning-seg``."""

from lightning_seg.cli.segmentation_cli import main

main()
