"""``lightning-seg compare``: compare runs from the files in their folders."""

import argparse
import re
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison import compare, find_runs, write_comparison
from lightning_seg.experiments.comparison.page import page
from lightning_seg.experiments.comparison.runs import export_records


def run(argv: list[str]) -> None:
    """Run ``lightning-seg compare`` with these arguments."""
    arguments = _parser().parse_args(argv)
    comparison = compare(
        arguments.runs,
        baseline=arguments.baseline,
        split=arguments.split,
        reach=_goal(arguments.reach),
        resamples=arguments.resamples,
    )
    try:
        files = write_comparison(comparison, arguments.output)
        if arguments.records:
            runs = [run for argument in arguments.runs for run in find_runs(argument)]
            export_records(runs, arguments.records)
    except OSError as error:
        raise InputError(f"The comparison cannot be written: {error}") from error
    shown = re.split(r"^## (?:Trimap|By class|Training)", page(comparison), flags=re.M)[0]
    console = Console()
    if console.is_terminal:
        console.print(Markdown(shown))
    else:
        print(shown)
    print(f"Comparison: {', '.join(str(file) for file in files if file.suffix != '.png')}")
    if arguments.records:
        print(f"Records: {Path(arguments.records)}")


def _goal(text: str | None) -> tuple[str, float] | None:
    if text is None:
        return None
    measure, _, score = text.partition("=")
    try:
        return measure, float(score)
    except ValueError as error:
        raise InputError(
            f"--reach {text}: write MEASURE=SCORE, such as boundary_iou=0.4"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lightning-seg compare",
        description="Compare methods by their runs: scores with means and deviations over seeds, "
        "differences from a baseline with intervals over images and seeds, trimap curves, classes, "
        "superiority, epochs to reach a score, time and memory. Reads only run folders; see "
        "docs/comparing.md.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="A run's folder, a folder with runs at any depth, or NAME=RUN[,RUN...]. "
        "Without a name, runs that differ only in seed (or fold) are one method.",
    )
    parser.add_argument("--output", default="comparison", help="Folder. Default: comparison.")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="The baseline method. Default: cross_entropy if there is one, else the first.",
    )
    parser.add_argument(
        "--split",
        choices=("test", "val"),
        help="The split to compare on. Default: that with more evaluated runs.",
    )
    parser.add_argument(
        "--reach",
        metavar="MEASURE=SCORE",
        help="Report after how many epochs a validation score was reached. Default: the final "
        "boundary IoU of the baseline.",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=2000,
        help="Bootstrap resamples for an interval. Default: 2000.",
    )
    parser.add_argument(
        "--records",
        metavar="FOLDER",
        help="Copy the small files that a comparison needs to this folder, for each run.",
    )
    return parser
