"""Dataset-specific behaviour: lists, folds, encodings and extra channels."""

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from lightning_seg import testing
from lightning_seg.data import (
    CelebAMaskHQDataModule,
    CityscapesDataModule,
    DFC2015DataModule,
    FolderDataModule,
    HELENDataModule,
    INRIADataModule,
    ISPRSDataModule,
    SUNRGBDDataModule,
    VOCDataModule,
)
from lightning_seg.data.datasets.camvid import _split
from lightning_seg.data.inspection import inspect_dataset
from lightning_seg.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"
POTSDAM = {"train_tiles": ["2_10", "7_8"], "val_tiles": ["3_12"], "test_tiles": ["2_13"]}
QUICK = {"num_workers": 0, "batch_size": 1}


def whole(module, split="train", place=0):
    """One whole sample, as evaluation sees it."""
    return module.dataset("val", [module.pairs(split)[place]])[0]


# ISPRS


@pytest.mark.parametrize("area", ["potsdam", "vaihingen"])
def test_each_fold_partitions_the_benchmarks_training_tiles(area):
    modules = [ISPRSDataModule(area=area, fold=fold) for fold in (1, 2, 3)]
    everything = {t for s in ("train", "val") for t in ISPRSDataModule(area=area).tiles[s]}
    held_out = [tile for module in modules for tile in module.tiles["val"]]
    assert len(held_out) == len(set(held_out)) == (15 if area == "potsdam" else 12)
    for module in modules:
        assert set(module.tiles["train"]) == everything - set(module.tiles["val"])
        assert len(module.tiles["test"]) == (14 if area == "potsdam" else 17)


def test_vaihingens_first_fold_is_that_of_the_published_code():
    assert ISPRSDataModule(area="vaihingen", fold=1).tiles["val"] == ("5", "15", "21", "30")


@pytest.mark.parametrize("fold", [0, 4, "1"])
def test_another_fold_is_refused(fold):
    with pytest.raises(InputError, match=r"fold is .*Set it to 1, 2 or 3"):
        ISPRSDataModule(fold=fold)


def test_clutter_can_be_trained_on_and_left_out_of_the_evaluation(tmp_path):
    masks = testing.write_potsdam(tmp_path)
    module = ISPRSDataModule(tmp_path, eval_clutter=False, crop_size=64, **POTSDAM, **QUICK)
    assert module.num_classes == 6
    assert module.class_names[-1] == "clutter"
    module.setup()
    assert any((module.datasets["train"][i]["mask"] == 5).any() for i in range(20))
    for split in ("val", "test"):
        sample = module.datasets[split][0]
        truth = masks[split][sample["name"]]
        assert (truth == 5).any()
        np.testing.assert_array_equal(sample["mask"], np.where(truth == 5, 255, truth))


def test_clutter_can_be_evaluated_only_as_a_class():
    with pytest.raises(InputError, match="Set clutter to true"):
        ISPRSDataModule(clutter=False, eval_clutter=True)


def test_elevation_is_the_last_channel_as_stored(tmp_path):
    testing.write_potsdam(tmp_path)
    module = ISPRSDataModule(tmp_path, bands="RGBIR", elevation=True, **POTSDAM, **QUICK)
    assert module.in_channels == 5
    stored = Image.open(
        tmp_path / "1_DSM_normalisation" / "dsm_potsdam_02_10_normalized_lastools.jpg"
    )
    expected = torch.from_numpy(np.asarray(stored) / np.float32(255))
    torch.testing.assert_close(whole(module)["image"][4], expected)
    plain = ISPRSDataModule(tmp_path, bands="RGBIR", **POTSDAM, **QUICK)
    torch.testing.assert_close(whole(plain)["image"], whole(module)["image"][:4])


def test_crops_of_image_elevation_and_label_are_of_one_place(tmp_path):
    testing.write_vaihingen(tmp_path)
    tiles = {"train_tiles": ["1"], "val_tiles": ["11"], "test_tiles": ["2"]}
    module = ISPRSDataModule(
        tmp_path, area="vaihingen", elevation=True, crop_size=24, **tiles, **QUICK
    )
    module.setup("fit")
    tile = whole(module)
    for index in range(5):
        crop = module.datasets["train"][index]
        row, column, height, width = crop["window"].tolist()
        assert (height, width) == (24, 24)
        part = np.s_[..., row : row + 24, column : column + 24]
        assert torch.equal(crop["image"], tile["image"][part])
        assert torch.equal(crop["mask"], tile["mask"][part])


