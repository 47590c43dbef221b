import os
import subprocess
import sys

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from jsonargparse import ArgumentParser
from lightning.pytorch import seed_everything
from PIL import Image

from lightning_seg.data import FolderDataModule, SegmentationDataModule
from lightning_seg.data.transforms import TransformPipeline, draw_seed
from lightning_seg.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
MASK = (IMAGE[..., 0] > 128).astype(np.uint8)


def test_a_seed_gives_the_same_result_after_any_other_call():
    pipeline = TransformPipeline([A.RandomCrop(8, 8), A.RandomBrightnessContrast()])
    first = pipeline(IMAGE, MASK, seed=1)
    other = pipeline(IMAGE, MASK, seed=2)
    again = pipeline(IMAGE, MASK, seed=1)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_image_and_mask_move_together():
    pipeline = TransformPipeline([A.RandomCrop(8, 8), A.HorizontalFlip()])
    image = np.stack([MASK] * 3, axis=2)
    for seed in range(8):
        moved, mask = pipeline(image, MASK, seed)
        np.testing.assert_array_equal(moved[..., 0], mask)


def test_processes_that_share_a_random_state_still_differ_by_index():
    torch.manual_seed(0)
    first = draw_seed(0)
    torch.manual_seed(0)
    assert draw_seed(1) != first


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for index in range(8):
        Image.fromarray(IMAGE).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(MASK).save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


def visits(folder, num_workers: int) -> list[list[bytes]]:
    """Return the samples of two epochs made from the same image."""
    seed_everything(3, workers=True)
    crop = A.RandomCrop(16, 16)
    data = FolderDataModule(
        folder,
        num_classes=2,
        fractions=(1.0, 0.0, 0.0),
        batch_size=2,
        num_workers=num_workers,
        train_transforms=[crop, A.RandomBrightnessContrast(p=1.0)],
    )
    data.datasets["train"] = data.dataset("train", data.pairs("train"))
    loader = data.train_dataloader()
    return [[i.numpy().tobytes() for b in loader for i in b["image"]] for _ in range(2)]


@pytest.mark.parametrize("num_workers", [0, 2])
@in_clean_process
def test_augmentations_differ_between_epochs_and_workers_and_runs_repeat(folder, num_workers):
    first, second = visits(folder, num_workers)
    assert len(set(first) | set(second)) == 16
    assert visits(folder, num_workers) == [first, second]


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: A.OneOf([A.Compose([t])])])
def test_a_misspelt_argument_is_named_with_the_nearest_one(wrap):
    with pytest.warns(UserWarning, match="brightness_limt"):
        transform = A.RandomBrightnessContrast(brightness_limt=0.1)
    message = "RandomBrightnessContrast has no argument brightness_limt. Did you mean brightness_l"
    with pytest.raises(InputError, match=message):
        TransformPipeline([wrap(transform)])


@pytest.mark.parametrize("nested", [False, True])
def test_a_misspelt_argument_in_yaml_is_refused(nested):
    flip = {"class_path": "albumentations.HorizontalFlip", "init_args": {"prob": 0.5}}
    one_of = {"class_path": "albumentations.OneOf", "init_args": {"transforms": [flip]}}
    transform = one_of if nested else flip
    init_args = {"root": "x", "num_classes": 2, "train_transforms": [transform]}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationDataModule, "data")
    config = {"data": {"class_path": "FolderDataModule", "init_args": init_args}}
    with pytest.raises(Exception, match="prob"):
        parser.parse_object(config)
    flip["init_args"] = {"p": 0.5}
    assert parser.parse_object(config).data.class_path.endswith("FolderDataModule")


@pytest.mark.parametrize(
    ("transform", "reason"),
    [(A.Normalize(), "network normalises"), (A.ToTensorV2(), "become tensors after")],
)
def test_steps_done_elsewhere_are_refused(transform, reason):
    with pytest.raises(InputError, match=f"{type(transform).__name__} must be removed.*{reason}"):
        TransformPipeline([A.HorizontalFlip(), A.OneOf([transform])])


@pytest.mark.parametrize(
    "transform",
    [
        A.Resize(8, 8, mask_interpolation=cv2.INTER_LINEAR),
        A.Affine(scale=0.5, fill_mask=255, mask_interpolation=cv2.INTER_CUBIC),
    ],
)
def test_interpolation_that_mixes_classes_is_refused(transform):
    with pytest.raises(InputError, match=f"{type(transform).__name__} .*mask_interpolation=0"):
        TransformPipeline([transform])


def test_interpolation_by_nearest_neighbour_is_accepted():
    TransformPipeline([A.Resize(8, 8), A.Resize(8, 8, mask_interpolation=cv2.INTER_NEAREST_EXACT)])


PADDING = [
    lambda **fill: A.PadIfNeeded(64, 64, **fill),
    lambda **fill: A.RandomCrop(64, 64, pad_if_needed=True, **fill),
    lambda **fill: A.Rotate((45, 45), p=1.0, **fill),
    lambda **fill: A.Affine(scale=0.5, p=1.0, **fill),
    lambda **fill: A.OneOf([A.Perspective(p=1.0, **fill), A.SafeRotate(p=1.0, **fill)], p=1.0),
]


