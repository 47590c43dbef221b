import os
import warnings
from itertools import chain
from pathlib import Path

import albumentations as A
import lightning.pytorch as pl
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_seg.data import FolderDataModule
from lightning_seg.data.sampling.class_counts import cached_counts
from lightning_seg.data.sampling.splits import split_by_fractions
from lightning_seg.errors import InputError

RANDOM = np.random.default_rng(0)


def write(root: Path, name: str, size=(12, 16), mask=None, suffix=".png") -> None:
    """One image and its mask; ``name`` may hold sub-folders."""
    image, label = root / "images" / f"{name}{suffix}", root / "masks" / f"{name}.png"
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)).save(image)
    mask = RANDOM.integers(0, 3, size, dtype=np.uint8) if mask is None else mask
    Image.fromarray(mask).save(label)


@pytest.fixture
def root(tmp_path):
    for index in range(10):
        write(tmp_path, f"{index:02}", suffix=".jpg" if index % 2 else ".png")
    return tmp_path


def make(root: Path, **settings) -> FolderDataModule:
    return FolderDataModule(root, **{"num_classes": 3, "num_workers": 0, **settings})


def names(data: FolderDataModule) -> dict[str, list[str]]:
    return {split: [pair.name for pair in data.pairs(split)] for split in ("train", "val", "test")}


def test_samples_are_images_in_0_to_1_masks_and_names(root):
    data = make(root, batch_size=4)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (4, 3, 12, 16)
    assert batch["image"].dtype == torch.float32
    assert 0.9 < batch["image"].max() <= 1.0
    assert batch["mask"].shape == (4, 12, 16)
    assert batch["mask"].dtype == torch.int64
    assert set(batch["name"]) <= {f"{index:02}" for index in range(10)}


def test_classes_and_channels_are_known_before_any_file_is_read():
    data = make(Path("nowhere"), class_names=["ground", "house", "tree"], in_channels=4)
    assert (data.num_classes, data.in_channels) == (3, 4)
    assert data.class_names == ("ground", "house", "tree")
    assert len(set(data.class_colors)) == 3


def test_fractions_split_all_names_the_same_way_every_time(root):
    split = names(make(root, fractions=(0.6, 0.2, 0.2)))
    assert [len(split[name]) for name in ("train", "val", "test")] == [6, 2, 2]
    assert sorted(chain(*split.values())) == [f"{index:02}" for index in range(10)]
    assert split == names(make(root, fractions=(0.6, 0.2, 0.2)))
    assert split != names(make(root, fractions=(0.6, 0.2, 0.2), split_seed=1))


def test_folds_test_every_image_once_and_keep_groups_together(tmp_path):
    for video, frames in (("a", 7), ("b", 1), ("c", 4), ("d", 2), ("e", 6), ("f", 3)):
        for frame in range(frames):
            write(tmp_path, f"{video}_{frame}")
    tested = []
    for fold in (1, 2, 3):
        split = names(make(tmp_path, fold=fold, folds=3, group="^[a-z]"))
        assert split == names(make(tmp_path, fold=fold, folds=3, group="^[a-z]"))
        assert all(split.values())
        assert len(set(chain(*split.values()))) == len(list(chain(*split.values()))) == 23
        videos = [{name[0] for name in of} for of in split.values()]
        assert not set.intersection(*videos)
        assert sum(map(len, videos)) == 6
        tested += split["test"]
    assert len(tested) == len(set(tested)) == 23
    sizes = [len(names(make(tmp_path, fold=fold))["test"]) for fold in range(1, 6)]
    assert sorted(sizes) == [4, 4, 5, 5, 5]
    for settings, message in (
        ({"fold": 6}, "fold is 6. Set it to a number from 1 to folds, 5"),
        ({"fold": 1, "folds": 7, "group": "^[a-z]"}, "folds is 7, but there are only 6"),
        ({"fold": 1, "group": "^x"}, "finds nothing in the name a_0"),
        ({"fold": 1, "group": "("}, "is not a valid regular expression"),
        ({"fold": 1, "train_list": "train.txt"}, "Remove train_list"),
    ):
        with pytest.raises(InputError, match=message):
            make(tmp_path, **settings).pairs("train")


