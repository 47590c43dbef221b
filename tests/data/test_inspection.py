"""Problems that `inspect_dataset` finds in every dataset."""

import pickle
import re
import shutil

import albumentations as A
import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny_datasets import TINY

from lightning_seg import testing
from lightning_seg.data import FolderDataModule
from lightning_seg.data.inspection import SPLITS, _Findings, inspect_dataset
from lightning_seg.data.sampling.class_counts import count_classes
from lightning_seg.data.transforms import TransformPipeline
from lightning_seg.errors import InputError


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
    assert sum(actual.counts.pixels) + actual.counts.ignored == pixels
    assert actual.counts == count_classes(module.pairs("train"), module.reader)
    if name in ("folder", "camvid", "helen", "dfc2015"):
        every = np.concatenate([mask.ravel() for mask in masks["train"].values()])
        expected = np.bincount(every, minlength=256)
        assert actual.counts.pixels == tuple(expected[: module.num_classes].tolist())
        assert actual.counts.ignored == expected[255]


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


def folder(root, masks, shares=(6, 2, 2)):
    """Write ten images with masks made by ``masks(index)``; return a module of three classes."""
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for index in range(sum(shares)):
        image = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / f"{index}.png")
        Image.fromarray(masks(index)).save(root / "masks" / f"{index}.png")
    fractions = tuple(share / sum(shares) for share in shares)
    return FolderDataModule(root, num_classes=3, num_workers=0, fractions=fractions)


def striped(*values):
    return np.resize(np.array(values, np.uint8), (8, 8))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255], "the masks hold only 0 and 255"),
        ([255], "the masks hold only 255"),
        ([7], "label value 7"),
    ],
)
def test_what_fit_refuses_is_a_problem(tmp_path, values, expected):
    data = folder(tmp_path, lambda _: striped(*values))
    report = inspect_dataset(data)
    assert any(line.startswith("train") and expected in line for line in report.problems)
    with pytest.raises(InputError, match=expected):
        data.setup("fit")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], "train: the masks hold no pixel of 1 of the 3 classes (2 class 2)"),
        ([1, 2], "train: if the masks are numbered from 1 on, set num_classes to 2"),
    ],
)
def test_what_trains_to_nothing_is_noted_by_check_and_fit(tmp_path, values, expected):
    data = folder(tmp_path, lambda _: striped(*values))
    report = inspect_dataset(data)
    assert report.problems == []
    assert any(expected in note for note in report.notes)
    with pytest.warns(UserWarning, match=re.escape(expected)):
        data.setup("fit")


def test_empty_splits_are_noted_and_an_empty_training_split_is_a_problem(tmp_path):
    data = folder(tmp_path, lambda _: striped(0, 1, 2), (1, 0, 0))
    report = inspect_dataset(data)
    assert report.problems == []
    assert [note[:24] for note in report.notes] == [
        "val: there are no images",
        "test: there are no image",
    ]
    data.fractions = (0.0, 0.0, 1.0)
    assert [line[:25] for line in inspect_dataset(data).problems] == ["train: there are no image"]


def test_many_images_without_a_mask_are_one_problem(tmp_path):
    data = folder(tmp_path, lambda _: striped(0, 1, 2), (12, 4, 4))
    for index in range(10):
        (tmp_path / "masks" / f"{index}.png").unlink()
    report = inspect_dataset(data)
    (problem,) = report.problems
    assert problem.startswith("train, val, test: 10 image(s) without a label in")
    assert problem.count(".png") == 3
    assert "and 7 more" in problem
    assert [report.splits[split].images for split in SPLITS[:3]] == [6, 2, 2]


def test_one_wrong_list_is_one_problem(tmp_path):
    folder(tmp_path, lambda _: striped(0, 1, 2))
    (tmp_path / "a.txt").write_text("1\n11\n12\n")
    (tmp_path / "b.txt").write_text("2\n")
    lists = {"train_list": "a.txt", "val_list": "b.txt", "test_list": "b.txt"}
    report = inspect_dataset(FolderDataModule(tmp_path, num_classes=3, num_workers=0, **lists))
    (problem,) = report.problems
    assert "a.txt, line 2, names 11" in problem


def test_files_with_the_same_problem_are_grouped_with_three_examples(tmp_path):
    data = folder(tmp_path, lambda index: striped(0, 1, 2, *[77 + index] * (index < 8)))
    data.fractions = (1.0, 0.0, 0.0)
    (problem,) = inspect_dataset(data).problems
    assert problem.startswith("train: ")
    assert "label value 77 at row 0, column 3" in problem
    assert "(And 7 more: " in problem
    assert problem.count(".png") == 3
    assert "and 5 more.)" in problem


def test_inexact_values_of_many_masks_are_one_note(tmp_path):
    folder(tmp_path, lambda index: striped(0, 98 + index % 3))
    settings = {"palette": [0, 100], "tolerance": 5, "num_workers": 0}
    report = inspect_dataset(FolderDataModule(tmp_path, **settings, fractions=(1.0, 0.0, 0.0)))
    (note,) = [note for note in report.notes if "nearly" in note]
    assert note.startswith("train: ")
    assert "(And 6 more: " in note


def test_a_bad_tiff_is_read_and_reported_once(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_seg.data.inspection._WHOLE", 100)
    monkeypatch.setattr("lightning_seg.data.inspection._ROWS", 8)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        shape = (64, 16, 3) if kind == "images" else (64, 16)
        pixels = np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)
        tifffile.imwrite(tmp_path / kind / "a.tif", pixels, rowsperstrip=4, compression="zlib")
    path = tmp_path / "images" / "a.tif"
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for offset in tiff.pages.first.dataoffsets:
            content[offset : offset + 12] = b"?" * 12
    path.write_bytes(content)
    data = FolderDataModule(tmp_path, num_classes=3, num_workers=0, fractions=(1.0, 0.0, 0.0))
    (problem,) = inspect_dataset(data).problems
    assert problem.startswith(f"train: {path} cannot be read as an image")
    assert "So in" not in problem


def test_missing_photos_of_a_benchmark_are_one_problem_a_split(tmp_path):
    testing.write_voc(tmp_path)
    shutil.rmtree(tmp_path / "JPEGImages")
    report = inspect_dataset(TINY["voc"].make(tmp_path))
    assert len(report.problems) <= len(SPLITS)
    assert all("files of the" in problem for problem in report.problems)


def test_transforms_that_fail_are_a_problem_with_transform_and_file(tmp_path):
    data = folder(tmp_path, lambda _: striped(0, 1, 2))
    data.train_pipeline = TransformPipeline([A.RandomCrop(9, 9)])
    (problem,) = inspect_dataset(data).problems
    assert problem.startswith("train: ")
    assert "the transform RandomCrop fails on this image of 8 x 8 pixels" in problem
    assert ".png" in problem


def test_sizes_that_cannot_share_a_batch_are_a_problem(tmp_path):
    data = folder(tmp_path, lambda _: striped(0, 1, 2))
    for kind in ("images", "masks"):
        path = data.pairs("train")[3].image.name
        with Image.open(tmp_path / kind / path) as image:
            larger = image.resize((8, 10), Image.Resampling.NEAREST)
        larger.save(tmp_path / kind / path)
    (problem,) = inspect_dataset(data).problems
    assert problem.startswith("train: Images of different sizes cannot share a batch")
    data.batch_size = 1
    assert inspect_dataset(data).problems == []
