"""``lightning-seg frames``: predictions of several runs for the same frames, on one sheet."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lightning_seg.callbacks.pictures.chosen_samples import to_rgb
from lightning_seg.callbacks.pictures.picture_maps import Pixels, entropy, judged, paint, paint_over
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    class_patches,
    draw_sheet,
    patch,
    picture_cell,
    step_to_fit,
)
from lightning_seg.callbacks.pictures.pictures import Picture, entropy_cell, render
from lightning_seg.checkpoints import find_checkpoint
from lightning_seg.cli.commands.data import data_of_run
from lightning_seg.cli.commands.export_model import load_task
from lightning_seg.data import SegmentationDataModule
from lightning_seg.data.base import Split
from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.runs import split_name
from lightning_seg.own_files import refuse_foreign, write_own
from lightning_seg.tasks import SegmentationTask

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

ROWS = ("prediction", "over_image", "errors", "boundaries", "entropy")
"""Rows that can be shown: classes, classes over the image, errors in the whole image and along
boundaries, entropy."""
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MOST_ACROSS = 6  # methods


@dataclass
class Method:
    """A trained task and the data it was evaluated on."""

    name: str
    task: SegmentationTask
    data: SegmentationDataModule


@dataclass
class Frame:
    """An image, its ground truth and the logits of each method.

    Args:
        name: The image's name.
        image: (H, W, 3) uint8.
        truth: (H, W) class indices; other values are ignored.
        logits: (K, H, W) by method.
    """

    name: str
    image: Pixels
    truth: NDArray[np.integer]
    logits: dict[str, torch.Tensor]


def load_method(argument: str, checkpoint: str, data_options: Sequence[str] = ()) -> Method:
    """Load the method of ``NAME=RUN`` or ``RUN``, a run's folder or one of its checkpoints.

    Args:
        argument: The command-line argument.
        checkpoint: ``best`` or ``last``, for folders.
        data_options: Options that override the run's data settings, such as ``--data.root``.
    """
    name, given = split_name(argument)
    path = Path(given)
    run_dir = _run_dir(path)
    config = run_dir / "config.yaml"
    if not config.is_file():
        raise InputError(
            f"{given} is not a run: there is no {config}. Give the folder of a run, or one of "
            "its checkpoints."
        )
    resolved = find_checkpoint(str(path) if path.is_file() else checkpoint, run_dir)
    return Method(name or run_dir.name, load_task(resolved), data_of_run(config, data_options))


def names_by_difference(arguments: Sequence[str]) -> dict[str, str]:
    """Return names for runs without one whose folders have the same name: where their paths differ.

    ``runs/dice/seed1`` and ``runs/sobel/seed1`` are ``dice`` and ``sobel``.
    """
    unnamed = [argument for argument in arguments if split_name(argument)[0] is None]
    folders = [Path(os.path.abspath(_run_dir(Path(path)))) for path in unnamed]
    if len({folder.name for folder in folders}) == len(folders):
        return {}
    start = os.path.commonpath(folders)
    parts = [folder.relative_to(start).parts for folder in folders]
    if len(set(parts)) < len(parts) or () in parts:  # one run twice, or inside another
        return {}
    while len({each[-1] for each in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [each[:-1] for each in parts]
    return {path: "/".join(each) for path, each in zip(unnamed, parts)}


def _run_dir(path: Path) -> Path:
    """Return the folder of a run that is given by its folder or one of its checkpoints."""
    return path.resolve().parent.parent if path.is_file() else path


def predict_frames(
    methods: Sequence[Method], split: Split, names: Sequence[str] | None, count: int
) -> list[Frame]:
    """Run all methods on the same frames.

    Args:
        methods: Methods to compare; image and ground truth are taken from the first.
        split: Split of the frames.
        names: Names of the frames; by default ``count`` frames spread over the split.
        count: Number of frames if there are no names.
    """
    _check(methods)
    chosen = _chosen(methods[0].data, split, names, count)
    frames: list[Frame] = []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for number, method in enumerate(methods):
        method.task.to(device)
        for index, sample in enumerate(_samples(method, split, chosen)):
            mask = sample["mask"].numpy()
            if number == 0:
                frames.append(Frame(chosen[index], to_rgb(sample["image"]), mask, {}))
            frame = frames[index]
            if mask.shape != frame.truth.shape:
                raise InputError(
                    f"{frame.name} is {mask.shape[1]} x {mask.shape[0]} pixels to {method.name}, "
                    f"but {frame.truth.shape[1]} x {frame.truth.shape[0]} to {methods[0].name}. "
                    "Compare runs with the same size of evaluation images (data.eval_transforms)."
                )
            with torch.inference_mode():
                predictions = method.task.infer(sample["image"][None].to(device))
            frame.logits[method.name] = predictions["logits"][0].float().cpu()
        method.task.cpu()
    return frames


def draw_frames(
    frames: Sequence[Frame],
    class_names: Sequence[str],
    class_colors: Sequence[tuple[int, int, int]],
    rows: Sequence[str] = ("prediction", "boundaries"),
    positive: int | None = None,
    title: str = "",
) -> "Figure":
    """Draw image and ground truth in the first column, then one column per method.

    More than six methods are listed down the sheet instead, with the frames side by side.

    Args:
        frames: Frames to show.
        class_names: K names.
        class_colors: K colours.
        rows: Rows of each frame, from `ROWS`.
        positive: Class whose true positives, false positives and false negatives are shown instead
            of correct and wrong pixels of all classes.
        title: Title of the sheet; may be empty.
    """
    sheet_rows: list[Row] = []
    for frame in frames:
        step = step_to_fit(*frame.truth.shape)
        given = [
            picture_cell(frame.name, frame.image, step),
            picture_cell("ground truth", paint(frame.truth, class_colors), step),
        ]
        pictures = {
            method: Picture(
                "", frame.image, frame.truth, logits.argmax(dim=0).numpy(), class_names,
                class_colors, entropy(logits[None, :, ::step, ::step])[0].numpy(),
                positive=positive,
            )
            for method, logits in frame.logits.items()
        }  # fmt: skip
        # A single row holds both; otherwise the first two rows hold one each.
        first = [given] if len(rows) == 1 else [[cell] for cell in given]
        for number, kind in enumerate(rows):
            before: list[Cell | None] = [*first[number]] if number < len(first) else [None]
            after = [_cell(kind, picture, step) for picture in pictures.values()]
            for method, cell in zip(pictures, after if number == 0 else ()):
                cell.title = f"{method}, {cell.title}" if cell.title else method
            sheet_rows.append(Row([*before, *after]))
    truths = np.concatenate([frame.truth.ravel() for frame in frames])[None]
    predicted = [maps.argmax(dim=0).flatten() for f in frames for maps in f.logits.values()]
    legends = [class_patches(truths, torch.cat(predicted).numpy()[None], class_names, class_colors)]
    if {"errors", "boundaries"} & set(rows):
        verdicts = next(iter(pictures.values())).verdicts
        legends.append([patch(verdict.name, verdict.color) for verdict in verdicts])
    ratio = float(np.mean([frame.truth.shape[0] / frame.truth.shape[1] for frame in frames]))
    if len(frames[0].logits) > _MOST_ACROSS:
        sheet_rows = [Row([*cells]) for cells in zip(*(row.cells for row in sheet_rows))]
    columns = max(len(row.cells) for row in sheet_rows)
    return draw_sheet(title, sheet_rows, legends, ratio, columns)


def _cell(kind: str, picture: Picture, step: int) -> Cell:
    """Return a cell of one of `ROWS`."""
    if kind == "prediction":
        return picture_cell("", paint(picture.prediction, picture.class_colors), step)
    if kind == "over_image":
        labels = picture.prediction
        return picture_cell("", paint_over(picture.image, labels, picture.class_colors), step)
    if kind == "entropy":
        assert picture.entropy is not None
        return entropy_cell(f"entropy {picture.entropy.mean():.3f} on average", picture.entropy)
    where, about = ~picture.void, ""
    if kind == "boundaries":
        where, about = picture.band, f" within {picture.width} px of boundaries"
    wrong = (picture.wrong & where).sum() / max(int(where.sum()), 1)
    pixels = judged(picture.image, picture.verdicts, picture.void, where)
    return picture_cell(f"{wrong:.1%} wrong{about}", pixels, step)


def _check(methods: Sequence[Method]) -> None:
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise InputError(
            f"Several runs are called {max(names, key=names.count)}. Give them names: NAME=RUN."
        )
    first = methods[0]
    for method in methods:
        if method.task.multi_label:
            raise InputError(
                f"{method.name} predicts several labels per pixel, which frames does not draw. "
                "Leave it out."
            )
        if method.data.class_names != first.data.class_names:
            raise InputError(
                f"{method.name} has the classes {', '.join(method.data.class_names)}, but "
                f"{first.name} {', '.join(first.data.class_names)}. Compare runs on one dataset."
            )


def _chosen(
    data: SegmentationDataModule, split: Split, names: Sequence[str] | None, count: int
) -> list[str]:
    data.prepare_data()
    available = [pair.name for pair in data.pairs(split)]
    if not available:
        raise InputError(f"The {split} split of {data.root.absolute()} holds no images.")
    if names is None:
        count = min(count, len(available))
        return [available[int((i + 0.5) * len(available) / count)] for i in range(count)]
    missing = [name for name in names if name not in available]
    if missing:
        raise InputError(
            f"--names {missing[0]}: there is no such image in {split}. Available are, e.g., "
            f"{', '.join(available[:3])}."
        )
    return list(names)


def _samples(method: Method, split: Split, names: Sequence[str]) -> list[Any]:
    """Return the samples with these names, transformed as for the method's evaluation."""
    pairs = {pair.name: pair for pair in method.data.pairs(split)}
    missing = [name for name in names if name not in pairs]
    if missing:
        raise InputError(f"{method.name} has no image {missing[0]} in {split}.")
    dataset = method.data.dataset(split, [pairs[name] for name in names])
    return [dataset[index] for index in range(len(names))]


