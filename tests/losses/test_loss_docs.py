"""Losses, configurations and links in docs/losses.md exist."""

import re
from pathlib import Path

from lightning_seg import losses

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")


def test_described_losses_exist():
    rows = "\n".join(line for line in TEXT.splitlines() if line.startswith("| [`"))
    described = set(re.findall(r"`(\w+Loss)`", rows))
    assert len(described) > 15
    assert described <= set(losses.__all__)


def test_named_configurations_exist():
    named = set(re.findall(r"[\w/]+\.yaml", TEXT))
    assert len(named) > 10
    for name in named:
        assert (ROOT / (name if "/" in name else f"configs/method/{name}")).is_file(), name


def test_links_resolve_to_headings():
    headings = [line.lstrip("# ").lower() for line in TEXT.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w\s-]", "", heading).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
