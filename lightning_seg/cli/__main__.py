"""``python -m lightning_seg.cli``, the same as ``lightning-seg``."""

from lightning_seg.cli.entry import main

main()