def test_folds_of_training_images_validate_where_there_is_a_test_folder(tmp_path):
    for index in range(6):
        write(tmp_path / "train", str(index))
    write(tmp_path / "test", "t")
    split = [names(make(tmp_path, fold=fold, folds=3)) for fold in (1, 2, 3)]
    assert all(one["test"] == ["t"] and len(one["train"]) == 4 for one in split)
    assert sorted(name for one in split for name in one["val"]) == [str(i) for i in range(6)]
    write(tmp_path / "val", "v")
    with pytest.raises(InputError, match=r"fold divides the training images, but .*val"):
        make(tmp_path, fold=1).pairs("train")


def test_random_splits_keep_groups_together(tmp_path):
    for index in range(20):
        write(tmp_path, f"{index // 4}_{index}")
    videos = [{name[0] for name in of} for of in names(make(tmp_path, group=r"^\d")).values()]
    assert sum(map(len, videos)) == 5


def test_few_images_still_give_each_split_one(tmp_path):
    for index in range(3):
        write(tmp_path, str(index))
    assert [len(split) for split in names(make(tmp_path)).values()] == [1, 1, 1]


@given(st.integers(0, 60), st.tuples(*[st.integers(0, 10)] * 3).filter(any), st.integers(0, 3))
def test_fractions_are_kept_and_splits_never_empty(count, parts, seed):
    fractions = tuple(part / sum(parts) for part in parts)
    names = [str(index) for index in range(count)]
    split = split_by_fractions(names, fractions, seed)
    assert sorted(chain(*split.values())) == sorted(names)
    for name, fraction in zip(("train", "val", "test"), fractions, strict=True):
        if count >= 3:
            assert (len(split[name]) > 0) == (fraction > 0)
        assert abs(len(split[name]) - count * fraction) < 2


def test_a_small_folder_still_has_training_images():
    split = split_by_fractions("abcd", (0.2, 0.4, 0.4), 0)
    assert {name: len(names) for name, names in split.items()} == {"train": 1, "val": 2, "test": 1}


def test_fractions_must_sum_to_1(root):
    with pytest.raises(InputError, match=r"fractions are \[0.8, 0.8, 0.1\]"):
        make(root, fractions=(0.8, 0.8, 0.1)).setup("fit")


def test_lists_name_the_images_of_a_split(root):
    (root / "a.txt").write_text("03\n01.jpg\n\n")
    (root / "b.txt").write_text("05\n")
    data = make(root, train_list="a.txt", val_list="b.txt")
    data.setup("fit")
    assert [pair.name for pair in data.pairs("train")] == ["03", "01"]
    assert [pair.name for pair in data.pairs("val")] == ["05"]
    with pytest.raises(InputError, match=r"test split .* holds no images"):
        data.setup("test")


def test_a_line_may_begin_with_the_folders_of_the_images(root):
    (root / "a.txt").write_text(f"images/03\n./images/01.jpg\n{root.name}/images/02.png\n")
    found = names(make(root, train_list="a.txt"))["train"]
    assert found == ["03", "01", "02"]


def test_without_a_list_of_train_the_images_of_no_list_train(root):
    (root / "a.txt").write_text("03\n01\n")
    (root / "b.txt").write_text("05\n")
    found = names(make(root, test_list="a.txt", val_list="b.txt"))
    assert found == {
        "train": ["00", "02", "04", "06", "07", "08", "09"], "val": ["05"], "test": ["03", "01"]
    }  # fmt: skip
    assert names(make(root, val_list="a.txt")) == {
        "train": ["00", "02", "04", "05", "06", "07", "08", "09"], "val": ["03", "01"], "test": []
    }  # fmt: skip
    data = make(root, test_list="a.txt", fractions=(0.5, 0.5, 0.0))
    found = names(data)
    assert found["test"] == ["03", "01"]
    assert (len(found["train"]), len(found["val"])) == (4, 4)
    assert len(set(chain(*found.values()))) == 10
    assert "All other images are train and val by random shares of 0.5" in data.about_splits()


