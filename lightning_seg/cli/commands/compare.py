"""``lightning-seg compare``: runs against each other, from what stands in their folders."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison import compare, find_runs, write_comparison
from lightning_seg.experiments.comparison.output import markdown
from lightning_seg.experiments.comparison.page import Heading, page
from lightning_seg.experiments.comparison.records import export_records


def run(argv: list[str]) -> None:
    """Compares runs as the arguments after ``lightning-seg compare`` say.

    Raises:
        InputError: No runs, runs that cannot be compared, no such baseline, or files that cannot
            be read or written.
    """
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
            runs = [found for one in arguments.runs for found in find_runs(one)]
            export_records(runs, arguments.records)
    except OSError as error:
        raise InputError(f"The comparison cannot be written: {error}") from error
    blocks = page(comparison, [])
    headings = [number for number, block in enumerate(blocks) if isinstance(block, Heading)]
    shown = [blocks[n] for n in range(len(blocks)) if n < _end_of_differences(blocks, headings)]
    console = Console()
    if console.is_terminal:
        console.print(Markdown(markdown(shown)))
    else:
        print(markdown(shown))
    print(f"Comparison: {', '.join(str(file) for file in files if file.suffix != '.png')}")
    if arguments.records:
        print(f"Records: {Path(arguments.records)}")


def _end_of_differences(blocks: list, headings: list[int]) -> int:
    after = [n for n in headings if blocks[n].text.startswith(("Trimap", "By class", "Training"))]
    return after[0] if after else len(blocks)


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
        description="Compares methods by their runs: scores with means and deviations over seeds, "
        "differences from a baseline with intervals over images and seeds, trimap curves, classes, "
        "superiority, epochs to reach a score, time and memory. Reads run folders alone; see "
        "docs/comparing.md.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="A run's folder, a folder that holds runs at any depth, or NAME=RUN[,RUN...]. "
        "Without a name, runs that differ in the seed (or fold) alone are one method.",
    )
    parser.add_argument("--output", default="comparison", help="Folder. Default: comparison.")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="The method that others are compared with. Default: the one called cross_entropy, "
        "else the first.",
    )
    parser.add_argument(
        "--split",
        choices=("test", "val"),
        help="What is compared. Default: test if all runs were tested, else val.",
    )
    parser.add_argument(
        "--reach",
        metavar="MEASURE=SCORE",
        help="Tell after how many epochs a validation score was reached. Default: the boundary IoU "
        "with which the baseline ends.",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=2000,
        help="How often images and seeds are drawn for an interval. Default: 2000.",
    )
    parser.add_argument(
        "--records",
        metavar="FOLDER",
        help="Copy there, for each run, the small files that a comparison needs.",
    )
    return parser