def test_a_missing_elevation_is_named(tmp_path):
    testing.write_potsdam(tmp_path)
    name = "dsm_potsdam_02_10_normalized_lastools.jpg"
    (tmp_path / "1_DSM_normalisation" / name).unlink()
    with pytest.raises(InputError, match=rf"1 of 6 files of the train tiles.*{name}"):
        ISPRSDataModule(tmp_path, elevation=True, **POTSDAM, **QUICK).setup("fit")


def test_clutter_can_be_ignored(tmp_path):
    masks = testing.write_potsdam(tmp_path)
    module = ISPRSDataModule(tmp_path, clutter=False, **POTSDAM, **QUICK)
    assert module.class_names[-1] == "car"
    expected = masks["train"]["top_potsdam_2_10_RGB"]
    assert (expected == 5).any()
    np.testing.assert_array_equal(whole(module)["mask"], np.where(expected == 5, 255, expected))


def test_eroded_labels_are_ignored_where_they_are_black(tmp_path):
    masks = testing.write_potsdam(tmp_path)
    module = ISPRSDataModule(tmp_path, labels="eroded", **POTSDAM, **QUICK)
    mask = whole(module)["mask"].numpy()
    assert (mask[:2] == 255).all()
    np.testing.assert_array_equal(mask[2:], masks["train"]["top_potsdam_2_10_RGB"][2:])


def test_full_labels_can_train_and_eroded_labels_evaluate(tmp_path):
    testing.write_potsdam(tmp_path)
    module = ISPRSDataModule(tmp_path, eval_labels="eroded", **POTSDAM, **QUICK)
    assert (whole(module, "train")["mask"] != 255).all()
    for split in ("val", "test"):
        assert (whole(module, split)["mask"][:2] == 255).all()


def test_a_field_of_view_of_four_halves_the_resolution(tmp_path):
    masks = testing.write_potsdam(tmp_path, size=(64, 80))
    full = ISPRSDataModule(tmp_path, elevation=True, **POTSDAM, **QUICK)
    half = ISPRSDataModule(
        tmp_path, elevation=True, field_of_view=4, crop_size=16, **POTSDAM, **QUICK
    )
    image = whole(half)["image"]
    assert image.shape == (4, 32, 40)
    blocks = whole(full)["image"].reshape(4, 32, 2, 40, 2).mean(dim=(2, 4))
    torch.testing.assert_close(image, blocks, atol=0.6 / 255, rtol=0)
    expected = masks["train"]["top_potsdam_2_10_RGB"][::2, ::2]
    np.testing.assert_array_equal(whole(half)["mask"], expected)
    half.setup("fit")
    crop = half.datasets["train"][0]
    row, column, *_ = crop["window"].tolist()
    tile = whole(half, place=0 if crop["name"].endswith("2_10_RGB") else 1)
    part = np.s_[..., row : row + 16, column : column + 16]
    torch.testing.assert_close(crop["image"], tile["image"][part], atol=0.6 / 255, rtol=0)
    assert torch.equal(crop["mask"], tile["mask"][part])


def test_predictions_at_half_resolution_belong_to_the_whole_tile(tmp_path):
    testing.write_potsdam(tmp_path, size=(64, 80))
    module = ISPRSDataModule(tmp_path, field_of_view=4, **POTSDAM, **QUICK)
    module.setup("predict")
    assert next(iter(module.predict_dataloader()))["size"].tolist() == [[64, 80]]


# INRIA and the Data Fusion Contest


def test_inria_holds_out_tiles_1_to_5_and_predicts_the_unlabelled(tmp_path):
    testing.write_inria(tmp_path)
    module = INRIADataModule(tmp_path, **QUICK)
    names = {s: [p.name for p in module.pairs(s)] for s in ("train", "val", "test", "predict")}
    assert names["train"] == ["austin6", "vienna36"]
    assert names["val"] == names["test"] == ["austin1", "tyrol-w5"]
    assert names["predict"] == ["bellingham1", "sfo36"]


