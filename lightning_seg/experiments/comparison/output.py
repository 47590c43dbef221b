"""Output of a comparison: Markdown, CSV, JSON, pictures and a self-contained HTML page."""

import base64
import csv
import html
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_seg.experiments.comparison.compare import COSTS, Comparison, Result
from lightning_seg.experiments.comparison.figures import draw
from lightning_seg.experiments.comparison.names import mean_of
from lightning_seg.experiments.comparison.page import (
    Block,
    Heading,
    Items,
    Picture,
    Text,
    page,
)
from lightning_seg.files import write_atomically

_DIGITS = 8
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto;
  max-width: 84rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.table { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
thead th { border-bottom: 2px solid #888; }
img { max-width: 100%; height: auto; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: 0.9rem; }
"""


def write_comparison(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write ``comparison.md``, ``.csv``, ``.json``, ``.html`` and the pictures; return their paths.

    The same runs give the same bytes.
    """
    folder = Path(folder)
    pictures = draw(comparison)
    blocks = page(comparison, list(pictures))
    files: dict[str, bytes | str] = {
        "comparison.md": markdown(blocks),
        "comparison.csv": _csv(comparison),
        "comparison.json": json.dumps(_json(comparison), indent=2, allow_nan=False) + "\n",
        "comparison.html": _html(blocks, pictures),
    }
    files |= {f"{name}.png": content for name, content in pictures.items()}
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]


def markdown(blocks: Sequence[Block]) -> str:
    """Return the page as GitHub Markdown."""
    return "\n".join(_markdown(block) for block in blocks)


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}\n"
    if isinstance(block, Text):
        return f"{block.text}\n"
    if isinstance(block, Items):
        return "".join(f"- {item}\n" for item in block.items)
    if isinstance(block, Picture):
        return f"![{block.about}]({block.name}.png)\n"
    others = "---:" if block.has_numbers else "---"
    lines = [block.headings, ["---", *[others] * (len(block.headings) - 1)], *block.rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _html(blocks: Sequence[Block], pictures: Mapping[str, bytes]) -> str:
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = "\n".join(_html_block(block, pictures) for block in blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _html_block(block: Block, pictures: Mapping[str, bytes]) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Items):
        items = "".join(f"<li>{html.escape(item)}</li>" for item in block.items)
        return f"<ul>{items}</ul>"
    if isinstance(block, Picture):
        data = base64.b64encode(pictures[block.name]).decode()
        about = html.escape(block.about)
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{about}">'
            f"<figcaption>{about}</figcaption></figure>"
        )
    kind = "numbers" if block.has_numbers else "words"
    head = "".join(f"<th>{html.escape(text)}</th>" for text in block.headings)
    rows = "\n".join(
        f"<tr>{''.join(f'<td>{_html_cell(cell)}</td>' for cell in row)}</tr>" for row in block.rows
    )
    return (
        f'<div class="table"><table class="{kind}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


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
    method, count = result.method, len(result.runs)
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
                **_spread(result, row, column),
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


def _spread(result: Result, row: int, column: int) -> dict[str, Any]:
    deviation = result.deviation
    return {"standard_deviation": None if deviation is None else _number(deviation[row, column])}


def _against(result: Result, row: int, column: int) -> dict[str, Any]:
    difference = result.difference
    if difference is None:
        return {}
    low, high = (
        None if bound is None else _number(bound[row, column])
        for bound in (difference.low, difference.high)
    )
    return {
        "baseline": difference.baseline,
        "difference": _number(difference.mean[row, column]),
        "low": low,
        "high": high,
        "verdict": difference.verdict(row, column),
    }


def _json(comparison: Comparison) -> dict[str, Any]:
    return {
        "split": comparison.split,
        "images": comparison.images or None,
        "resamples": comparison.resamples if comparison.has_intervals else None,
        "notes": comparison.notes,
        "methods": [_method(comparison, result) for result in comparison.results],
    }


def _method(comparison: Comparison, result: Result) -> dict[str, Any]:
    return {
        "name": result.method.name,
        "network": result.method.network,
        "runs": [_run(comparison, result, number) for number in range(len(result.runs))],
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


def _run(comparison: Comparison, result: Result, number: int) -> dict[str, Any]:
    run = result.runs[number]
    seed = list(result.method.runs)[number][1]
    figures = result.figures[number, :, 0]
    return {
        "folder": str(run.folder),
        "seed": seed,
        "git": run.fit.get("git"),
        "checkpoint": run.record(comparison.split).get("checkpoint"),
        "scores": {m: _number(v) for m, v in zip(comparison.measures, figures, strict=True)},
    }


def _number(value: float) -> float | None:
    """Return a number for JSON, rounded to machine-independent digits."""
    return None if math.isnan(value) else round(float(value), _DIGITS)


def _html_cell(text: str) -> str:
    """Put interval and verdict below the score, to keep tables narrow."""
    return html.escape(text).replace(" [", "<br>[").replace("] ", "]<br>")
