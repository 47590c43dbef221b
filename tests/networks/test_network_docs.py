"""The tables of docs/networks.md."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["networks", "cost"])
def test_a_table_has_a_row_for_every_file(table):
    rows = TEXT.partition(f"<!-- {table} -->")[2].partition(f"<!-- end of {table} -->")[0]
    for path in (ROOT / "configs" / "network").glob("*.yaml"):
        assert f"| `{path.name}` |" in rows
