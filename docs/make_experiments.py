"""Write docs/experiments.md: every row of the papers' tables with its command.

    python docs/make_experiments.py           # write the page
    python docs/make_experiments.py --check   # exit with status 1 if it is out of date

Rows come from configs/tables/*.yaml. `measure`, a stage and its options, applies to a row or to all
rows of a table; the checkpoint is the best one by default.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "configs" / "tables"
PAGE = ROOT / "docs" / "experiments.md"

INTRODUCTION = """\
# Every row of the papers' tables

One command trains a row and a second one evaluates it. Run them in the project's folder, with
the data where [its configuration](data.md) expects it. Figures are those of the papers, "-" where
a paper gives none. To make one table of several runs, see [comparing.md](comparing.md); to train
whole tables with one command, [sweeps.md](sweeps.md).

This page is generated from `configs/tables/` by `python docs/make_experiments.py`.
"""


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = page()
    if parser.parse_args().check:
        current = PAGE.read_text(encoding="utf-8") == text
        sys.exit(0 if current else "docs/experiments.md is old: run docs/make_experiments.py")
    PAGE.write_text(text, encoding="utf-8")


def page() -> str:
    """Return the page."""
    papers = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in table_files()]
    return "\n".join([INTRODUCTION, *(_paper(paper) for paper in papers)])


def table_files() -> list[Path]:
    """Return the files with the rows of each paper."""
    return sorted(TABLES.glob("*.yaml"))


def rows() -> dict[str, dict[str, Any]]:
    """Return every row by the folder of its run, which is unique."""
    found: dict[str, dict[str, Any]] = {}
    for path in table_files():
        for table in yaml.safe_load(path.read_text(encoding="utf-8"))["tables"]:
            for row in _measured(table):
                if row["run"] in found:
                    raise ValueError(f"{path.name} has two rows of {row['run']}")
                found[row["run"]] = row
    return found


def fit_command(row: dict[str, Any]) -> str:
    """Return the command that trains a row."""
    return f"lightning-seg fit {' '.join(row['fit'].split())} --run_dir runs/{row['run']}"


def measure_command(row: dict[str, Any]) -> str:
    """Return the command that evaluates a row."""
    stage, _, options = row.get("measure", "test").partition(" ")
    run = f"runs/{row['run']}"
    checkpoint = "" if "--ckpt_path" in options else "--ckpt_path best"
    command = f"lightning-seg {stage} --config {run}/config.yaml {checkpoint} {options}"
    return " ".join(command.split())


def _paper(paper: dict[str, Any]) -> str:
    parts = [f"## {paper['paper']}\n"]
    if "notes" in paper:
        parts.append(f"{paper['notes'].strip()}\n")
    return "\n".join([*parts, *map(_table, paper["tables"])])


def _table(table: dict[str, Any]) -> str:
    columns, rows = table["columns"], _measured(table)
    lines = [f"### {table['title']}\n"]
    if "notes" in table:
        lines.append(f"{table['notes'].strip()}\n")
    if "sweep" in table:
        lines.append(f"The whole table: `lightning-seg sweep {table['sweep']}`\n")
    shown = [
        (column, who)
        for who in ("published", "ours")
        for column in columns
        if any(column in row.get(who, {}) for row in rows)
    ]
    heading = [column if who == "published" else f"{column}, ours" for column, who in shown]
    lines += [_row(["row", *heading]), _row(["---"] * (1 + len(heading)))]
    for row in rows:
        cells = [_cell(row.get(who, {}).get(column)) for column, who in shown]
        lines.append(_row([row["name"], *cells]))
    lines.append("\n```sh")
    for row in rows:
        note = f": {row['note'].strip()}" if "note" in row else ""
        first = f"  # after runs/{row['after']}" if "after" in row else ""
        lines += [f"# {row['name']}{note}", f"{fit_command(row)}{first}", measure_command(row)]
    return "\n".join([*lines, "```\n"])


def _measured(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table, each with its `measure`."""
    return [{"measure": table.get("measure", "test"), **row} for row in table["rows"]]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


if __name__ == "__main__":
    main()
