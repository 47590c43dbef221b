"""docs/results.md and the pages that it links to come from `compare` and the committed records."""

import re
import runpy
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
    insert_tables = runpy.run_path(str(DOCS / "make_results.py"))["insert_tables"]
    results = (DOCS / "results.md").read_text()
    assert set(re.findall(r"^<!-- ([\w-]+): ", results, re.M)) == set(PAGES)
    for name in PAGES:
        page = (DOCS / "comparisons" / name / "comparison.md").read_text()
        assert insert_tables(results, name, page) == results