def run(argv: list[str]) -> None:
    """Run ``lightning-seg frames`` with these arguments."""
    parser = _parser()
    options, data_options = parser.parse_known_args(argv)
    unknown = [
        word for word in data_options if word.startswith("--") and not word.startswith("--data.")
    ]
    if unknown:
        parser.error(f"unknown options: {' '.join(unknown)}")
    output = Path(options.output)
    if output.suffix.lower() not in _SUFFIXES:
        raise InputError(f"--output is {output}. Give a name that ends in {', '.join(_SUFFIXES)}.")
    refuse_foreign([output])
    methods = [load_method(run, options.checkpoint, data_options) for run in options.runs]
    names = names_by_difference(options.runs)
    for argument, method in zip(options.runs, methods):
        method.name = names.get(argument, method.name)
    frames = predict_frames(methods, options.split, options.names, options.count)
    data = methods[0].data
    positive = None
    if options.positive_class is not None:
        if options.positive_class not in data.class_names:
            raise InputError(
                f"--positive_class {options.positive_class} is not a class. The classes are: "
                f"{', '.join(data.class_names)}."
            )
        positive = data.class_names.index(options.positive_class)
    figure = draw_frames(
        frames, data.class_names, data.class_colors, options.rows, positive, options.title
    )
    figure.set_dpi(options.dpi)
    written = cv2.imencode(output.suffix, cv2.cvtColor(render(figure), cv2.COLOR_RGB2BGR))[1]
    write_own(output, written.tobytes())
    print(f"{', '.join(frame.name for frame in frames)}: {output.absolute()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lightning-seg frames",
        description="Draw predictions of several runs for the same frames: image and ground truth, "
        "and each run's prediction and errors. Data options (--data.root FOLDER) override those "
        "of all runs.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="The folder of a run, or one of its checkpoints; NAME=RUN names it.",
    )  # fmt: skip
    parser.add_argument("--names", nargs="+", help="Names of the frames. Default: spread evenly.")
    parser.add_argument(
        "--count", type=int, default=3, help="Number of frames without --names. Default: 3."
    )
    parser.add_argument("--split", choices=("val", "test"), default="val", help="Default: val.")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=["prediction", "boundaries"],
        help="Rows of each frame. Default: prediction boundaries.",
    )  # fmt: skip
    parser.add_argument(
        "--positive_class", help="Show true and false positives and false negatives of this class."
    )
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="Default: best."
    )
    parser.add_argument("--title", default="", help="Title of the sheet.")
    parser.add_argument(
        "--dpi", type=int, default=60, help="A frame is 4 inches wide. Default: 60."
    )
    parser.add_argument("--output", default="frames.jpg", help="The file to write, JPEG or PNG.")
    return parser
