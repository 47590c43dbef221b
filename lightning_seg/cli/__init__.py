"""The command line: ``lightning-seg COMMAND``."""

from lightning_seg.cli.entry import main

__all__ = ["main"]
