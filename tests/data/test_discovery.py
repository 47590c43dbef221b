"""Settings that fit a folder of images and masks."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data import FolderDataModule
from lightning_seg.data.discovery import find_classes, find_image_format, find_layout
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.testing.files import write_tiff

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (24, 32, 3), dtype=np.uint8)


def mask(*values, kind=np.uint8):
    """Stripes of these values or colours."""
    return np.repeat(np.repeat(np.array([values], kind), 24, 0), 4, 1)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        write_tiff(path, array)
    else:
        Image.fromarray(array).save(path)


def write(root: Path, pattern: str, mask_pattern: str, names="abcd", label=None) -> Path:
    for name in names:
        save(root / pattern.format(name), PHOTO)
        save(root / mask_pattern.format(name), mask(0, 1, 2) if label is None else label)
    return root


def paired(settings: dict, split: str = "train") -> Counter:
    """Return how many images of a split are paired with a mask of these settings."""
    settings = {"fractions": [1.0, 0.0, 0.0], "crop_size": 8} | settings
    pairs = FolderDataModule(num_classes=3, **settings).pairs(split)
    assert all(pair.image != pair.label for pair in pairs)
    assert not any("mask" in pair.image.name for pair in pairs)
    return len(pairs)


@pytest.mark.parametrize(
    ("pattern", "mask_pattern", "expected"),
    [
        ("images/{}.jpg", "masks/{}.png", {"images": "images", "masks": "masks"}),
        ("photos/{}.png", "GT/{}.png", {"images": "photos", "masks": "GT"}),
        ("in/x/images/{}.jpg", "in/x/masks/{}.png", {"images": "images", "masks": "masks"}),
        ("images/town/{}.jpg", "masks/town/{}.png", {"images": "images", "masks": "masks"}),
        ("i/{}_sat.png", "m/{}_mask.png", {"image_suffix": "_sat", "mask_suffix": "_mask"}),
        ("{}.jpg", "{}_mask.png", {"images": ".", "masks": ".", "mask_suffix": "_mask"}),
        ("{}.jpg", "{}.png", {"image_suffix": ".jpg", "mask_suffix": ".png"}),
        # Nothing in the names: masks have few values.
        ("one/{}.png", "two/{}.png", {"images": "one", "masks": "two"}),
    ],
)
def test_images_and_masks_are_found_by_names_and_content(tmp_path, pattern, mask_pattern, expected):
    layout = find_layout(write(tmp_path, pattern, mask_pattern))
    assert expected.items() <= layout.settings.items()
    layout.settings.pop("fractions")
    assert paired(layout.settings) == 4


@pytest.mark.parametrize(
    ("pattern", "mask_pattern", "images", "masks"),
    [
        ("{}/images/{{}}.jpg", "{}/masks/{{}}.png", "{split}/images", "{split}/masks"),
        ("images/{}/{{}}.jpg", "masks/{}/{{}}.png", "images/{split}", "masks/{split}"),
        ("{}/{{}}.jpg", "{}annot/{{}}.png", "{split}", "{split}annot"),
        ("images_{}/{{}}.jpg", "masks_{}/{{}}.png", "images_{split}", "masks_{split}"),
    ],
)
def test_folders_of_splits_are_used(tmp_path, pattern, mask_pattern, images, masks):
    for split, names in (("train", "abc"), ("valid", "de"), ("test", "f")):
        write(tmp_path, pattern.format(split), mask_pattern.format(split), names)
    settings = find_layout(tmp_path).settings
    assert (settings["images"], settings["masks"]) == (images, masks)
    assert settings["split_folders"] == {"val": "valid"}
    assert [paired(settings, split) for split in ("train", "val", "test")] == [3, 2, 1]


def test_folders_that_are_given_may_hold_splits(tmp_path):
    for split, names in (("train", "abc"), ("valid", "de"), ("test", "f")):
        for folder in ("images", "masks", "masks_old"):
            for name in names:
                array = PHOTO if folder == "images" else mask(0, 1, 2)
                save(tmp_path / folder / split / f"{name}.png", array)
    settings = find_layout(tmp_path, "images", "masks").settings
    assert (settings["images"], settings["masks"]) == ("images/{split}", "masks/{split}")
    assert [paired(settings, split) for split in ("train", "val", "test")] == [3, 2, 1]


def test_without_test_masks_the_validation_images_are_tested(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, f"{split}/{{}}.jpg", f"{split}annot/{{}}.png")
    save(tmp_path / "test" / "a.jpg", PHOTO)
    layout = find_layout(tmp_path)
    assert layout.settings["split_folders"] == {"test": "val"}
    assert layout.remarks == ["No test images have masks: test uses the validation images."]
    assert paired(layout.settings, "test") == 4


@pytest.mark.parametrize(
    ("pattern", "mask_pattern"),
    [
        ("images/{}/{{}}.png", "masks/{}/{{}}.png"),
        ("{}/images/{{}}.png", "{}/masks/{{}}.png"),
        ("{}/{{}}_sat.png", "{}/{{}}_mask.png"),
    ],
)
def test_without_masks_of_val_a_share_of_train_validates(tmp_path, pattern, mask_pattern):
    write(tmp_path, pattern.format("train"), mask_pattern.format("train"), "abcdef")
    write(tmp_path, pattern.format("test"), mask_pattern.format("test"), "gh")
    save(tmp_path / pattern.format("val").format("z"), PHOTO)
    layout = find_layout(tmp_path)
    assert layout.settings["split_folders"] == {"val": "none"}
    assert layout.remarks == ["No validation images have masks: a share of train validates."]
    settings = layout.settings | {"fractions": [0.5, 0.5, 0.0]}
    assert [paired(settings, split) for split in ("train", "val", "test")] == [3, 3, 2]


def test_lists_of_names_are_used(tmp_path):
    write(tmp_path, "JPEGImages/{}.jpg", "SegmentationClass/{}.png")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "train.txt").write_text("a\nb\nc\n")
    (tmp_path / "sets" / "val.txt").write_text("d\n")
    settings = find_layout(tmp_path).settings
    assert settings["train_list"] == "sets/train.txt"
    assert [paired(settings, split) for split in ("train", "val", "test")] == [3, 1, 1]


@pytest.mark.parametrize(
    ("lists", "expected", "remark"),
    [
        ({"train": "images/a.png\nimages/b.png", "val": "images/c.png"}, "ab|c|c", "no test list"),
        ({"val": "c", "test": "d"}, "ab|c|d", ""),
        ({"test": "d\nc"}, "?|?|dc", ""),
        (
            {"train": "a\nmissing", "val": "c", "test": "d"},
            "ab|c|d",
            "train.txt, line 2, names mis",
        ),
        ({"train": "a\nb", "val": "c", "x/test": "a\nz"}, "ab|c|c", "test.txt, line 2, names z"),
        ({"train": "a\nb", "val": "c", "test": "unlabelled"}, "ab|c|c", "no images with masks"),
        ({"train": "a\nb", "x/train": "a", "val": "c"}, "ab|c|c", "x/train.txt is not used"),
        (
            {"train": "a\nunlabelled", "x/train": "a", "val": "c"},
            "a|c|c",
            "/train.txt is not used: ",
        ),
        ({"train": "a"}, "?|?|?", "train.txt is not used: no list beside it"),
    ],
)
@pytest.mark.parametrize("below", ["", "data/"])
def test_lists_of_every_kind_are_used_or_named(tmp_path, lists, expected, remark, below):
    write(tmp_path, below + "images/{}.png", below + "masks/{}.png")
    if "unlabelled" in "".join(lists.values()):
        save(tmp_path / below / "images" / "unlabelled.png", PHOTO)
    for name, lines in lists.items():
        (tmp_path / "x").mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(lines)
    layout = find_layout(tmp_path)
    data = FolderDataModule(num_classes=3, **layout.settings)
    found = {split: [p.name for p in data.pairs(split)] for split in ("train", "val", "test")}
    for names, split in zip(expected.split("|"), found, strict=True):
        assert names == "?" or found[split] == [*names]
    assert remark in " ".join(layout.remarks)


def test_lists_beside_folders_of_splits_are_named(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, f"{split}/{{}}.jpg", f"{split}annot/{{}}.png")
    (tmp_path / "train.txt").write_text("a\n")
    assert "train.txt is not used: the folders tell" in " ".join(find_layout(tmp_path).remarks)


def test_regions_of_a_single_image_validate_and_test(tmp_path):
    write(tmp_path, "top_2_10_RGB.tif", "top_2_10_label.tif", "a")
    settings = find_layout(tmp_path).settings
    data = FolderDataModule(num_classes=3, crop_size=8, **settings)
    (train,), (val,), (test,) = (data.pairs(split) for split in ("train", "val", "test"))
    assert set(train.without) == {val.part, test.part}
    assert data.pairs("predict")[0].part is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no images"),
        (["images/a.png", "masks/b.png"], "No image .* has a mask of the same name.*--images"),
        (["one/a.png", "two/a.png"], "Masks cannot be told from images.*--masks"),
        (["images/a.png", "masks/a.png", "labels/a.png"], "hold masks: labels, masks.*--masks"),
        (["images/a.png", "depth/a.png", "masks/a.png"], "hold images: depth, images.*--images"),
    ],
)
def test_folders_that_cannot_be_understood_say_what_to_give(tmp_path, files, message):
    for file in files:
        save(tmp_path / file, PHOTO)
    with pytest.raises(InputError, match=message):
        find_layout(tmp_path)


def test_named_folders_decide(tmp_path):
    for file in ("images/a.png", "masks/a.png", "labels/a.png"):
        save(tmp_path / file, PHOTO)
    settings = find_layout(tmp_path, images="images", masks="labels").settings
    assert (settings["images"], settings["masks"]) == ("images", "labels")


@pytest.mark.parametrize("given", [("photos", "truth"), ("photos", None), (None, "truth")])
def test_folders_that_are_given_are_not_guessed_by_content(tmp_path, given):
    for name in "abc":
        save(tmp_path / "photos" / f"{name}.png", mask(0, 255))  # few values, as masks have
        save(tmp_path / "truth" / f"{name}.png", PHOTO)
    settings = find_layout(tmp_path, *given).settings
    assert (settings["images"], settings["masks"]) == ("photos", "truth")


def test_content_tells_masks_of_images_with_16_bits_and_a_black_first_one(tmp_path):
    write(tmp_path, "one/{}.tif", "two/{}.tif")
    for name in "abcd":
        image = PHOTO.astype(np.uint16) * 16 * (name != "a")
        save(tmp_path / "one" / f"{name}.tif", image)
    settings = find_layout(tmp_path).settings
    assert (settings["images"], settings["masks"]) == ("one", "two")


GREEN, BLACK, RED = (0, 200, 0), (0, 0, 0), (250, 10, 10)


@pytest.mark.parametrize(
    ("stripes", "expected"),
    [
        ((0, 1, 2), {"num_classes": 3}),
        ((0, 1, 3, 255), {"num_classes": 4, "ignored": [255]}),
        ((1, 2, 3), {"palette": [1, 2, 3]}),
        ((0, 255), {"palette": [0, 255]}),
        ((0, 128, 255), {"palette": [0, 128, 255]}),
        ((GREEN, BLACK, RED), {"palette": [[0, 0, 0], [0, 200, 0], [250, 10, 10]]}),
        (
            ((255, 255, 255), (0, 0, 255), (0, 255, 0), BLACK),
            {
                "class_names": ["impervious surface", "building", "tree"],
                "palette": [[255, 255, 255], [0, 0, 255], [0, 255, 0]],
                "ignored": [[0, 0, 0]],
            },
        ),
    ],
)
def test_classes_are_found_in_the_masks(tmp_path, stripes, expected):
    save(tmp_path / "a.png", mask(*stripes))
    assert find_classes([tmp_path / "a.png"]).settings == expected


def test_indices_of_a_palette_are_class_numbers(tmp_path):
    image = Image.fromarray(mask(0, 7, 15))
    image.putpalette([value for i in range(256) for value in (i, 0, 255 - i)])
    image.save(tmp_path / "a.png")
    assert find_classes([tmp_path / "a.png"]).settings == {"num_classes": 16}


def test_blended_colours_of_a_jpeg_are_taken_for_the_nearest(tmp_path):
    colors = np.zeros((128, 128, 3), np.uint8)
    colors[:, 64:] = 255
    path = tmp_path / "a.png"
    blend = RANDOM.integers(1, 255, (128, 1), dtype=np.uint8)
    colors[:, 63] = blend
    Image.fromarray(colors[..., 0]).save(path)
    settings = find_classes([path]).settings
    assert settings == {"unknown": "nearest", "palette": [0, 255]}


@pytest.mark.parametrize(
    "colors", [((0, 0, 0), (255, 255, 255)), ((0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200))]
)
def test_a_few_blends_at_smooth_borders_are_taken_for_the_nearest(tmp_path, colors):
    areas = np.zeros((200, 200), int)
    areas[60:, :90] = 1
    areas[:100, 120:] = 2 % len(colors)
    areas[150:160, 150:162] = 3 % len(colors)  # a class of 0.3 % of the pixels
    sharp = Image.fromarray(np.array(colors, np.uint8)[areas])
    sharp.resize((199, 199), Image.Resampling.BILINEAR).save(tmp_path / "a.png")
    layout = find_classes([tmp_path / "a.png"])
    expected = sorted([*color] for color in colors)
    expected = [color[0] for color in expected] if len(colors) == 2 else expected
    assert layout.settings == {"unknown": "nearest", "palette": expected}
    assert "taken for the nearest class" in "".join(layout.remarks)
    assert "--ignored" not in "".join(layout.remarks)


def test_thin_lines_are_classes(tmp_path):
    lines = np.zeros((40, 40), np.uint8)
    for number in range(1, 9):
        lines[4 * number] = lines[:, 4 * number] = 20 * number
    save(tmp_path / "a.png", lines)
    assert find_classes([tmp_path / "a.png"]).settings == {"palette": [*range(0, 161, 20)]}


def test_colours_may_begin_in_any_mask_and_in_any_part(tmp_path):
    masks = [tmp_path / f"{number:02}.tif" for number in range(12)]
    for path in masks:
        colors = np.zeros((1100, 8, 3), np.uint8)
        colors[:4] = RED if path == masks[-1] else BLACK
        save(path, colors)
    assert find_classes(masks).settings == {"palette": [[*BLACK], [*RED]]}


def test_every_one_of_several_hundred_masks_is_read(tmp_path):
    for number in range(520):
        save(tmp_path / f"{number:03}.png", mask(0, 1, 2 if number == 207 else 0))
    layout = find_classes(sorted(tmp_path.iterdir()))
    assert layout.settings == {"num_classes": 3}


def tagged(path: Path, array: np.ndarray, nodata: str) -> Path:
    """Write a GeoTIFF whose header has a number for no data."""
    tifffile.imwrite(path, array, extratags=[(42113, "s", 0, nodata, True)])
    return path


@pytest.mark.parametrize(
    ("stripes", "nodata", "expected", "remark"),
    [
        ((0, 1, 2, 127), "127", {"num_classes": 3, "ignored": [127]}, "127 is ignored: the masks'"),
        ((0, 1, 2, 3), "3", {"num_classes": 3, "ignored": [3]}, "3 is ignored"),
        ((0, 1, 15, 255), "15", {"num_classes": 2, "ignored": [15, 255]}, "15 is ignored"),
        ((0, 1, 2), "0", {"num_classes": 3}, "0 is taken for a class, although"),
        ((0, 255), "255", {"palette": [0, 255]}, "255 is taken for a class, although"),
        ((0, 1), "1", {"num_classes": 2}, "1 is taken for a class, although"),
        (
            (GREEN, RED, (7, 7, 7)),
            "7",
            {"palette": [[*GREEN], [*RED]], "ignored": [[7, 7, 7]]},
            "7 is ignored",
        ),
    ],
)
def test_what_the_header_calls_no_data_is_ignored(tmp_path, stripes, nodata, expected, remark):
    layout = find_classes([tagged(tmp_path / "a.tif", mask(*stripes), nodata)])
    assert layout.settings == expected
    assert remark in layout.remarks[0]


def test_a_grey_is_ignored_among_colours(tmp_path):
    save(tmp_path / "a.png", mask(GREEN, BLACK, RED))
    settings = find_classes([tmp_path / "a.png"], ignored=[0]).settings
    assert settings == {"palette": [[*GREEN], [*RED]], "ignored": [[0, 0, 0]]}
    with pytest.raises(InputError, match=r"--ignored 5: the masks are colours.*\[5, 5, 5\]"):
        find_classes([tmp_path / "a.png"], ignored=[5])


def test_the_colour_of_each_name_is_said(tmp_path):
    save(tmp_path / "a.png", mask(RED, GREEN))
    layout = find_classes([tmp_path / "a.png"], ["roof", "tree"])
    assert "roof [0, 200, 0], tree [250, 10, 10]" in "".join(layout.remarks)


def test_names_and_ignored_numbers_are_taken(tmp_path):
    save(tmp_path / "a.png", mask(0, 1, 2))
    settings = find_classes([tmp_path / "a.png"], ["null", "shirt"], [2]).settings
    assert settings == {"ignored": [2], "class_names": ["null", "shirt"]}
    with pytest.raises(InputError, match=r"--classes names 2 classes.*hold 3 \(0 to 2\)"):
        find_classes([tmp_path / "a.png"], ["null", "shirt"])


@pytest.mark.parametrize(
    ("file", "stripes", "expected"),
    [
        ("a.tif", ((0, 1, 1), (1, 0, 0)), {"num_classes": 3}),
        ("a.png", ((0, 1, 1), (0, 255, 0)), {"num_classes": 3, "ignored": [255]}),
        ("a.tif", ((0, 1, 0, 1, 1), (1, 1, 0, 0, 255)), {"num_classes": 5, "ignored": [255]}),
        ("a.tif", ((0, 255, 0, 0, 255), (255,) * 5), {"num_classes": 5, "palette": [0, 255]}),
    ],
)
def test_a_band_for_each_class_is_found(tmp_path, file, stripes, expected):
    save(tmp_path / "empty" / file, np.zeros_like(mask(*stripes)))
    save(tmp_path / file, mask(*stripes))
    layout = find_classes([tmp_path / "empty" / file, tmp_path / file])
    assert layout.settings == {"multi_label": True, **expected}
    assert f"Each of the masks' {len(stripes[0])} bands" in layout.remarks[0]


def test_bands_of_one_class_per_pixel_are_said_to_be_so(tmp_path):
    save(tmp_path / "a.tif", mask((0, 1, 0, 0, 255), (1, 0, 0, 0, 255), (0, 0, 0, 0, 0)))
    layout = find_classes([tmp_path / "a.tif"])
    assert layout.settings["multi_label"]
    assert "though no pixel has several. Save class numbers" in layout.remarks[0]


def test_a_fourth_band_that_holds_1_is_a_class_whatever_the_header_says(tmp_path):
    four = mask((0, 1, 0, 1), (1, 1, 0, 0))
    found = find_classes([with_alpha(tmp_path / "a.tif", four)])
    assert found.settings == {"multi_label": True, "num_classes": 4}
    found = find_classes([with_alpha(tmp_path / "b.tif", four * 255)])
    assert "multi_label" not in found.settings
    assert "last band is taken for opacity" in found.remarks[0]
    assert "num_classes: 4 and palette: [0, 255]" in found.remarks[0]


@pytest.mark.parametrize("stripes", [(0, 1, 2), ((0, 1, 0, 0, 0), (1, 0, 0, 0, 0))])
def test_masks_of_floats_are_refused(tmp_path, stripes):
    save(tmp_path / "a.tif", mask(*stripes, kind=np.float32))
    with pytest.raises(InputError, match=r"a\.tif: the mask holds float32.*with 8 or 16 bits"):
        find_classes([tmp_path / "a.tif"])


def test_band_names_are_class_names(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    profile = {"height": 24, "width": 8, "count": 2, "dtype": "uint8"}
    profile["transform"] = rasterio.Affine(0.5, 0, 1000, 0, -0.5, 2000)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **profile) as file:
        file.write(mask((0, 1), (1, 1)).transpose(2, 0, 1))
        file.descriptions = ("roof", "building")
    assert find_classes([tmp_path / "a.tif"]).settings["class_names"] == ["roof", "building"]
    settings = find_classes([tmp_path / "a.tif"], ["a", "b"]).settings
    assert settings == {"multi_label": True, "class_names": ["a", "b"]}
    with pytest.raises(InputError, match="names 1 classes, but the masks have 2 bands"):
        find_classes([tmp_path / "a.tif"], ["a"])


@pytest.mark.parametrize(
    ("stripes", "expected"),
    [
        (((0, 0, 0), (1, 1, 1)), {"num_classes": 2}),  # grey with three channels
        (((0, 0, 0, 255), (1, 1, 1, 255)), {"num_classes": 2}),  # and alpha
        (((0, 0, 255), (255, 0, 0)), {"palette": [[0, 0, 255], [255, 0, 0]]}),
    ],
)
def test_colours_and_grey_channels_are_no_bands(tmp_path, stripes, expected):
    save(tmp_path / "a.png", mask(*stripes))
    assert find_classes([tmp_path / "a.png"]).settings == expected


def test_photos_are_no_masks(tmp_path):
    save(tmp_path / "a.png", PHOTO)
    with pytest.raises(InputError, match="different values, so they are not masks"):
        find_classes([tmp_path / "a.png"])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (PHOTO, {}),
        (PHOTO[..., 0], {}),
        (PHOTO.astype(np.uint16) * 16, {"value_range": [0, 4095]}),
        (PHOTO.astype(np.uint16) * 257, {}),
        (PHOTO / np.float32(255), {}),
        (np.full((8, 8, 5), 40, np.uint8), {"in_channels": 5}),
        (np.dstack([PHOTO[..., :1]] * 4).astype(np.float32), {"in_channels": 4}),
    ],
)
def test_channels_and_value_range_are_found(tmp_path, array, expected):
    path = tmp_path / "a.tif"
    save(path, array)
    settings = find_image_format([Pair("a", path)]).settings
    if array.dtype == np.float32 and array.max() > 1:
        assert settings.pop("value_range") == [float(array.min()), float(array.max())]
    assert settings == expected


@pytest.mark.parametrize(
    ("kind", "nodata"), [(np.uint16, 65535), (np.int16, -32768), (np.int16, -9999)]
)
def test_no_data_is_outside_the_value_range(tmp_path, kind, nodata):
    image = PHOTO.astype(kind) * 10
    image[:4], image[8, :, 1] = nodata, nodata
    found = find_image_format([Pair("a", tagged(tmp_path / "a.tif", image, str(nodata)))])
    assert found.values == (0, 2550)
    assert found.settings["value_range"] == ([0, 4095] if kind == np.uint16 else [0, 2550])


def test_images_without_data_have_no_range(tmp_path):
    path = tagged(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint16), "0")
    found = find_image_format([Pair("a", path)])
    assert (found.settings, found.values) == ({}, (0, 0))
    assert "no data" in found.remarks[0]


def test_small_values_keep_their_digits(tmp_path):
    image = (PHOTO / np.float32(255) - np.float32(0.5)) * np.float32(6e-4)
    save(tmp_path / "a.tif", image)
    settings = find_image_format([Pair("a", tmp_path / "a.tif")]).settings
    assert settings["value_range"] == [-0.0003, 0.0003]


def test_images_of_several_types_are_named(tmp_path):
    save(tmp_path / "a.tif", PHOTO.astype(np.uint16) * 16)
    save(tmp_path / "b.tif", PHOTO)
    found = find_image_format([Pair(name, tmp_path / f"{name}.tif") for name in "ab"])
    assert (found.dtype, found.settings) == ("uint16, uint8", {})
    assert "several types (uint16, uint8)" in found.remarks[0]


def with_alpha(path: Path, array: np.ndarray) -> Path:
    """Write four bands as GDAL does by default, which calls the last alpha."""
    tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])
    return path


def test_infrared_that_the_header_calls_alpha_is_a_channel(tmp_path):
    infrared = np.dstack([PHOTO, PHOTO[..., 0]])
    found = find_image_format([Pair("a", with_alpha(tmp_path / "a.tif", infrared))])
    assert found.settings == {"in_channels": 4}
    assert "--data.in_channels 3 takes it for that" in found.remarks[0]
    infrared[..., 3] = np.where(PHOTO[..., 0] > 99, 255, 0)
    found = find_image_format([Pair("b", with_alpha(tmp_path / "b.tif", infrared))])
    assert found.settings == {}
    assert "--data.in_channels 4 reads it" in found.remarks[0]


def test_grey_with_alpha_is_read_as_three_channels(tmp_path):
    save(tmp_path / "a.png", PHOTO[..., :2])
    assert find_image_format([Pair("a", tmp_path / "a.png")]).settings == {}
