"""``report.html`` of validate and test."""

import csv
import re
from html.parser import HTMLParser

from foreign_modules import ReturnsDict, loader, trainer

from lightning_seg.callbacks import BoundaryMetrics


class Page(HTMLParser):
    """Tags with their attributes, and all texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())


def validated(folder, **settings):
    names = ["sky", "road", "<tree>"]
    metrics = BoundaryMetrics(class_names=names, **settings)
    trainer(folder, metrics).validate(
        ReturnsDict(), loader(9, 2, as_dict=True, names=True), verbose=False
    )
    return folder / "val" / "report.html"


def test_the_report_is_one_file_with_scores_charts_and_the_worst_images(tmp_path):
    text = validated(tmp_path).read_text()
    assert not re.search(r"https?://|//cdn|<script|<link", text)
    page = Page(text)
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 3 + 6 * 4
    assert all(re.match("data:image/(png|jpeg);base64,", address) for address in images)
    rows = list(csv.DictReader((tmp_path / "val" / "per_image.csv").open()))
    rows.sort(key=lambda row: float(row["boundary_iou"]))
    shown = [text for text in page.texts if text in {row["name"] for row in rows}]
    assert shown == [row["name"] for row in rows[:6]]
    assert f"boundary IoU {float(rows[0]['boundary_iou']):.4f}" in text
    assert {"Regions", "Boundaries", "Means by width", "<tree>"} <= set(page.texts)
    assert "<tree>" not in text
    per_class = list(csv.DictReader((tmp_path / "val" / "per_class.csv").open()))
    assert {f"{float(row['boundary_iou']):.4f}" for row in per_class} <= set(page.texts)


def test_the_report_can_be_left_out(tmp_path):
    path = validated(tmp_path, report=False)
    assert (path.parent / "metrics.json").exists()
    assert not path.exists()
