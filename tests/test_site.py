"""The documentation site: `make docs`."""

import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

pytest.importorskip("zensical", reason="the site needs: pip install 'lightning_seg[docs]'")

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
ROOMS = (
    "callbacks", "data", "heads", "inference", "losses", "metrics", "networks", "prediction",
    "targets", "tasks",
)  # fmt: skip


class References(HTMLParser):
    """Addresses of a page: what it loads, what it links to, and its anchors."""

    def __init__(self, page):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors.add(values.get("id") or "")
        if tag == "a":
            self.links.append(values.get("href"))
        elif address := values.get("src") or values.get("href") or values.get("srcset"):
            self.loads.append(address)


@pytest.fixture(scope="module")
def build():
    """Return what the build prints."""
    to_markdown = ["--to", "markdown", "--output-dir", ROOT / "docs" / "notebooks"]
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    convert = [sys.executable, "-m", "nbconvert", *to_markdown, *notebooks]
    subprocess.run(convert, check=True, capture_output=True)
    run = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def pages(build):
    return {page: References(page) for page in SITE.rglob("*.html") if page.name != "404.html"}


def test_the_site_builds_without_warnings(build):
    lines = {line.split(" in ")[0] for line in build.splitlines() if line.strip()}
    assert lines == {"Build started", "Build finished", "No issues found"}


def test_pages_load_nothing_from_other_servers(pages):
    assert [load for page in pages.values() for load in page.loads if "//" in load] == []


def test_links_and_pictures_exist(pages):
    missing = []
    for page, references in pages.items():
        for address in filter(None, references.loads + references.links):
            path, _ = urldefrag(address)
            if ":" not in address and path and not (page.parent / unquote(path)).resolve().exists():
                missing.append((page.name, address))
    assert missing == []


def test_every_page_is_in_the_navigation(pages):
    start = pages[SITE / "index.html"].links
    listed = {(SITE / urldefrag(link)[0]).resolve() for link in start if link and ":" not in link}
    assert pages.keys() - listed == set()


@pytest.mark.parametrize("room", ROOMS)
def test_the_api_has_every_public_name(room, pages):
    anchors = pages[SITE / "api" / f"{room}.html"].anchors
    names = {anchor.rpartition(".")[-1] for anchor in anchors}
    assert set(import_module(f"lightning_seg.{room}").__all__) - names == set()
