"""Per-image counts of a run's evaluation, and differences between evaluations."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.names import some
from lightning_seg.experiments.comparison.runs import COUNTS, METRICS, Run, read
from lightning_seg.experiments.comparison.scores import CONTOURS, Scale, contour_sums, scores

# Settings that do not affect any compared score.
_UNUSED = ("curve_tolerances", "surface_distances", "boundary_errors")


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a run on a split.

    Attributes:
        run: The run.
        scale: Names of measures and classes.
        settings: Evaluation settings.
        images: Image names in ascending order.
        truth: Hash of the images and their ground truth.
        counts: Integers (N, C, Q) as float64, for N images and Q classes; rows as in
            `Scale.rows`.
    """

    run: Run
    scale: Scale
    settings: dict[str, Any]
    images: tuple[str, ...]
    truth: str
    counts: NDArray[np.float64]

    @cached_property
    def figures(self) -> NDArray[np.float64]:
        """Scores over all images, as in `scores`."""
        return scores(self.counts.sum(axis=0), self.scale)

    def true_pixels(self, image: int) -> dict[str, int]:
        """Return the pixels of each class in an image's ground truth."""
        row = self.counts[image, self.scale.rows.index("truth")]
        classes = self.scale.classes
        return {name: int(n) for name, n in zip(classes, row[: len(classes)], strict=True)}


def read_evaluation(run: Run, split: str) -> Evaluation:
    """Read the evaluation of a run on a split."""
    folder = run.folder / split
    record = read(folder / METRICS, json.loads)
    rows = read(folder / COUNTS, lambda text: list(csv.DictReader(text.splitlines())))
    if record is None or rows is None:
        raise InputError(f"{folder} lacks {METRICS} or {COUNTS}; evaluate the run again.")
    try:
        evaluation = _evaluation(run, split, record, rows)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder} holds no evaluation of this version ({type(error).__name__}: {error}); "
            "evaluate the run again."
        ) from error
    _check(evaluation, record, folder)
    return evaluation


def _evaluation(
    run: Run, split: str, record: Mapping[str, Any], rows: Sequence[Mapping[str, str]]
) -> Evaluation:
    settings = {k: v for k, v in record["settings"].items() if k not in _UNUSED}
    settings["classes"] = list(record["per_class"])
    scale = Scale(
        classes=tuple(record["per_class"]),
        merged=tuple(record["merged"]),
        widths=tuple(sorted(set(settings["trimap_widths"]))),
        excluded=tuple(settings["excluded_from_mean"]),
        multi_label=settings.get("multi_label", False),
    )
    settings["inference"] = _inference(run, split)
    images = tuple(sorted(record["images"]))
    numbers = {name: i for i, name in enumerate(images)}
    columns = {name: i for i, name in enumerate((*scale.classes, *scale.merged))}
    counts = np.zeros((len(images), len(scale.rows), len(columns)))
    whole = [name for name in scale.rows if name not in ("contour_score", "contour_present")]
    for row in rows:
        values = [float(row[name] or 0) for name in whole]
        counts[numbers[row["name"]], : len(whole), columns[row["class"]]] = values
    contours = counts[:, [scale.rows.index(name) for name in CONTOURS]]
    counts[:, len(whole) :] = contour_sums(contours)
    return Evaluation(run, scale, settings, images, record["truth"], counts)


def _inference(run: Run, split: str) -> Any:
    model = run.evaluation_config(split).get("model")
    arguments = model.get("init_args") if isinstance(model, Mapping) else None
    return arguments.get("inference") if isinstance(arguments, Mapping) else None


def _check(evaluation: Evaluation, record: Mapping[str, Any], folder: Path) -> None:
    for name, count in Counter(evaluation.images).items():
        if count > 1:
            raise InputError(
                f"{folder}: {count} images are called {name}, so their counts cannot be told "
                "apart. Give each image its own name, and evaluate the run again."
            )
    for measure, actual in zip(evaluation.scale.measures, evaluation.figures[:, 0], strict=True):
        recorded = record["scalars"].get(measure)
        if not np.isclose(
            actual, np.nan if recorded is None else recorded, 0, 1e-6, equal_nan=True
        ):
            raise InputError(
                f"{folder}: {COUNTS} gives {measure} {actual:.6f}, {METRICS} {recorded}; the files "
                "are not from the same evaluation. Evaluate the run again."
            )


def differences(first: Evaluation, other: Evaluation) -> list[str]:
    """Return the differences in settings that make two evaluations incomparable."""
    return [
        f"{key} is {_shown(other.settings.get(key))}, not {_shown(first.settings.get(key))}"
        for key in sorted({*first.settings, *other.settings})
        if first.settings.get(key) != other.settings.get(key)
    ]


def other_images(first: Evaluation, other: Evaluation) -> str:
    """Say how the images of an evaluation differ from those of the first, or their ground truth."""
    missing = sorted(set(first.images) - set(other.images))
    added = sorted(set(other.images) - set(first.images))
    if missing or added:
        parts = [f"lacks {some(missing)}" if missing else "", f"has {some(added)}" * bool(added)]
        common = len(set(first.images) & set(other.images))
        shared = f"{common} are shared" if common else "no images are shared"
        return f"its images differ: it {' and '.join(filter(None, parts))}; {shared}"
    for i, name in enumerate(first.images):
        there, here = first.true_pixels(i), other.true_pixels(i)
        wrong = [k for k in there if there[k] != here.get(k)]
        if wrong:
            k = wrong[0]
            return (
                f"the ground truth of {name} differs: {here.get(k)} pixels of {k}, not {there[k]}"
            )
    return "the ground truth of its images differs"


def _shown(value: Any) -> str:
    return "null" if value is None else json.dumps(value, sort_keys=True)
