"""Output of a comparison: Markdown, CSV, JSON, pictures and a self-contained HTML page."""

import csv
import html
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import markdown

from lightning_seg.callbacks.html_page import html_page, picture_address
from lightning_seg.experiments.comparison.compare import COSTS, Comparison, Result
from lightning_seg.experiments.comparison.figures import draw
from lightning_seg.experiments.comparison.names import mean_of
from lightning_seg.experiments.comparison.page import page
from lightning_seg.own_files import refuse_foreign, write_own

_DIGITS = 8


def write_comparison(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write ``comparison.md``, ``.csv``, ``.json``, ``.html`` and the pictures; return their paths.

    The same runs give the same bytes.
    """
    folder = Path(folder)
    pictures = draw(comparison)
    text = page(comparison, list(pictures))
    files: dict[str, bytes | str] = {
        "comparison.md": text,
        "comparison.csv": _csv(comparison),
        "comparison.json": json.dumps(_json(comparison), indent=2, allow_nan=False) + "\n",
        "comparison.html": _html(text, pictures),
    }
    files |= {f"{name}.png": content for name, content in pictures.items()}
    refuse_foreign(folder / name for name in files)
    for name, content in files.items():
        write_own(folder / name, content)
    return [folder / name for name in files]


def _html(text: str, pictures: Mapping[str, bytes]) -> str:
    """Return the page, which is Markdown, as one HTML file with its pictures inside."""
    title = text.splitlines()[0].removeprefix("# ")
    body = markdown.markdown(html.escape(text, quote=False), extensions=["tables"])
    # Interval and verdict below the score keep tables narrow.
    body = re.sub(r" (\[[^]]*\]) (helps|hurts|not shown)", r"<br>\1<br>\2", body)
    for name, content in pictures.items():
        body = body.replace(f'src="{name}.png"', f'src="{picture_address(content)}"')
    return html_page(title, body)


_COLUMNS = (
    "method", "network", "measure", "class", "runs", "mean", "standard_deviation", "baseline",
    "difference", "low", "high", "verdict",
)  # fmt: skip


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for result in comparison.results:
        writer.writerows(_rows(comparison, result))
    return text.getvalue()


def _rows(comparison: Comparison, result: Result) -> Iterator[dict[str, Any]]:
    """Yield the rows of one method: one per measure and class (or mean), then training costs."""
    method, count = result.method, len(result.figures)
    start = {"method": method.name, "network": method.network}
    for row, measure in enumerate(comparison.measures):
        for column, name in enumerate(comparison.columns):
            mean = _number(result.mean[row, column])
            if mean is None:
                continue
            yield {
                **start,
                "measure": measure,
                "class": name,
                "runs": count,
                "mean": mean,
                "standard_deviation": _number(result.deviation[row, column]),
                **_against(result, row, column),
            }
    others = {"superiority": result.superiority}
    reached = [epoch for epoch in result.reached if epoch is not None]
    others[f"epochs_to_{comparison.reach}"] = list(map(float, reached))
    others |= {key: result.cost(key) for key in COSTS}
    for measure, values in others.items():
        if values:
            mean = _number(mean_of(values))
            yield {**start, "measure": measure, "runs": len(values), "mean": mean}


def _against(result: Result, row: int, column: int) -> dict[str, Any]:
    difference = result.difference
    if difference is None:
        return {}
    return {
        "baseline": difference.baseline,
        "difference": _number(difference.mean[row, column]),
        "low": _number(difference.low[row, column]),
        "high": _number(difference.high[row, column]),
        "verdict": difference.verdict(row, column),
    }


def _json(comparison: Comparison) -> dict[str, Any]:
    return {
        "split": comparison.split,
        "images": comparison.images or None,
        **({"folds": comparison.folds} if comparison.folds > 1 else {}),
        "resamples": comparison.resamples if comparison.has_intervals else None,
        "notes": comparison.notes,
        "methods": [_method(comparison, result) for result in comparison.results],
    }


def _method(comparison: Comparison, result: Result) -> dict[str, Any]:
    return {
        "name": result.method.name,
        "network": result.method.network,
        "runs": _runs(comparison, result),
        "scores": [
            {key: value for key, value in row.items() if key not in ("method", "network", "runs")}
            for row in _rows(comparison, result)
            if "class" in row
        ],
        "superiority": [_number(share) for share in result.superiority],
        "epochs_to": {
            "measure": comparison.reach,
            "score": _number(result.goal),
            "epochs": result.reached,
        },
        "cost": {key: _number(mean_of(result.cost(key))) for key in COSTS},
    }


def _runs(comparison: Comparison, result: Result) -> list[dict[str, Any]]:
    """Return the runs, each with its scores; with pooled folds those of all folds of its seed."""
    trainings = result.method.trainings
    scores = {
        training: {m: _number(v) for m, v in zip(comparison.measures, means, strict=True)}
        for training, means in zip(trainings, result.figures[:, :, 0], strict=True)
    }
    pooled = trainings[0][0] if comparison.folds > 1 else None
    return [
        {
            "folder": str(run.folder),
            "seed": seed,
            "git": run.fit.get("git"),
            "checkpoint": run.record(comparison.split).get("checkpoint"),
            "scores": scores[pooled or images, seed],
        }
        for (images, seed), run in result.method.runs.items()
    ]


def _number(value: float) -> float | None:
    """Return a number for JSON, rounded to machine-independent digits."""
    return None if math.isnan(value) else round(float(value), _DIGITS)