def test_masks_of_240_are_buildings_with_a_warning(tmp_path):
    masks = testing.write_inria(tmp_path)
    path = tmp_path / "train" / "gt" / "austin6.tif"
    tifffile.imwrite(path, masks["train"]["austin6"] * np.uint8(240), photometric="minisblack")
    with pytest.warns(UserWarning, match=r"austin6\.tif: .*nearly a class's colour"):
        mask = whole(INRIADataModule(tmp_path, **QUICK))["mask"]
    np.testing.assert_array_equal(mask, masks["train"]["austin6"])


def test_a_tile_without_a_number_is_named(tmp_path):
    testing.write_inria(tmp_path)
    for kind in ("images", "gt"):
        (tmp_path / "train" / kind / "austin6.tif").rename(tmp_path / "train" / kind / "austin.tif")
    with pytest.raises(InputError, match=r"austin\.tif has no number"):
        INRIADataModule(tmp_path, **QUICK).setup("fit")


def test_a_contest_tile_in_two_lists_is_refused():
    with pytest.raises(InputError, match=r"Tile 315130_56865 .*train_tiles and in val_tiles"):
        DFC2015DataModule(val_tiles=["315130_56865"])


# CamVid


def test_camvids_frames_are_split_as_by_segnets_authors(camvid_root):
    for split in ("train", "val"):
        names = [path.stem for path in (camvid_root / split).iterdir()]
        assert {_split(name) for name in names} == {split}
    assert _split("0001TP_008550") == _split("Seq05VD_f05100") == "test"


# Cityscapes


def test_coarse_labels_are_added_to_the_training_images(tmp_path):
    masks = testing.write_cityscapes(tmp_path)
    fine = CityscapesDataModule(tmp_path, **QUICK)
    both = CityscapesDataModule(tmp_path, coarse=True, **QUICK)
    assert len(both.pairs("train")) == len(fine.pairs("train")) + 1
    extra = both.pairs("train")[-1]
    mask = both.dataset("val", [extra])[0]["mask"]
    np.testing.assert_array_equal(mask, masks["train_extra"][extra.name])


def test_cityscapes_validation_images_may_be_trained_on(tmp_path):
    testing.write_cityscapes(tmp_path)
    module = CityscapesDataModule(tmp_path, train_on_val=True, **QUICK)
    cities = [pair.name.partition("/")[0] for pair in module.pairs("train")]
    assert cities == ["aachen", "zurich", "frankfurt"]
    assert [pair.name for pair in module.pairs("val")] == ["frankfurt/frankfurt_000000_000002"]
    report = inspect_dataset(module)
    assert report.problems == []
    assert "val uses images of train, as set in the configuration." in report.notes


def test_cityscapes_predictions_are_named_as_its_server_requires(tmp_path):
    testing.write_cityscapes(tmp_path)
    module = CityscapesDataModule(tmp_path, predict_split="test", **QUICK)
    assert [pair.name for pair in module.pairs("predict")] == ["berlin_000000_000003"]


# VOC


def test_the_augmented_list_is_all_labels_but_those_of_val(tmp_path):
    masks = testing.write_voc(tmp_path)
    module = VOCDataModule(tmp_path, augmented=True, **QUICK)
    assert {pair.name for pair in module.pairs("train")} == set(masks["augmented"])
    assert all(pair.label.parent.name == "SegmentationClassAug" for pair in module.pairs("train"))
    assert {pair.name for pair in module.pairs("val")} == set(masks["val"])
    for pair in module.pairs("train"):
        mask = module.decoder.read(pair.label)
        np.testing.assert_array_equal(mask, masks["augmented"][pair.name])


@pytest.mark.parametrize("augmented", [False, True])
def test_voc_validation_images_may_be_trained_on_with_their_official_labels(tmp_path, augmented):
    masks = testing.write_voc(tmp_path)
    alone = VOCDataModule(tmp_path, augmented=augmented, **QUICK).pairs("train")
    module = VOCDataModule(tmp_path, augmented=augmented, train_on_val=True, **QUICK)
    assert module.pairs("train") == [*alone, *module.pairs("val")]
    assert {pair.name for pair in module.pairs("val")} == set(masks["val"])
    assert inspect_dataset(module).problems == []


