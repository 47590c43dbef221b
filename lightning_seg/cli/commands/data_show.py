"""``lightning-seg data show``: draw a contact sheet of samples with their targets."""

from argparse import Namespace
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import ArgumentParser

from lightning_seg.callbacks.pictures.contact_sheet import draw_samples
from lightning_seg.callbacks.pictures.pictures import png, render
from lightning_seg.data import SegmentationDataModule
from lightning_seg.data.reading.pairs import check_alignment
from lightning_seg.errors import InputError
from lightning_seg.own_files import refuse_foreign, write_own


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options for the output file and its content."""
    parser.add_argument("--output", type=str, default="samples.png", help="The PNG to write.")
    parser.add_argument(
        "--split",
        type=Literal["train", "val", "test"],
        default="train",
        help="Samples of this split, after its transforms.",
    )
    parser.add_argument(
        "--samples", type=int, default=6, help="Number of samples, spread over the split."
    )
    parser.add_argument("--clip", type=float, default=10.0, help="Largest distance, in pixels.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of crops and augmentations.")


def run(data: SegmentationDataModule, options: Namespace) -> int:
    """Write the sheet."""
    if options.samples < 1:
        raise InputError(f"--samples is {options.samples}. Set it to 1 or more.")
    output = Path(options.output)
    if output.suffix.lower() != ".png":
        raise InputError(f"--output is {output}, but must end in .png.")
    if data.multi_label:
        raise InputError(
            "data show draws one label per pixel, but these masks have several (data.multi_label). "
            "Look at their bands in a viewer of images; data check counts their pixels."
        )
    refuse_foreign([output])
    data.prepare_data()
    pairs = data.pairs(options.split)
    if not pairs:
        raise InputError(f"The {options.split} split of {data.root.absolute()} holds no images.")
    if not data.reader.masks_alone:
        check_alignment(pairs, data.decoder, data.reader.image_downscale)
    dataset = data.dataset(options.split, pairs)
    length = len(dataset)  # type: ignore[arg-type]
    count = min(options.samples, length)
    torch.manual_seed(options.seed)
    samples = [dataset[i * length // count] for i in range(count)]
    figure = draw_samples(samples, data.class_names, data.class_colors, options.clip)
    write_own(output, png(render(figure)))
    print(f"{count} of {length} samples of {options.split}: {output.absolute()}")
    return 0
