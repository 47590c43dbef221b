"""The tables of docs/networks.md, which benchmarks/networks_table.py writes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["networks", "cost"])
def test_every_row_is_a_network_configuration(table):
    rows = TEXT.partition(f"<!-- {table} -->")[2].partition(f"<!-- end of {table} -->")[0]
    files = re.findall(r"\| `(\w+\.yaml)` \|", rows)
    assert len(files) > 15
    for file in files:
        assert (ROOT / "configs" / "network" / file).is_file(), file