def test_voc_test_images_have_no_labels_and_are_predicted(tmp_path):
    testing.write_voc(tmp_path)
    module = VOCDataModule(tmp_path, predict_split="test", **QUICK)
    (pair,) = module.pairs("predict")
    assert (pair.name, pair.label) == ("2008_000006", None)
    module.setup("predict")
    pair.image.unlink()
    with pytest.raises(InputError, match=r"images to predict are missing.*VOC2012test\.tar"):
        module.pairs("predict")
    (tmp_path / "ImageSets" / "Segmentation" / "test.txt").unlink()
    with pytest.raises(InputError, match=r"test\.txt does not exist.*VOC2012test\.tar"):
        module.pairs("predict")


def test_an_image_in_both_lists_is_refused(tmp_path):
    testing.write_voc(tmp_path)
    with (tmp_path / "ImageSets" / "Segmentation" / "val.txt").open("a") as file:
        file.write("2007_000032\n")
    with pytest.raises(InputError, match=r"2007_000032 .*in train\.txt and in val\.txt"):
        VOCDataModule(tmp_path, **QUICK).setup("fit")


@pytest.mark.skipif(not (SHARED / "voc2012").is_dir(), reason="the real VOC images are not here")
def test_real_images_are_read():
    module = VOCDataModule(SHARED / "voc2012/VOCdevkit/VOC2012", augmented=True, **QUICK)
    train, val = module.pairs("train"), module.pairs("val")
    assert len(train) + len(val) == 15
    assert not {pair.name for pair in train} & {pair.name for pair in val}
    actual = set()
    for split in ("train", "val"):
        for place in range(len(module.pairs(split))):
            sample = whole(module, split, place)
            assert sample["image"].shape[1:] == sample["mask"].shape
            actual |= set(sample["mask"].unique().tolist())
    assert {0, 255} < actual <= {*range(21), 255}


# Faces


def test_later_parts_are_painted_over_earlier_ones(tmp_path):
    for part, columns in (("skin", np.s_[0:6]), ("nose", np.s_[2:4]), ("hair", np.s_[3:8])):
        mask = np.zeros((4, 8), np.uint8)
        mask[:, columns] = 255
        Image.fromarray(mask).save(tmp_path / f"00007_{part}.png")
    decoder = CelebAMaskHQDataModule().decoder
    expected = [1, 1, 2, 13, 13, 13, 13, 13]
    assert decoder.read(tmp_path / "00007")[0].tolist() == expected
    assert len(decoder.files(tmp_path / "00007")) == 3
    binary = CelebAMaskHQDataModule(classes="binary").decoder
    assert binary.read(tmp_path / "00007")[0].tolist() == [1] * 8


@pytest.mark.parametrize("module", [CelebAMaskHQDataModule, HELENDataModule])
def test_a_part_of_another_size_is_named(tmp_path, module):
    write = testing.write_helen if module is HELENDataModule else testing.write_celebamask_hq
    write(tmp_path)
    data = module(tmp_path, **QUICK)
    label = data.pairs("train")[0].label
    file = data.decoder.files(label)[-1]
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(file)
    with pytest.raises(InputError, match=rf"{file.name} is 8 x 9 pixels.*are 32 x 32"):
        data.decoder.read(label)


def test_faces_are_split_by_their_celeba_number_or_as_in_the_thesis(tmp_path):
    testing.write_celebamask_hq(tmp_path)
    module = CelebAMaskHQDataModule(tmp_path, **QUICK)
    assert [[p.name for p in module.pairs(s)] for s in ("train", "val", "test")] == [
        ["0", "2001"],
        ["2"],
        ["3"],
    ]
    thesis = CelebAMaskHQDataModule(tmp_path, split_rule="thesis", **QUICK)
    assert [p.name for p in thesis.pairs("train")] == ["0", "2", "3"]
    numbers = list(range(30_000))
    counts = [len(thesis._numbers(s, numbers)) for s in ("train", "val", "test")]
    assert counts == [23_200, 5_800, 1_000]


def test_five_folds_of_faces_test_every_image_once():
    numbers = list(range(30_000))
    folds = [
        {s: module._numbers(s, numbers) for s in ("train", "val", "test")}
        for module in (CelebAMaskHQDataModule(fold=fold) for fold in range(1, 6))
    ]
    assert sorted(number for fold in folds for number in fold["test"]) == numbers
    for fold in folds:
        assert [len(fold[s]) for s in ("train", "val", "test")] == [21_000, 3_000, 6_000]
        assert sorted(n for split in fold.values() for n in split) == numbers
        # Drawn at random: the tested numbers are neither a stretch nor every fifth.
        assert abs(np.mean(fold["test"]) - 15_000) < 500
        assert len(set(np.diff(fold["test"]))) > 20


