"""Problems that `inspect_dataset` finds in every dataset."""

import pickle
import shutil

import numpy as np
import pytest
from tiny_datasets import TINY

from lightning_seg import testing
from lightning_seg.data import FolderDataModule
from lightning_seg.data.inspection import SPLITS, _Findings, inspect_dataset
from lightning_seg.data.sampling.class_counts import count_classes


@pytest.fixture(params=TINY)
def name(request):
    return request.param


def test_a_good_copy_has_no_problem(name, tmp_path):
    masks = TINY[name].write(tmp_path)
    module = TINY[name].make(tmp_path)
    report = inspect_dataset(module)
    assert report.problems == []
    for split in SPLITS:
        assert report.splits[split].images == len(module.pairs(split))
    actual = report.splits["train"]
    pixels = sum(h * w * n for (h, w), n in actual.sizes.items())
    assert sum(actual.counts.pixels) + actual.ignored == pixels
    labels = [pair.label for pair in module.pairs("train")]
    assert actual.counts == count_classes(labels, module.decoder)
    if name in ("folder", "camvid", "helen", "dfc2015"):
        every = np.concatenate([mask.ravel() for mask in masks["train"].values()])
        expected = np.bincount(every, minlength=256)
        assert actual.counts.pixels == tuple(expected[: module.num_classes].tolist())
        assert actual.ignored == expected[255]


def test_an_image_in_training_and_evaluation_is_a_problem(name, tmp_path):
    TINY[name].write(tmp_path)
    module = TINY[name].make(tmp_path)
    trained, measured = module.pairs("train")[0], module.pairs("val")[0]
    shutil.copy(trained.image, measured.image)
    report = inspect_dataset(module)
    assert any(
        "train and val share an image" in problem and measured.image.name in problem
        for problem in report.problems
    )


def test_every_problem_of_every_file_is_reported(name, tmp_path):
    TINY[name].write(tmp_path)
    module = TINY[name].make(tmp_path)
    trained = module.pairs("train")[-1]
    damaged = [
        trained.image,
        module.decoder.files(module.pairs("val")[0].label)[0],
        module.pairs("test")[-1].image,
    ]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:50])
    report = inspect_dataset(module)
    for path in damaged:
        assert any(path.name in problem for problem in report.problems), path


def test_findings_can_be_sent_from_workers(tmp_path):
    testing.write_folder(tmp_path)
    (tmp_path / "train" / "masks" / "town" / "a.png").write_bytes(b"")
    module = FolderDataModule(tmp_path, num_classes=3, num_workers=0)
    here = _Findings(module.pairs("train"), module.reader)
    there = pickle.loads(pickle.dumps(here))
    for index in range(len(here)):
        actual = pickle.loads(pickle.dumps(there[index]))
        assert actual.problems == here[index].problems
        assert actual.digest == here[index].digest
    assert len(here[0].problems) == 1


def test_an_image_twice_in_a_split_is_a_problem(tmp_path):
    testing.write_folder(tmp_path)
    for kind in ("images", "masks"):
        source = next((tmp_path / "val" / kind).glob("c.*"))
        shutil.copy(source, source.with_stem("twin"))
    report = inspect_dataset(FolderDataModule(tmp_path, num_classes=3, num_workers=0))
    (problem,) = report.problems
    assert "twin.png is the same image as" in problem