def test_only_listed_images_need_masks(root):
    (root / "masks" / "09.png").unlink()
    (root / "images" / "08.png").unlink()
    (root / "a.txt").write_text("03\n01\n")
    assert [pair.name for pair in make(root, train_list="a.txt").pairs("train")] == ["03", "01"]
    (root / "a.txt").write_text("03\n09\n")
    with pytest.raises(InputError, match=r"1 image\(s\) without a label in .*09\.jpg"):
        make(root, train_list="a.txt").pairs("train")


def test_lists_of_windows_editors_are_read(tmp_path):
    write(tmp_path, "town/a")
    write(tmp_path, "town/b")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbftown\\a.png\r\ntown\\b\r\n")
    pairs = make(tmp_path, train_list="a.txt").pairs("train")
    assert [pair.name for pair in pairs] == ["town/a", "town/b"]


def test_a_list_that_names_a_missing_image_is_refused_with_the_line(root):
    (root / "a.txt").write_text("03\n33\n")
    with pytest.raises(InputError, match=r"a\.txt, line 2, names 33, but there is no such image"):
        make(root, train_list="a.txt").pairs("train")


def test_an_image_in_two_lists_is_refused(root):
    (root / "a.txt").write_text("03\n")
    (root / "b.txt").write_text("04\n03\n")
    with pytest.raises(InputError, match=r"b\.txt, line 2, names 03, which .*a\.txt, line 1"):
        make(root, train_list="a.txt", test_list="b.txt").pairs("train")


def test_a_missing_list_is_named(root):
    with pytest.raises(InputError, match=r"a\.txt does not exist"):
        make(root, train_list="a.txt").pairs("train")


def test_split_folders_are_found_in_the_root(tmp_path):
    for index, split in enumerate(("train", "val", "test")):
        write(tmp_path / split, f"town/{index}")
    assert names(make(tmp_path)) == {"train": ["town/0"], "val": ["town/1"], "test": ["town/2"]}


def test_split_folders_are_found_below_images_and_masks(tmp_path):
    for index, split in enumerate(("train", "val", "test")):
        write(tmp_path, f"{split}/{index}")
    assert names(make(tmp_path)) == {"train": ["0"], "val": ["1"], "test": ["2"]}


def test_predict_shows_the_test_images_without_masks(root):
    data = make(root)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [batch["name"][0] for batch in batches] == names(data)["test"]
    assert all("mask" not in batch for batch in batches)


def test_predict_root_may_be_any_folder_of_images(tmp_path):
    write(tmp_path / "other", "sub/a")
    data = make(Path("nowhere"), predict_root=tmp_path / "other" / "images")
    data.setup("predict")
    assert [batch["name"] for batch in data.predict_dataloader()] == [["sub/a"]]


def test_a_palette_of_colours_names_the_classes(tmp_path):
    palette, ids = (
        np.array([[0, 0, 0], [255, 0, 0], [9, 9, 9]], np.uint8),
        RANDOM.integers(0, 3, 192),
    )
    ids = ids.reshape(12, 16)
    write(tmp_path / "test", "a", mask=palette[ids])
    (tmp_path / "train").mkdir()
    colors = [(0, 0, 0), (255, 0, 0)]
    data = make(tmp_path, num_classes=None, palette=colors, ignored=[(9, 9, 9)])
    data.setup("test")
    mask = next(iter(data.test_dataloader()))["mask"][0]
    np.testing.assert_array_equal(mask, np.where(ids == 2, 255, ids))
    assert data.class_colors == tuple(colors)


