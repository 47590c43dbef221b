"""What docs/losses.md names is there, and what is there it names."""

import re
from pathlib import Path

import pytest

from lightning_seg import losses

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
MODULES = [name for name in losses.__all__ if re.fullmatch(r"\w+Loss", name)]


@pytest.mark.parametrize("name", sorted({*MODULES} - {"WeightedLoss"}))
def test_every_loss_is_described(name):
    assert f"`{name}" in TEXT


def test_configurations_that_are_named_exist():
    named = set(re.findall(r"[\w/]+\.yaml", TEXT))
    assert len(named) > 10
    for name in named:
        assert (ROOT / (name if "/" in name else f"configs/method/{name}")).is_file(), name


def test_links_lead_to_headings():
    headings = [line.lstrip("# ").lower() for line in TEXT.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w\s-]", "", heading).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
