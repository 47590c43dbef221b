"""docs/results.md and the pages that it links to come from `compare` and the committed records."""

import re
from pathlib import Path

import pytest

from lightning_seg.experiments.comparison import compare, write_comparison

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page.parent.name for page in DOCS.glob("comparisons/*/comparison.md"))


@pytest.mark.parametrize("name", PAGES)
def test_compare_rebuilds_the_page_from_the_records_byte_for_byte(name, monkeypatch, tmp_path):
    monkeypatch.chdir(DOCS.parent)
    write_comparison(compare([f"docs/runs/{name}"]), tmp_path)
    committed = DOCS / "comparisons" / name / "comparison.md"
    assert (tmp_path / "comparison.md").read_bytes() == committed.read_bytes()


def test_the_tables_of_the_results_are_those_of_the_pages():
    table = re.compile(r"(?:^\|.*\n)+", re.M)
    written = {
        rows
        for name in PAGES
        for rows in table.findall((DOCS / "comparisons" / name / "comparison.md").read_text())
    }
    tables = [t for t in table.findall((DOCS / "results.md").read_text()) if " ---: " in t]
    assert len(tables) >= 2
    assert set(tables) <= written