def test_black_and_white_masks_need_a_palette(tmp_path):
    for index in range(4):
        write(tmp_path, str(index), mask=RANDOM.integers(0, 2, (12, 16), dtype=np.uint8) * 255)
    for num_classes in (2, 3):
        with pytest.raises(InputError, match=r"only 0 and 255.*palette to \[0, 255\]"):
            make(tmp_path, num_classes=num_classes).setup("fit")
    data = make(tmp_path, num_classes=2, palette=[0, 255])
    data.setup("fit")
    assert set(data.datasets["train"][0]["mask"].unique().tolist()) == {0, 1}
    with pytest.warns(UserWarning, match=r"no pixel of 1 of the 2 classes \(1 class 1\)"):
        make(tmp_path, num_classes=2, ignored=[255]).setup("fit")


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_white_in_a_single_mask_is_detected_in_every_stage(tmp_path, stage):
    for split in ("train", "val", "test"):
        for index in range(25):
            mask = np.full((4, 4), 255 if index == 17 else 0, np.uint8)
            write(tmp_path / split, f"{index:02}", size=(4, 4), mask=mask)
    with pytest.raises(InputError, match=r"only 0 and 255"):
        make(tmp_path, num_classes=2).setup(stage)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "only 255, and 255 would be ignored"), ({"ignored": [255]}, "every pixel")],
)
def test_masks_that_are_ignored_all_over_are_refused(tmp_path, settings, expected):
    for index in range(4):
        write(tmp_path, str(index), mask=np.full((12, 16), 255, np.uint8))
    with pytest.raises(InputError, match=f"train: .*{expected}"):
        make(tmp_path, **settings).setup("fit")


def test_a_region_without_data_is_refused_and_not_advised_as_white(tmp_path):
    image, mask = np.full((20, 20, 3), 9, np.uint8), np.zeros((20, 20), np.uint8)
    image[10:], mask[:2] = 0, 1
    for folder, pixels in (("images", image), ("masks", mask)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", pixels, extratags=[(42113, "s", 0, "0", 1)])
    regions = {"val_region": (0.2, 0, 0.8, 1), "test_region": (0.8, 0, 1, 1)}
    data = make(tmp_path, num_classes=2, crop_size=2, **regions)
    data.setup("fit")  # val holds 0 and no data, which is not 255 in the masks
    with pytest.raises(InputError, match=r"test: every pixel is ignored.*no data in the images"):
        data.setup("test")


def test_masks_are_read_once_and_again_after_a_change(root):
    make(root, fractions=(0.5, 0.5, 0.0)).setup("fit")
    trained = make(root, fractions=(0.5, 0.5, 0.0)).pairs("train")
    status = trained[0].label.stat()
    trained[0].label.write_bytes(b"?" * status.st_size)
    os.utime(trained[0].label, ns=(status.st_atime_ns, status.st_mtime_ns))
    decoded = make(root, fractions=(0.5, 0.5, 0.0))
    decoded.counts_labels = True
    counts = cached_counts(trained, decoded.reader, 0, root)
    assert sum(counts.pixels) == 5 * 12 * 16
    os.utime(trained[0].label)
    with pytest.raises(InputError, match="cannot be read as an image"):
        cached_counts(trained, decoded.reader, 0, root)


def test_classes_without_a_training_pixel_and_ids_from_1_are_noted(root, recwarn):
    for path in (root / "masks").iterdir():
        Image.fromarray(np.full((12, 16), 1, np.uint8)).save(path)
    make(root, num_classes=3).setup("fit")
    said = [str(warning.message) for warning in recwarn if "train: " in str(warning.message)]
    assert "2 of the 3 classes (0 class 0, 2 class 2), so training cannot learn them" in said[0]
    assert "set num_classes to 2 and palette to [1, 2]" in said[1]


def test_a_fit_counts_masks_with_inexact_values_in_one_sentence(root, recwarn):
    for path in (root / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 98], np.uint8), (12, 16))).save(path)
    settings = {"num_classes": 2, "palette": [0, 100], "tolerance": 5, "fractions": (0.8, 0.2, 0)}
    for _ in range(2):  # the second reads the cached counts
        warnings.simplefilter("always")
        data = make(root, **settings)
        data.setup("fit")
        said = [str(recwarn.pop(UserWarning).message) for _ in range(2)]
        assert said[0].startswith("train: 8 mask(s) hold pixels that only nearly have")
        assert said[1].startswith("val: 2 mask(s) hold pixels that only nearly have")