@pytest.mark.parametrize("make", PADDING)
def test_padding_that_would_become_a_class_is_refused(make):
    with pytest.raises(InputError, match="fill_mask=255"):
        TransformPipeline([make()])


@pytest.mark.parametrize("make", PADDING)
def test_padding_is_ignored(make):
    class_1 = np.ones((32, 48), np.uint8)
    _, mask = TransformPipeline([make(fill_mask=255)])(IMAGE, class_1, seed=0)
    assert set(np.unique(mask)) <= {1, 255}


def test_mirrored_borders_and_crops_need_no_fill():
    reflect = A.Rotate(border_mode=cv2.BORDER_REFLECT_101)
    TransformPipeline([reflect, A.RandomCrop(8, 8), A.HorizontalFlip()])


def test_albumentations_does_not_ask_the_network_for_updates():
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): print('ASKED', args[:2]); raise OSError\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "import lightning_seg.data\n"
    )
    unset = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=unset, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "ASKED" not in done.stdout


@pytest.mark.parametrize(
    "transform",
    [
        A.Resize(8, 8),
        A.LongestMaxSize(8),
        A.SmallestMaxSize(8),
        A.ColorJitter(),
        A.NoOp(),
        A.PadIfNeeded(64, 64, fill_mask=255),
        A.Pad((1, 2, 3, 4), fill_mask=255),
    ],
)
def test_transforms_that_resize_or_pad_whole_images_may_stay_for_predictions(transform):
    TransformPipeline([A.OneOf([transform])]).refuse_for_predictions()


@pytest.mark.parametrize(
    "transform",
    [
        A.CenterCrop(8, 8),
        A.PadIfNeeded(64, 64, border_mode=cv2.BORDER_REFLECT_101),
        A.HorizontalFlip(),
        A.Lambda(image=np.roll, mask=np.roll),
    ],
)
def test_transforms_that_move_images_are_refused_for_predictions(transform):
    with pytest.raises(InputError, match=f"{type(transform).__name__}.*Remove it from eval_trans"):
        TransformPipeline([transform]).refuse_for_predictions()


def test_the_image_is_located_within_its_padding():
    longest, padded = A.LongestMaxSize(24, p=1.0), A.PadIfNeeded(33, 40, fill_mask=255, p=1.0)
    assert TransformPipeline([longest, padded]).place_of(IMAGE, 0) == (8, 8, 16, 24)
    uneven = A.Pad((1, 2, 3, 4), fill_mask=255, p=1.0)  # left, top, right, bottom
    assert TransformPipeline([uneven]).place_of(IMAGE, 0) == (2, 1, 32, 48)
    assert TransformPipeline([longest]).place_of(IMAGE, 0) == (0, 0, 16, 24)


# EPL builds on the semseg framework, whose images are padded with the data's mean colour.
MEAN = (123.675, 116.28, 103.53)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_padding_may_have_the_mean_colour_channel_by_channel(dtype):
    scale = 1 if dtype == np.uint8 else 1 / 255
    fill = tuple(part * scale for part in MEAN)
    white = np.full((40, 60, 3), 255 * scale, dtype)
    pipeline = TransformPipeline(
        [
            A.Rotate((-10, 10), border_mode=cv2.BORDER_CONSTANT, fill=fill, fill_mask=255, p=0.5),
            A.RandomCrop(80, 90, pad_if_needed=True, fill=fill, fill_mask=255, p=1.0),
        ]
    )
    expected = np.round(MEAN) if dtype == np.uint8 else np.float32(fill)
    turned = 0
    for seed in range(200):
        image, mask = pipeline(white, np.ones((40, 60), np.uint8), seed)
        np.testing.assert_array_equal(image[0, 0], expected.astype(dtype))
        # A pixel of the corners lies inside or is ignored; nothing is padded with a class.
        assert set(np.unique(mask)) == {1, 255}
        turned += mask[20, 15] == 255
        assert (image[mask == 255] < image.max()).any(axis=-1).mean() > 0.97
    assert 70 < turned < 130


def test_a_crop_larger_than_the_image_is_padded_equally_on_both_sides():
    crop = A.RandomCrop(45, 70, pad_if_needed=True, fill=MEAN, fill_mask=255, p=1.0)
    _, mask = TransformPipeline([crop])(IMAGE, np.zeros_like(MASK), 0)
    rows, columns = np.nonzero(mask == 0)
    # As semseg: the odd pixel goes below and to the right.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 37, 11, 58)


def test_rotation_matches_opencvs_about_the_centre():
    turned, _ = TransformPipeline([A.Rotate((7.3, 7.3), fill_mask=255, p=1.0)])(IMAGE, MASK, 0)
    matrix = cv2.getRotationMatrix2D((23.5, 15.5), 7.3, 1)
    np.testing.assert_array_equal(turned, cv2.warpAffine(IMAGE, matrix, (48, 32)))


def test_semsegs_blur_of_five_pixels_is_a_gaussian_of_sigma_1_07():
    blur = A.GaussianBlur(blur_limit=(5, 5), sigma_limit=(1.07, 1.07), p=1.0)
    blurred, _ = TransformPipeline([blur])(IMAGE, MASK, 0)
    expected = cv2.GaussianBlur(IMAGE, (5, 5), 0)
    assert np.abs(blurred.astype(int) - expected).max() <= 2
