"""``python -m lightning_seg.cli``, as ``lightning-seg``."""

from lightning_seg.cli.segmentation_cli import main

main()
