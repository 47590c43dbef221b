"""The command line: ``lightning-seg COMMAND``."""

from lightning_seg.cli.segmentation_cli import main

__all__ = ["main"]
