"""``lightning-seg data show``: a contact sheet of training samples with their targets."""

from argparse import Namespace

from jsonargparse import ArgumentParser

from lightning_seg.data import SegmentationDataModule

ABOUT = "Draws samples with their labels, distances, boundaries and colours on one sheet."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds this command's own options."""
    parser.add_argument("--output", type=str, default="samples.png", help="The PNG to write.")


def run(data: SegmentationDataModule, options: Namespace) -> int:
    """Writes the sheet."""
    return 0