def test_fit_needs_no_validation_images(root):
    data = make(root, fractions=(0.8, 0.0, 0.2))
    with pytest.warns(UserWarning, match="val: there are no images: fit evaluates nothing"):
        data.setup("fit")
    assert data.val_dataloader() == []


def test_a_mask_suffix_is_taken_off(tmp_path):
    write(tmp_path, "a")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "a_mask.png")
    data = make(tmp_path, mask_suffix="_mask", fractions=(1.0, 0.0, 0.0))
    assert [pair.name for pair in data.pairs("train")] == ["a"]


@pytest.mark.parametrize(
    ("dtype", "value", "settings", "expected"),
    [
        (np.uint16, 65535, {}, 1.0),
        (np.uint16, 2048, {"value_range": (0.0, 4096.0)}, 0.5),
        (np.float32, 0.25, {}, 0.25),
        (np.float32, 30.0, {"value_range": (10.0, 50.0)}, 0.5),
        (np.int16, -50, {"value_range": (-100.0, 100.0)}, 0.25),
        (np.float32, np.nan, {"value_range": (10.0, 50.0)}, 0.0),
    ],
)
def test_rasters_of_any_dtype_are_scaled_to_0_to_1(tmp_path, dtype, value, settings, expected):
    (tmp_path / "images").mkdir()
    array = np.full((12, 16, 3), value, dtype)
    tifffile.imwrite(tmp_path / "images" / "a.tif", array, photometric="rgb")
    data = make(tmp_path, predict_root=tmp_path / "images", **settings)
    data.setup("predict")
    image = next(iter(data.predict_dataloader()))["image"]
    torch.testing.assert_close(image, torch.full((1, 3, 12, 16), expected))


def test_floats_beyond_1_need_a_range(tmp_path):
    (tmp_path / "images").mkdir()
    array = np.full((12, 16, 3), 30.0, np.float32)
    tifffile.imwrite(tmp_path / "images" / "a.tif", array, photometric="rgb")
    data = make(tmp_path, predict_root=tmp_path / "images")
    data.setup("predict")
    with pytest.raises(InputError, match=r"a\.tif.*from 30 to 30.*Set value_range"):
        data.datasets["predict"][0]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32])
def test_integers_of_unknown_range_need_one(tmp_path, dtype):
    (tmp_path / "images").mkdir()
    array = np.full((12, 16, 3), 700, dtype)
    tifffile.imwrite(tmp_path / "images" / "a.tif", array, photometric="rgb")
    data = make(tmp_path, predict_root=tmp_path / "images")
    data.setup("predict")
    with pytest.raises(InputError, match=rf"a\.tif .*{np.dtype(dtype)}.*700.*Set value_range"):
        data.datasets["predict"][0]


@pytest.mark.parametrize("value_range", [(1.0, 1.0), (5.0, 2.0), (float("nan"), 1.0)])
def test_a_reversed_value_range_is_refused(tmp_path, value_range):
    with pytest.raises(InputError, match=r"value_range is .*first value must be"):
        make(tmp_path, value_range=value_range)


def test_evaluation_prefetches_one_image_per_worker(root):
    data = make(root, num_workers=2)
    data.setup("validate")
    assert data.val_dataloader().prefetch_factor == 1


def test_a_missing_folder_is_named_with_the_expected_layout(tmp_path):
    with pytest.raises(InputError, match=r"images does not exist.*masks of the same names"):
        make(tmp_path).setup("fit")


