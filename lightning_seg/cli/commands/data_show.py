"""``lightning-seg data show``: draw a contact sheet of samples with their targets."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from lightning_seg.callbacks.pictures.picture_maps import hatched, ink, is_class, paint, rgb
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    draw_sheet,
    patch,
    picture_cell,
    step_to_fit,
    void_patch,
)
from lightning_seg.callbacks.pictures.pictures import png, render
from lightning_seg.data import SegmentationDataModule
from lightning_seg.data.reading.labels import Color
from lightning_seg.data.reading.pairs import check_sizes
from lightning_seg.data.samples import Sample
from lightning_seg.errors import InputError
from lightning_seg.files import write_atomically
from lightning_seg.targets import HSV, ClassBoundary, SignedDistance

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.figure import Figure

ABOUT = "Draw samples with their labels, distances, boundaries and colours on one sheet."


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
    data.prepare_data()
    pairs = data.pairs(options.split)
    if not pairs:
        raise InputError(f"The {options.split} split of {data.root.absolute()} holds no images.")
    check_sizes(pairs, data.decoder, data.reader.image_downscale)
    dataset = data.dataset(options.split, pairs)
    length = len(dataset)  # type: ignore[arg-type]
    count = min(options.samples, length)
    torch.manual_seed(options.seed)
    samples = [dataset[i * length // count] for i in range(count)]
    figure = draw_samples(samples, data.class_names, data.class_colors, options.clip)
    write_atomically(output, png(render(figure)))
    print(f"{count} of {length} samples of {options.split}: {output.absolute()}")
    return 0


def draw_samples(
    samples: Sequence[Sample],
    class_names: Sequence[str],
    class_colors: Sequence[Color],
    clip: float = 10.0,
) -> "Figure":
    """Draw one row per sample: image, label, distance, boundaries, hue and extra channels.

    The distance is measured from each pixel to the boundary of its own class, up to ``clip``
    pixels; it is the largest of the signed distances.
    """
    rows = [Row([*_cells(sample, class_colors, clip)]) for sample in samples]
    masks = [cast(Tensor, sample["mask"]) for sample in samples]
    present = sorted({int(k) for mask in masks for k in mask.unique() if k != 255})
    patches = [*(patch(class_names[k], class_colors[k]) for k in present), void_patch()]
    ratio = float(np.mean([mask.shape[0] / mask.shape[1] for mask in masks]))
    return draw_sheet("", rows, [patches], ratio, max(len(row.cells) for row in rows))


def _cells(sample: Sample, class_colors: Sequence[Color], clip: float) -> list[Cell]:
    from matplotlib import colormaps

    image, mask = cast(Tensor, sample["image"])[None], cast(Tensor, sample["mask"])[None]
    count, labels = len(class_colors), mask[0].numpy()
    void = ~is_class(labels, count)
    distance = SignedDistance(clip)(mask, count)[0].amax(dim=0).numpy().clip(0)
    boundary = ClassBoundary()(mask, count)[0].amax(dim=0).numpy()
    shown = image[0, :3] if image.shape[1] >= 3 else image[0, :1].expand(3, -1, -1)
    painted = (colormaps["viridis"](distance)[..., :3] * 255).astype(np.uint8)
    panels = {
        str(sample["name"])[-40:]: shown.permute(1, 2, 0).numpy().clip(0, 1),
        "label": paint(labels, class_colors),
        f"distance, 0 to {clip:g} px": hatched(painted, void),
        "boundaries": hatched(ink(boundary[None]), void),
    }
    if image.shape[1] >= 3:
        hsv = HSV()(image)[0].numpy().copy()
        hsv[2] = 1
        panels["hue and saturation"] = rgb(hsv)
    for number in range(3, image.shape[1]):
        channel = image[0, number, ..., None].numpy().clip(0, 1)
        panels[f"channel {number + 1}"] = np.repeat(channel, 3, axis=2)
    step = step_to_fit(*labels.shape)
    return [picture_cell(title, pixels, step) for title, pixels in panels.items()]
