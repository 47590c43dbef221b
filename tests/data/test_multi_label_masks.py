"""Masks with a band for each class, for pixels that may have several."""

from argparse import Namespace

import albumentations as A
import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from lightning_seg.cli.commands import data_check
from lightning_seg.data import FolderDataModule
from lightning_seg.data.transforms import TransformPipeline
from lightning_seg.errors import InputError

K = 5
SIZE = (24, 32)


def mask_of(seed):
    mask = np.random.default_rng(seed).integers(0, 2, (*SIZE, K), np.uint8)
    mask[:3, :, 1] = 255
    return mask


def write(root, count=6, mask=mask_of, channels=K):
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        labels = mask(i)[..., :channels]
        image = np.random.default_rng(100 + i).integers(0, 256, (*SIZE, 3), np.uint8)
        image[..., 0] = labels[..., 0]
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        if channels in (3, 4):
            Image.fromarray(labels).save(root / "masks" / f"{i}.png")
        else:
            path = root / "masks" / f"{i}.tif"
            tifffile.imwrite(path, labels, photometric="minisblack", planarconfig="contig")
    return root


def data(root, **options):
    settings = {"num_classes": K, "multi_label": True, "num_workers": 0} | options
    return FolderDataModule(root, **settings)


def samples_of(module, split="train"):
    module.setup("fit")
    return [module.datasets[split][i] for i in range(len(module.datasets[split]))]


def test_a_mask_has_a_map_for_each_class(tmp_path):
    module = data(write(tmp_path))
    module.setup("fit")
    batch = next(iter(module.val_dataloader()))
    expected = torch.from_numpy(mask_of(int(batch["name"][0]))).permute(2, 0, 1)[None]
    assert batch["mask"].dtype == torch.int64
    assert torch.equal(batch["mask"], expected.long())


@pytest.mark.parametrize("channels", [3, 4])
def test_pngs_hold_bands_of_zero_and_255(tmp_path, channels):
    def black_and_white(seed):
        return np.where(mask_of(seed) == 1, np.uint8(255), np.uint8(0))

    write(tmp_path, mask=black_and_white, channels=channels)
    module = data(tmp_path, num_classes=channels, palette=[0, 255])
    for sample in samples_of(module):
        expected = (mask_of(int(sample["name"])) == 1)[..., :channels].transpose(2, 0, 1)
        assert np.array_equal(sample["mask"].numpy(), expected)
    assert module.label_values == (0, 255)


def test_crops_and_augmentations_move_image_and_every_band_together(tmp_path):
    transforms = [A.D4(), A.Affine(translate_px=3, fill_mask=255, p=1)]
    module = data(write(tmp_path), crop_size=16, samples_per_epoch=8, train_transforms=transforms)
    for sample in samples_of(module):
        image, mask = sample["image"], sample["mask"]
        assert mask.shape == (K, 16, 16)
        inside = mask[0] != 255  # the first channel of the image is the first band
        assert torch.equal((image[0] * 255).round()[inside], mask[0][inside].float())
        assert mask.unique().tolist() == [0, 1, 255]


@pytest.mark.parametrize("kind", [A.Rotate, A.Perspective, A.ElasticTransform, A.GridDistortion])
def test_padding_is_ignored_in_every_band(kind):
    transform = TransformPipeline([kind(p=1, fill_mask=255, border_mode=cv2.BORDER_CONSTANT)])
    image, mask = np.full((32, 40, 3), 9, np.uint8), np.ones((32, 40, K), np.uint8)
    for seed in range(6):
        _, moved = transform(image, mask, seed)
        assert moved.shape == mask.shape
        assert set(np.unique(moved)) <= {1, 255}
        assert (moved == moved[..., :1]).all()


def test_masks_that_are_ignored_everywhere_are_refused(tmp_path):
    write(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        void = np.full((*SIZE, K), 255, np.uint8)
        tifffile.imwrite(path, void, photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match="every pixel of the masks is ignored"):
        data(tmp_path, palette=[0, 1], ignored=[255]).setup("fit")


def test_crops_beyond_the_image_are_ignored(tmp_path):
    [sample] = samples_of(data(write(tmp_path), crop_size=40, samples_per_epoch=1))
    beyond = torch.ones(40, 40, dtype=torch.bool)
    beyond[:24, :32] = False
    assert (sample["mask"][:, beyond] == 255).all()


def test_pixels_without_data_are_ignored_in_every_band(tmp_path):
    write(tmp_path)
    for path in (tmp_path / "images").iterdir():
        image, alpha = Image.open(path).convert("RGBA"), np.full(SIZE, 255, np.uint8)
        alpha[:8] = 0
        image.putalpha(Image.fromarray(alpha))
        image.save(path)
    for sample in samples_of(data(tmp_path)):
        assert (sample["mask"][:, :8] == 255).all()
        assert (sample["mask"][0, 8:] != 255).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 4}, r"0\.tif has 5 band\(s\), but with multi_label each of the 4 classes"),
        ({"palette": [0, 2]}, r"Band 1 of .*\.tif: label value 1 at row 0.*palette, such as"),
        ({"palette": [0, 1, 2]}, "the two numbers that stand for absent and present"),
        ({"palette": [[0, 0, 0], [255, 0, 0]]}, "the two numbers that stand for absent"),
        ({"num_classes": 1}, "A single class needs no multi_label"),
        ({"class_balanced": True, "crop_size": 16}, "Remove class_balanced"),
    ],
)
def test_other_masks_and_settings_are_refused(tmp_path, options, message):
    write(tmp_path)
    with pytest.raises(InputError, match=message):
        data(tmp_path, **options).setup("fit")


def test_255_alone_is_not_taken_for_ignored(tmp_path):
    write(tmp_path, mask=lambda seed: (mask_of(seed) == 1).astype(np.uint8) * 255)
    with pytest.raises(InputError, match=r"set palette to \[0, 255\]"):
        data(tmp_path).setup("fit")


def test_data_check_counts_the_pixels_of_each_class(tmp_path, capsys):
    def half(seed):
        mask = mask_of(seed)
        mask[..., 2] = 0
        mask[3:, :16, 1], mask[3:, 16:, 1] = 1, 0
        return mask

    module = data(write(tmp_path, mask=half), class_names=list("abcde"))
    assert data_check.run(module, Namespace()) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "1 b" in line)
    assert row.count("50.00%") == 3  # of its pixels that are not ignored
    assert "the masks hold no pixel of 1 of the 5 classes (2 c)" in shown
    assert f"{3 / 24 / K:.1%}" in shown  # ignored
