"""Page of an evaluation: one self-contained HTML file."""

import html
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lightning_seg.callbacks.html_page import html_page, html_table, picture_address
from lightning_seg.callbacks.metrics.report import Report
from lightning_seg.callbacks.metrics.worst_images import WorstImage
from lightning_seg.callbacks.pictures.picture_maps import right_and_wrong
from lightning_seg.callbacks.pictures.pictures import png
from lightning_seg.palette import Color

_STYLE = """
.checkpoint { overflow-wrap: anywhere; }
.scores { display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 1rem 0; }
.scores div { border: 1px solid #ddd; border-radius: 4px; padding: 0.4rem 0.9rem; }
.scores b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tables { display: flex; flex-wrap: wrap; gap: 0 2.5rem; }
.tables table { max-width: 100%; }
.chart { overflow-x: auto; }
.chart.wide img { max-width: max(100%, 52rem); }
.chart.square img { max-width: max(60%, 34rem); }
.worst { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr));
  gap: 0.6rem; }
.worst figure { margin: 0; }
.worst img { display: block; width: 100%; }
figcaption { font-size: 0.85rem; }
.swatch { display: inline-block; width: 0.9em; height: 0.9em; margin: 0 0.3em 0 0;
  border: 1px solid #555; vertical-align: -0.1em; }
.legend span { white-space: nowrap; margin-right: 1rem; }
pre { overflow-wrap: anywhere; white-space: pre-wrap; background: #f5f5f5; padding: 0.7rem;
  font-size: 0.85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.2rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
"""
_SCORES = {
    "boundary_iou": "boundary IoU",
    "boundary_f": "boundary F",
    "trimap_iou/3": "trimap IoU, 3 px",
    "iou": "IoU",
    "accuracy": "pixel accuracy",
}
_PICTURES = {
    "curves": ("Scores by width", "wide"),
    "boundary_errors": ("Causes of wrong pixels near boundaries", "wide"),
    "confusion": ("Confusion matrix", "square"),
}


def report_page(
    report: Report,
    worst: Sequence[WorstImage],
    class_colors: Sequence[Color],
    checkpoints: Sequence[str],
    environment: Mapping[str, Any],
    config: Path,
) -> str:
    """Return the page: scores, tables, charts, the worst images, and how they came about.

    Args:
        report: The results.
        worst: The images with the lowest boundary IoU.
        class_colors: RGB colours of the classes, 0 to 255.
        checkpoints: The evaluated checkpoints.
        environment: Command, versions and hardware, see `RunRecord`; may be empty.
        config: File of the configuration; it may not exist.
    """
    stage = {"val": "Validation", "test": "Test"}.get(report.title, report.title)
    evaluated = ", ".join(checkpoints)
    title = f"{stage}: {evaluated}" if evaluated else stage
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    blocks = [
        f"<h1>{html.escape(stage)}</h1>",
        f'<p class="checkpoint">{html.escape(evaluated)}</p>' if evaluated else "",
        _scores(report),
        "<h2>By class and width</h2>",
        f'<div class="tables">{"".join(map(_table, report.tables()))}</div>',
        *_charts(report),
        *_worst(report, worst, class_colors),
        "<h2>How it was computed</h2>",
        _facts(_described(checkpoints, environment, _settings(text))),
        f"<pre>{html.escape(shlex.join(environment['command']))}</pre>" if environment else "",
        _details("Settings of the metrics", yaml.safe_dump(report.settings, sort_keys=False)),
        _details("Configuration", text) if text else "",
    ]
    return html_page(title, "\n".join(filter(None, blocks)), _STYLE)


def _settings(text: str) -> dict[str, Any]:
    """Return the configuration, or nothing if the file is another one."""
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _scores(report: Report) -> str:
    scalars = report.results.scalars
    shown = [
        f"<div>{label}<b>{scalars[key].item():.4f}</b></div>"
        for key, label in _SCORES.items()
        if key in scalars
    ]
    count = f"<div>images<b>{len(report.images)}</b></div>"
    return f'<div class="scores">{"".join(shown)}{count}</div>'


def _table(table: Any) -> str:
    """Return a table of the terminal."""
    headings = [str(column.header) for column in table.columns]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    return html_table(headings, rows, str(table.title), bold="mean")


