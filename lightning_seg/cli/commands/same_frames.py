"""Predictions of several runs for the same frames, on one sheet.

python -m lightning_seg.cli.commands.same_frames RUN [NAME=RUN ...] [--names FRAME ...]
    [--output frames.jpg] [--rows prediction boundaries] [--checkpoint best]
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lightning_seg.callbacks.pictures.chosen_samples import to_rgb
from lightning_seg.callbacks.pictures.picture_maps import (
    Pixels,
    boundary_band,
    entropy,
    is_class,
    judged,
    paint,
    paint_over,
    positives_and_negatives,
    right_and_wrong,
)
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    class_patches,
    draw_sheet,
    patch,
    picture_cell,
    step_to_fit,
)
from lightning_seg.callbacks.pictures.pictures import render
from lightning_seg.checkpoints import find_checkpoint
from lightning_seg.cli.commands.data import data_of_run
from lightning_seg.data import SegmentationDataModule
from lightning_seg.data.base import Split
from lightning_seg.errors import InputError
from lightning_seg.files import write_atomically
from lightning_seg.tasks import SegmentationTask

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = ("prediction", "over_image", "errors", "boundaries", "entropy")
"""Rows that can be shown: classes, classes over the image, errors in the whole image and along
boundaries, entropy."""
_SUFFIXES = (".jpg", ".jpeg", ".png")


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

    Raises:
        InputError: If the run or checkpoint does not exist, or is not of a `SegmentationTask`.
    """
    name, _, given = argument.rpartition("=")
    path = Path(given)
    is_file = path.is_file()
    run_dir = path.resolve().parent.parent if is_file else path
    config = run_dir / "config.yaml"
    if not config.is_file():
        raise InputError(
            f"{given} is not a run: there is no {config}. Give the folder of a run, or one of "
            "its checkpoints."
        )
    resolved = find_checkpoint(str(path) if is_file else checkpoint, run_dir)
    assert resolved is not None
    try:
        task = SegmentationTask.load_from_checkpoint(resolved, map_location="cpu").eval()
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{resolved} is not a checkpoint of a SegmentationTask "
            f"({' '.join(str(error).split())[:200]}). Give one written by lightning-seg fit."
        ) from error
    return Method(name or run_dir.name, task, data_of_run(config, data_options))