def test_a_fold_of_faces_has_all_splits(tmp_path):
    testing.write_celebamask_hq(tmp_path, more=6)
    module = CelebAMaskHQDataModule(tmp_path, fold=5, **QUICK)
    counts = [len(module.pairs(s)) for s in ("train", "val", "test", "predict")]
    assert counts == [7, 1, 2, 2]
    assert module.about_splits() == "Fold 5 of 5."


@pytest.mark.parametrize("fold", [0, 6])
def test_another_fold_of_faces_is_refused(fold):
    with pytest.raises(InputError, match=rf"fold is {fold}. Set it to a number from 1 to 5"):
        CelebAMaskHQDataModule(fold=fold)


def test_a_face_of_256_pixels_needs_no_padding(tmp_path):
    testing.write_celebamask_hq(tmp_path, size=(512, 512))
    transforms = [
        A.LongestMaxSize(256, p=1.0),
        A.PadIfNeeded(256, 256, border_mode=0, fill_mask=255, p=1.0),
    ]
    module = CelebAMaskHQDataModule(tmp_path, classes="binary", eval_transforms=transforms, **QUICK)
    sample = whole(module)
    assert sample["image"].shape == (3, 256, 256)
    assert set(sample["mask"].unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", r"does not name image 3 \(1 images"),
        ("3 x 000001.jpg", "line 5, is '3 x 000001.jpg'"),
        ("2 7 000008.jpg", "line 5, names image 2 a second time"),
    ],
)
def test_a_wrong_mapping_of_faces_is_named(tmp_path, line, message):
    testing.write_celebamask_hq(tmp_path)
    path = tmp_path / "CelebA-HQ-to-CelebA-mapping.txt"
    path.write_text("\n".join([*path.read_text().splitlines()[:4], line]))
    with pytest.raises(InputError, match=message):
        CelebAMaskHQDataModule(tmp_path, **QUICK).setup("fit")


def test_a_face_is_as_large_as_its_mask_and_predicted_at_its_own_size(tmp_path):
    testing.write_celebamask_hq(tmp_path, size=(32, 32))
    module = CelebAMaskHQDataModule(tmp_path, **QUICK)
    assert whole(module)["image"].shape == (3, 32, 32)
    module.setup("predict")
    batch = next(iter(module.predict_dataloader()))
    assert batch["image"].shape[-2:] == (32, 32)
    assert batch["size"].tolist() == [[64, 64]]


def test_a_pixel_belongs_to_the_most_confident_class(tmp_path):
    folder = tmp_path / "face"
    folder.mkdir()
    soft = np.zeros((11, 1, 4), np.uint8)
    soft[0], soft[3, 0, 1], soft[10, 0, 2], soft[1, 0, 3] = 100, 101, 255, 100
    for number, mask in enumerate(soft):
        Image.fromarray(mask).save(folder / f"face_lbl{number:02}.png")
    assert HELENDataModule().decoder.read(folder).tolist() == [[0, 3, 10, 0]]


def test_helen_tests_all_faces_outside_training_as_in_semeda(tmp_path):
    testing.write_helen(tmp_path)
    module = HELENDataModule(tmp_path, test_split="val_and_test", **QUICK)
    names = {s: [p.name for p in module.pairs(s)] for s in ("train", "val", "test", "predict")}
    assert names["test"] == names["predict"] == ["10405146_1", "107635070_1"]
    assert names["val"] == ["10405146_1"]
    assert len(names["train"]) == 2
    assert inspect_dataset(module).problems == []


def test_helen_may_train_on_validation_faces_but_not_test_on_them(tmp_path):
    testing.write_helen(tmp_path)
    module = HELENDataModule(tmp_path, train_on_val=True, **QUICK)
    assert [p.name for p in module.pairs("train")][-1] == "10405146_1"
    assert [p.name for p in module.pairs("test")] == ["107635070_1"]
    with pytest.raises(InputError, match="test would evaluate training images"):
        HELENDataModule(tmp_path, train_on_val=True, test_split="val_and_test")


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("exemplars.txt", "100032540_1", "a line is '100032540_1'"),
        ("tuning.txt", "9 , 100032540_1", r"Image 100032540_1 is listed more than once"),
    ],
)
def test_wrong_lists_of_helen_are_named(tmp_path, file, line, message):
    testing.write_helen(tmp_path)
    with (tmp_path / file).open("a") as lines:
        lines.write(f"{line}\n")
    with pytest.raises(InputError, match=message):
        HELENDataModule(tmp_path, **QUICK).setup("fit")