def _charts(report: Report) -> Iterator[str]:
    pictures = report.pictures()
    for name, (heading, form) in _PICTURES.items():
        if name in pictures:
            address = picture_address(png(pictures[name]))
            yield f"<h2>{heading}</h2>"
            yield f'<div class="chart {form}"><img src="{address}" alt="{heading}"></div>'


def _worst(
    report: Report, worst: Sequence[WorstImage], class_colors: Sequence[Color]
) -> Iterator[str]:
    if not worst:
        return
    yield f"<h2>The {len(worst)} images with the lowest boundary IoU</h2>"
    present = sorted({k for image in worst for k in image.classes})
    nothing = np.zeros((1, 1), np.int64)
    verdicts = right_and_wrong(nothing, nothing, class_colors)
    yield _legend([(report.class_names[k], class_colors[k]) for k in present])
    yield _legend([(verdict.name, verdict.color) for verdict in verdicts])
    several = report.settings.get("multi_label")
    about = "A pixel is wrong if any of its labels is. " if several else ""
    yield f"<p>{about}Pixels that are not labelled are hatched.</p>"
    for image in worst:
        figures = ", ".join(
            f"{_SCORES[key]} {value:.4f}" for key, value in image.figures.items() if value == value
        )
        yield f"<h3>{html.escape(image.name)}</h3><p>{figures}</p>"
        yield f'<div class="worst">{"".join(_figures(image))}</div>'


def _legend(entries: Sequence[tuple[str, Color]]) -> str:
    spans = (
        f'<span><i class="swatch" style="background: rgb{tuple(color)}"></i>'
        f"{html.escape(name)}</span>"
        for name, color in entries
    )
    return f'<p class="legend">{" ".join(spans)}</p>'


def _figures(image: WorstImage) -> Iterator[str]:
    for caption, content in image.pictures.items():
        address = picture_address(content, "jpeg" if caption == "image" else "png")
        alt = html.escape(f"{image.name}: {caption}")
        yield f'<figure><img src="{address}" alt="{alt}">'
        yield f"<figcaption>{html.escape(caption)}</figcaption></figure>"


def _facts(facts: Mapping[str, str]) -> str:
    lines = (f"<dt>{k}</dt><dd>{html.escape(text)}</dd>" for k, text in facts.items() if text)
    return f"<dl>{''.join(lines)}</dl>"


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary><pre>{html.escape(text)}</pre></details>"


def _described(
    checkpoints: Sequence[str], environment: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, str]:
    """Return what was evaluated, with what and where, by heading."""
    model, data = _arguments(config.get("model")), _arguments(config.get("data"))
    losses = model.get("losses") or {}
    facts = {"checkpoint": ", ".join(checkpoints)}
    if config and len(checkpoints) < 2:  # the members of an ensemble may have others
        facts |= {
            "network": _named(model.get("network"), "encoder"),
            "head": _named(model.get("head")),
            "losses": ", ".join(
                name if term.get("weight", 1) == 1 else f"{term['weight']:g} {name}"
                for name, term in losses.items()
                if term
            ),
        }
    if config:
        facts |= {
            "inference": _named(model.get("inference"), "size", "scales") or "whole images",
            "data": f"{_named(config.get('data'))} {data.get('root') or ''}",
        }
    if environment:
        git = environment["git"] or {}
        cpus, gpus = f"{environment['cpus']} CPUs", environment["gpus"]
        packages = environment["packages"].items()
        facts |= {
            "started": environment["started"],
            "commit": f"{git.get('commit', '')}{', with changes' if git.get('dirty') else ''}",
            "machine": ", ".join([environment["system"], cpus, *gpus]),
            "versions": ", ".join([f"Python {environment['python']}", *map(" ".join, packages)]),
        }
    return facts


def _arguments(chosen: Any) -> Mapping[str, Any]:
    return (chosen or {}).get("init_args") or {}


def _named(chosen: Any, *settings: str) -> str:
    """Return the name of a class in a configuration, with some of its settings."""
    if not isinstance(chosen, Mapping):
        return ""
    arguments = _arguments(chosen)
    shown = [str(arguments[key]) for key in settings if arguments.get(key) is not None]
    return " ".join([str(chosen.get("class_path", "")).rsplit(".", 1)[-1], *shown])