def see_frames(
    methods: Sequence[Method], split: Split, names: Sequence[str] | None, count: int
) -> list[Frame]:
    """Run all methods on the same frames.

    Args:
        methods: Methods to compare; image and ground truth are taken from the first.
        split: Split of the frames.
        names: Names of the frames; by default ``count`` frames spread over the split.
        count: Number of frames if there are no names.

    Raises:
        InputError: If methods share a name or differ in classes, a frame does not exist, or its
            size differs between methods.
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
        seen = _Seen(frame, class_names, class_colors, positive)
        given = [seen.image, seen.truth]
        # A single row holds both; otherwise the first two rows hold one each.
        first = [given] if len(rows) == 1 else [[cell] for cell in given]
        for number, kind in enumerate(rows):
            before: list[Cell | None] = [*first[number]] if number < len(first) else [None]
            after = [seen.cell(kind, method, number == 0) for method in frame.logits]
            sheet_rows.append(Row([*before, *after]))
    truths = np.concatenate([frame.truth.ravel() for frame in frames])[None]
    predicted = [maps.argmax(dim=0).flatten() for f in frames for maps in f.logits.values()]
    legends = [class_patches(truths, torch.cat(predicted).numpy()[None], class_names, class_colors)]
    if {"errors", "boundaries"} & set(rows):
        legends.append([patch(v.name, v.color) for v in seen.verdicts(seen.frame.truth)])
    ratio = float(np.mean([frame.truth.shape[0] / frame.truth.shape[1] for frame in frames]))
    columns = len(frames[0].logits) + (2 if len(rows) == 1 else 1)
    return draw_sheet(title, sheet_rows, legends, ratio, columns)


@dataclass
class _Seen:
    """Cells of one frame."""

    frame: Frame
    class_names: Sequence[str]
    class_colors: Sequence[tuple[int, int, int]]
    positive: int | None

    def __post_init__(self) -> None:
        self.void = ~is_class(self.frame.truth, len(self.class_names))
        self.step = step_to_fit(*self.frame.truth.shape)
        self.width = max(2, round(0.01 * float(np.hypot(*self.frame.truth.shape))))
        inside = self.frame.truth
        if self.positive is not None:
            inside = np.where(self.void, -1, inside == self.positive)
        self.band = boundary_band(inside, len(self.class_names), self.width)

    @property
    def image(self) -> Cell:
        return self._picture(self.frame.name, self.frame.image)

    @property
    def truth(self) -> Cell:
        return self._picture("ground truth", paint(self.frame.truth, self.class_colors))

    def verdicts(self, labels: NDArray[np.integer]) -> list[Any]:
        if self.positive is None:
            return right_and_wrong(self.frame.truth, labels, self.class_colors)
        return positives_and_negatives(self.frame.truth, labels, self.class_colors, self.positive)

    def cell(self, kind: str, method: str, named: bool) -> Cell:
        draw: Callable[[torch.Tensor], Cell] = {
            "prediction": self._prediction,
            "over_image": self._over_image,
            "errors": self._errors,
            "boundaries": self._boundaries,
            "entropy": self._entropy,
        }[kind]
        cell = draw(self.frame.logits[method])
        if named:
            cell.title = f"{method}, {cell.title}" if cell.title else method
        return cell

    def _prediction(self, logits: torch.Tensor) -> Cell:
        return self._picture("", paint(_labels(logits), self.class_colors))

    def _over_image(self, logits: torch.Tensor) -> Cell:
        return self._picture("", paint_over(self.frame.image, _labels(logits), self.class_colors))

    def _errors(self, logits: torch.Tensor) -> Cell:
        verdicts = self.verdicts(_labels(logits))
        pixels = judged(self.frame.image, verdicts, self.void)
        return self._picture(self._wrong(verdicts, ~self.void), pixels)

    def _boundaries(self, logits: torch.Tensor) -> Cell:
        verdicts = self.verdicts(_labels(logits))
        about = f"{self._wrong(verdicts, self.band)} within {self.width} px of boundaries"
        return self._picture(about, judged(self.frame.image, verdicts, self.void, self.band))

    def _entropy(self, logits: torch.Tensor) -> Cell:
        shown = entropy(logits[None, :, :: self.step, :: self.step])[0].numpy()
        return Cell(f"entropy {shown.mean():.3f} on average", partial(_show_entropy, shown=shown))

    def _picture(self, title: str, pixels: Pixels) -> Cell:
        return picture_cell(title, pixels, self.step)

    def _wrong(self, verdicts: Sequence[Any], where: NDArray[np.bool_]) -> str:
        wrong = sum(int((verdict.where & where).sum()) for verdict in verdicts[1:])
        return f"{wrong / max(int(where.sum()), 1):.1%} wrong"


def _labels(logits: torch.Tensor) -> NDArray[np.integer]:
    return logits.argmax(dim=0).numpy()


def _show_entropy(axis: "Axes", shown: NDArray[np.floating]) -> None:
    axis.imshow(shown, cmap="inferno", vmin=0, vmax=1)


def _check(methods: Sequence[Method]) -> None:
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise InputError(
            f"Several runs are called {max(names, key=names.count)}. Give them names: NAME=RUN."
        )
    first = methods[0]
    for method in methods:
        if method.data.class_names != first.data.class_names:
            raise InputError(
                f"{method.name} has the classes {', '.join(method.data.class_names)}, but "
                f"{first.name} {', '.join(first.data.class_names)}. Compare runs on one dataset."
            )


def _chosen(
    data: SegmentationDataModule, split: Split, names: Sequence[str] | None, count: int
) -> list[str]:
    data.prepare_data()
    there = [pair.name for pair in data.pairs(split)]
    if not there:
        raise InputError(f"The {split} split of {data.root.absolute()} holds no images.")
    if names is None:
        count = min(count, len(there))
        return [there[int((i + 0.5) * len(there) / count)] for i in range(count)]
    missing = [name for name in names if name not in there]
    if missing:
        raise InputError(
            f"--names {missing[0]}: there is no such image in {split}. Available are, e.g., "
            f"{', '.join(there[:3])}."
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
    """Run ``lightning-seg frames`` with these arguments.

    Raises:
        InputError: As in `load_method` and `see_frames`; if the suffix or class is unknown.
    """
    parser = _parser()
    options, data_options = parser.parse_known_args(argv)
    if any(not option.startswith("--data.") for option in data_options[::2]):
        parser.error(f"unknown options: {' '.join(data_options)}")
    output = Path(options.output)
    if output.suffix.lower() not in _SUFFIXES:
        raise InputError(f"--output is {output}. Give a name that ends in {', '.join(_SUFFIXES)}.")
    methods = [load_method(run, options.checkpoint, data_options) for run in options.runs]
    frames = see_frames(methods, options.split, options.names, options.count)
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
    write_atomically(output, written.tobytes())
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


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