# SUN RGB-D


@pytest.mark.parametrize(("depth", "hole"), [("inpainted", 0.1), ("raw", 0.0)])
def test_depth_is_the_fourth_channel_in_tenths_of_ten_metres(tmp_path, depth, hole):
    testing.write_sunrgbd(tmp_path, size=(24, 32))
    image = whole(SUNRGBDDataModule(tmp_path, depth=depth, **QUICK))["image"]
    expected = (1.0 + 0.02 * torch.arange(32)) / 10
    torch.testing.assert_close(image[3, 1:], expected.expand(23, 32))
    torch.testing.assert_close(image[3, 0, 0], torch.tensor(hole))


def test_depth_beyond_the_maximum_is_clipped(tmp_path):
    testing.write_sunrgbd(tmp_path)
    image = whole(SUNRGBDDataModule(tmp_path, max_depth=1.2, **QUICK))["image"]
    assert image[3].max() == 1.0
    torch.testing.assert_close(image[3, 0, 5], torch.tensor(1.1 / 1.2))


def test_depth_can_be_left_out(tmp_path):
    testing.write_sunrgbd(tmp_path)
    module = SUNRGBDDataModule(tmp_path, depth=None, **QUICK)
    assert module.in_channels == 3
    assert whole(module)["image"].shape[0] == 3


def test_every_twentieth_training_image_is_for_validation(tmp_path):
    testing.write_sunrgbd(tmp_path)
    module = SUNRGBDDataModule(tmp_path, **QUICK)
    assert [len(module.pairs(s)) for s in ("train", "val", "test")] == [19, 1, 2]
    assert module.pairs("val")[0].name == "img-005070"
    assert module.pairs("test")[0].name == "img-000001"


# A person's own folder


def test_masks_of_240_are_accepted_within_a_tolerance(tmp_path):
    masks = testing.write_folder(tmp_path, num_classes=2)
    for path in (tmp_path / "train" / "masks").rglob("*.png"):
        mask = masks["train"][
            path.relative_to(tmp_path / "train" / "masks").with_suffix("").as_posix()
        ]
        Image.fromarray(np.where(mask == 1, 240, 0).astype(np.uint8)).save(path)
    settings = {"palette": [0, 255], **QUICK}
    with pytest.raises(InputError, match="label value 240"):
        whole(FolderDataModule(tmp_path, **settings))
    with pytest.warns(UserWarning, match="nearly a class's value, such as 240"):
        mask = whole(FolderDataModule(tmp_path, tolerance=20, **settings))["mask"]
    np.testing.assert_array_equal(mask, masks["train"]["town/a"] == 1)


@pytest.mark.parametrize("palette", [[0, 30], [(0, 0, 0), (30, 0, 0)]])
def test_a_tolerance_that_mixes_classes_is_refused(tmp_path, palette):
    testing.write_folder(tmp_path, num_classes=2)
    with pytest.raises(
        InputError, match=r"tolerance is 20, but only up to 14 can the entries .* be told apart"
    ):
        whole(FolderDataModule(tmp_path, palette=palette, tolerance=20, **QUICK))


def test_coloured_geotiffs_may_be_masks(tmp_path):
    ids = np.arange(63, dtype=np.uint8).reshape(9, 7) % 2
    colors = np.array([(0, 0, 0), (10, 200, 30)], np.uint8)[ids]
    for kind, pixels in (("images", np.dstack([colors, colors])), ("masks", colors)):
        path = tmp_path / kind / "a.tif"
        path.parent.mkdir()
        extra = {"extrasamples": ["unspecified"] * 3} if kind == "images" else {}
        tifffile.imwrite(path, pixels, photometric="rgb", **extra)
    module = FolderDataModule(
        tmp_path, palette=[(0, 0, 0), (10, 200, 30)], in_channels=6, fractions=(1, 0, 0), **QUICK
    )
    np.testing.assert_array_equal(whole(module)["mask"], ids)
