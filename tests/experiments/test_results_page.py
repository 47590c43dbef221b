"""docs/results.md and the pages that it links to come from `compare` and the committed records."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
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


def test_the_demo_tells_its_gain_over_cross_entropy_from_the_records(capsys, monkeypatch):
    monkeypatch.chdir(DOCS.parent)
    runpy.run_path(str(DOCS / "demo_gain.py"))["main"]()
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for key, words in (("boundary_iou", "boundary IoU"), ("trimap_iou/3", "within 3 px")):
        means = []
        for method in ("cross_entropy", "distance_transform"):
            runs = sorted((DOCS / "runs" / "demo" / method).glob("seed*/test/metrics.json"))
            assert f"{len(runs)} seeds" in printed
            scalars = [json.loads(run.read_text())["scalars"] for run in runs]
            means.append(np.mean([one[key] for one in scalars]))
        (line,) = [line for line in printed.splitlines() if words in line]
        assert f"{means[0]:.3f} -> {means[1]:.3f} {means[1] - means[0]:+.3f}" in line
        low, high = map(float, re.findall(r"[-+]\d\.\d{3}", line)[1:])
        assert low < means[1] - means[0] < high
        assert line.endswith("helps" if low > 0 else "not shown")