def test_sizes_that_differ_are_named_before_training(root):
    write(root, "03", size=(12, 16), suffix=".jpg")
    Image.fromarray(np.zeros((12, 15), np.uint8)).save(root / "masks" / "03.png")
    message = r"03\.jpg is 16 x 12 pixels, but its label .*03\.png is 15 x 12\. Make both"
    with pytest.raises(InputError, match=message):
        make(root, fractions=(0.5, 0.5, 0.0)).setup("fit")


def test_an_image_without_a_mask_is_named(root):
    (root / "masks" / "03.png").unlink()
    with pytest.raises(InputError, match=r"1 image\(s\) without a label in .*masks: .*03\.jpg"):
        make(root).setup("fit")


def test_a_mask_without_an_image_is_named(root):
    (root / "images" / "04.png").unlink()
    with pytest.raises(InputError, match=r"1 label\(s\) without an image in .*images: .*04\.png"):
        make(root).setup("fit")


def test_two_files_of_one_name_are_refused(root):
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(root / "images" / "03.png")
    with pytest.raises(InputError, match=r"03\.jpg and .*03\.png have the same name"):
        make(root).setup("fit")


def test_a_file_that_is_no_image_is_named_before_training(root):
    (root / "images" / "03.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"03\.jpg cannot be read as an image"):
        make(root, fractions=(0.5, 0.5, 0.0)).setup("fit")


def test_a_label_value_beyond_the_classes_is_named(tmp_path):
    write(tmp_path, "a", mask=np.full((12, 16), 7, np.uint8))
    with pytest.raises(InputError, match=r"a\.png: label value 7 at row 0.*raise num_classes"):
        make(tmp_path, fractions=(0.0, 0.0, 1.0)).setup("test")


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_empty_split_is_named(root, split):
    with pytest.raises(InputError, match=f"The {split} split of .* holds no images"):
        make(root, fractions=(1.0, 0.0, 0.0)).setup("validate" if split == "val" else "test")


PHOTOS = {"a": (12, 16), "b": (12, 16), "c": (12, 18), "d": (12, 18), "e": (12, 18), "f": (12, 16)}


def test_images_of_equal_size_share_an_evaluation_batch(tmp_path):
    for name, size in PHOTOS.items():
        write(tmp_path, name, size=size)
    data = make(tmp_path, fractions=(0.0, 0.0, 1.0), eval_batch_size=2)
    data.setup("test")
    assert [batch["name"] for batch in data.test_dataloader()] == [
        ["a", "b"], ["c", "d"], ["e"], ["f"],
    ]  # fmt: skip


def test_resized_images_share_an_evaluation_batch(tmp_path):
    for name, size in PHOTOS.items():
        write(tmp_path, name, size=size)
    resize = [A.Resize(12, 16)]
    data = make(tmp_path, fractions=(0.0, 0.0, 1.0), eval_batch_size=4, eval_transforms=resize)
    data.setup("test")
    assert [len(batch["name"]) for batch in data.test_dataloader()] == [4, 2]


def test_sizes_that_cannot_share_a_training_batch_are_refused_at_the_start(tmp_path):
    for name, size in PHOTOS.items():
        write(tmp_path, name, size=size)
    data = make(tmp_path, fractions=(0.5, 0.5, 0.0), batch_size=2)
    with pytest.raises(InputError, match=r"train: .* is 16 x 12 pixels, .*18 x 12.*crop_size"):
        data.setup("fit")


def test_transforms_that_fail_in_validation_are_refused_at_the_start(tmp_path):
    for name, size in PHOTOS.items():
        write(tmp_path, name, size=size)
    too_large = [A.RandomCrop(14, 14)]
    data = make(tmp_path, fractions=(0.5, 0.5, 0.0), batch_size=1, eval_transforms=too_large)
    with pytest.raises(InputError, match=r"val: .*the transform RandomCrop fails"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": None}, "Set num_classes or class_names"),
        ({"num_classes": 1}, "Give at least 2"),
        ({"num_classes": 2, "images": "{split}"}, "Write it in both"),
        ({"num_classes": 2, "val_region": (0.5, 0.0, 1.0, 1.0)}, "need crop_size"),
        ({"num_classes": 3, "class_names": ["a", "b"]}, "num_classes 3, class_names 2"),
        ({"num_classes": 2, "palette": [(0, 0, 0), (0, 0, 256)]}, "is not a colour"),
        ({"num_classes": 2, "palette": [0, (0, 0, 255)]}, "numbers alone"),
        (
            {"num_classes": 2, "palette": [(0, 0, 0), (1, 1, 1)], "ignored": [3]},
            "3 is not a colour",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        make(Path("nowhere"), **settings)


def test_the_last_incomplete_batch_is_dropped_only_where_others_remain(root):
    sizes = {}
    for batch_size in (3, 20):
        data = make(root, fractions=(0.8, 0.1, 0.1), batch_size=batch_size)
        data.setup("fit")
        sizes[batch_size] = [len(batch["name"]) for batch in data.train_dataloader()]
    assert sizes == {3: [3, 3], 20: [8]}


def test_lightning_predicts_with_our_loaders(root):
    class Echo(pl.LightningModule):
        def predict_step(self, batch, _):
            return batch["name"]

    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    data = make(root, eval_batch_size=2)
    predicted = trainer.predict(Echo(), datamodule=data)
    assert list(chain(*predicted)) == names(data)["test"]


BLENDED = {"num_classes": 2, "palette": [(0, 0, 0), (250, 0, 0)], "fractions": (0.0, 0.0, 1.0)}


def blended(root: Path) -> Path:
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[:, 8:, 0] = 250
    mask[:, 7, 0], mask[:, 8, 0] = 90, 160
    write(root, "a", mask=mask)
    return root


@pytest.mark.parametrize(("unknown", "expected"), [("nearest", [0, 1]), ("void", [255, 255])])
def test_blended_colours_are_nearest_or_void_by_option(tmp_path, unknown, expected):
    data = make(blended(tmp_path), **BLENDED, unknown=unknown)
    data.setup("test")
    mask = next(iter(data.test_dataloader()))["mask"][0]
    assert mask[0].tolist() == [0] * 7 + expected + [1] * 7


def test_numbers_between_classes_are_nearest_by_option(tmp_path):
    write(tmp_path, "a", mask=np.resize(np.array([0, 30, 140, 240], np.uint8), (12, 16)))
    settings = {"num_classes": 2, "palette": [0, 200], "ignored": [255], "unknown": "nearest"}
    data = make(tmp_path, fractions=(0.0, 0.0, 1.0), **settings)
    data.setup("test")
    assert next(iter(data.test_dataloader()))["mask"][0, 0, :4].tolist() == [0, 0, 1, 255]


def test_unknown_colours_advise_the_options_and_the_largest_tolerance(tmp_path):
    blended(tmp_path)
    with pytest.raises(InputError, match=r"tolerance \(at most 124\), or set unknown to nearest"):
        make(tmp_path, **BLENDED).setup("test")
    make(tmp_path, **BLENDED, tolerance=124).setup("test")
    with pytest.raises(InputError, match=r"tolerance is 125, .*Set tolerance to at most 124"):
        make(tmp_path, **BLENDED, tolerance=125)
    with pytest.raises(InputError, match="unknown is 'void '"):
        make(tmp_path, **BLENDED, unknown="void ")


def test_images_and_masks_of_one_folder_are_told_apart_by_their_endings(tmp_path):
    (tmp_path / "all").mkdir()
    for ending in ("_image.png", "_mask.png", "_colored.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "all" / f"001{ending}")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "all" / "001.jpg")
    both = {"images": "all", "masks": "all", "fractions": (1.0, 0.0, 0.0)}
    for image, mask, expected in (
        ("_image", "_mask", ["001_image.png", "001_mask.png"]),
        (".jpg", "_mask.png", ["001.jpg", "001_mask.png"]),
    ):
        (pair,) = make(tmp_path, **both, image_suffix=image, mask_suffix=mask).pairs("train")
        assert pair.name == "001"
        assert [pair.image.name, pair.label.name] == expected
    with pytest.raises(InputError, match="images and masks are both all"):
        make(tmp_path, **both)


def test_lists_may_name_sub_folders_and_whole_file_names(tmp_path):
    for name in ("a/1_photo", "a/2_photo", "b/3_photo"):
        write(tmp_path, name)
    for path in (tmp_path / "masks").rglob("*.png"):
        path.rename(path.with_name(path.name.replace("_photo", "")))
    (tmp_path / "t.txt").write_text("a/\n")
    (tmp_path / "v.txt").write_text("b/3_photo.png\n")
    lists = {"train_list": "t.txt", "val_list": "v.txt", "image_suffix": "_photo"}
    found = names(make(tmp_path, **lists))
    assert found == {"train": ["a/1", "a/2"], "val": ["b/3"], "test": []}


def test_without_a_val_folder_a_share_of_train_validates(tmp_path):
    for index in range(10):
        write(tmp_path / "train", str(index))
    write(tmp_path / "test", "x")
    data = make(tmp_path, fractions=(0.6, 0.2, 0.2))
    found = names(data)
    assert [len(found[split]) for split in ("train", "val")] == [7, 3]
    assert sorted(found["train"] + found["val"]) == [str(index) for index in range(10)]
    assert found["test"] == ["x"]
    assert "0.75 and 0.25" in data.about_splits()
    write(tmp_path / "val", "y")
    assert names(make(tmp_path))["val"] == ["y"]


def test_predict_root_may_be_a_pattern_or_a_list(tmp_path):
    for name in ("a/1_rgb", "a/1_dsm", "b/2_rgb"):
        write(tmp_path, name)
    pattern = str(tmp_path / "images" / "*" / "*_rgb.png")
    found = make(tmp_path, predict_root=pattern).predict_pairs()
    assert [pair.name for pair in found] == ["a/1_rgb", "b/2_rgb"]
    listed = [str(tmp_path / "images" / "a" / "1_dsm.png"), str(tmp_path / "images" / "b")]
    found = make(tmp_path, predict_root=listed).predict_pairs()
    assert [pair.name for pair in found] == ["1_dsm", "2_rgb"]
    with pytest.raises(InputError, match=r"no image matches .*_nir"):
        make(tmp_path, predict_root=pattern.replace("_rgb", "_nir")).predict_pairs()
    write(tmp_path, "c/2_rgb")
    twice = [str(tmp_path / "images" / "b"), str(tmp_path / "images" / "c")]
    with pytest.raises(InputError, match=r"have the same name, 2_rgb"):
        make(tmp_path, predict_root=twice).predict_pairs()


def test_a_pattern_leaves_out_previews_of_the_same_name(tmp_path):
    for suffix in (".png", ".jpg"):
        write(tmp_path, "1", suffix=suffix)
    found = make(tmp_path, predict_root=str(tmp_path / "images/*.png")).predict_pairs()
    assert [pair.image.name for pair in found] == ["1.png"]


@pytest.mark.parametrize("crops", [{}, {"crop_size": 8, "samples_per_epoch": 2}])
def test_a_colour_transform_on_four_bands_names_transform_and_file(tmp_path, crops):
    for kind, shape in (("images", (12, 16, 4)), ("masks", (12, 16))):
        (tmp_path / kind).mkdir()
        tifffile.imwrite(tmp_path / kind / "a.tif", np.zeros(shape, np.uint8))
    transforms = [A.HorizontalFlip(p=0.5), A.HueSaturationValue(p=1.0)]
    settings = {"in_channels": 4, "fractions": (1.0, 0.0, 0.0), "train_transforms": transforms}
    data = make(tmp_path, **settings, **crops)
    data.setup("fit")
    with pytest.raises(InputError, match=r"a\.tif: the transform HueSaturationValue .*4 channel"):
        data.datasets["train"][0]
