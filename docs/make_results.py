"""Write docs/comparisons/ from the records in docs/runs/, and their tables into docs/results.md.

    python docs/make_results.py

Each page is that of `lightning-seg compare docs/runs/NAME`. In docs/results.md, a table of the page
follows the comment `<!-- NAME: HEADING -->`.
"""

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning_seg.experiments.comparison import compare, write_comparison

DOCS = Path(__file__).parent


def write_page(name: str) -> str:
    """Write the page of a comparison with its pictures, and return the page."""
    folder = DOCS / "comparisons" / name
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        for file in write_comparison(compare([f"docs/runs/{name}"]), temporary):
            if file.suffix in (".md", ".png"):
                (folder / file.name).write_bytes(file.read_bytes())
    return (folder / "comparison.md").read_text(encoding="utf-8")


def insert_tables(results: str, name: str, page: str) -> str:
    """Return the results with the tables of this page."""

    def insert(found: re.Match[str]) -> str:
        table = re.search(rf"^## {re.escape(found[2])}\n\n((?:\|.*\n)+)", page, re.M)
        if table is None:
            raise SystemExit(f"docs/runs/{name}: the page has no table {found[2]}.")
        return f"{found[1]}\n\n{table[1]}\n"

    marked = rf"^(<!-- {re.escape(name)}: (.+) -->)\n\n(?:(?:\|.*\n)+\n*)?"
    inserted, count = re.subn(marked, insert, results, flags=re.M)
    if count < results.count(f"<!-- {name}: "):
        raise SystemExit(f"docs/results.md: an empty line must follow each comment of {name}.")
    return inserted


def main() -> None:
    """Write the pages of all comparisons, and the results."""
    os.chdir(DOCS.parent)  # pages name the folders of runs
    file = DOCS / "results.md"
    results = file.read_text(encoding="utf-8")
    for name in dict.fromkeys(re.findall(r"^<!-- ([\w-]+): ", results, re.M)):
        results = insert_tables(results, name, write_page(name))
    file.write_text(results, encoding="utf-8")


if __name__ == "__main__":
    main()
