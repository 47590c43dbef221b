"""Tests of every DataModule on a tiny copy of its dataset in the official layout."""

import inspect
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_datasets import TINY

from lightning_seg import data
from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.errors import InputError


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Write each tiny copy once."""
    written = {}

    def get(name):
        if name not in written:
            root = tmp_path_factory.mktemp(name)
            written[name] = root, TINY[name].write(root)
        return written[name]

    return get


@pytest.fixture(params=TINY)
def name(request):
    return request.param


def loaders(module):
    return {
        "train": module.train_dataloader,
        "val": module.val_dataloader,
        "test": module.test_dataloader,
        "predict": module.predict_dataloader,
    }


def test_every_dataset_is_tested():
    exported = {c for c in vars(data).values() if inspect.isclass(c)}
    modules = {c for c in exported if issubclass(c, SegmentationDataModule)}
    assert modules - {SegmentationDataModule} == {tiny.module for tiny in TINY.values()}


def test_each_split_gives_batches_of_the_stated_shape(name, copies):
    root, _ = copies(name)
    module = TINY[name].make(root)
    module.setup()
    for split, loader in loaders(module).items():
        batch = next(iter(loader()))
        image = batch["image"]
        assert image.dtype == torch.float32
        assert image.shape[1] == module.in_channels
        assert 0 <= image.min() < image.max() <= 1
        assert isinstance(batch["name"][0], str)
        if split == "predict":
            assert "mask" not in batch
            assert batch["size"].shape == (1, 2)
        else:
            assert batch["mask"].dtype == torch.int64
            assert batch["mask"].shape[1:] == image.shape[2:]
            known = set(range(module.num_classes)) | {255}
            assert set(batch["mask"].unique().tolist()) <= known


def test_every_pixel_gets_its_class(name, copies):
    root, masks = copies(name)
    module = TINY[name].make(root)
    for split in ("train", "val", "test"):
        pairs = module.pairs(split)
        if name != "synthetic" and (name, split) != ("cityscapes", "test"):
            assert {_official(pair.name) for pair in pairs} == set(masks[split])
        for pair in pairs:
            sample = module.dataset("val", [pair])[0]
            if name == "synthetic":
                continue
            expected = masks["val" if name == "cityscapes" and split == "test" else split]
            np.testing.assert_array_equal(sample["mask"], expected[_official(pair.name)])


def _official(name):
    """Potsdam's names say which bands are read; the masks are named after RGB."""
    return name.replace("RGBIR", "RGB")


def test_a_class_has_a_name_and_a_colour_of_its_own(name):
    module = TINY[name].make("nowhere") if name != "synthetic" else data.SyntheticDataModule()
    assert len(module.class_names) == len(module.class_colors) == module.num_classes
    assert len(set(module.class_names)) == len(set(module.class_colors)) == module.num_classes
    assert module.decoder.num_classes == module.num_classes


def test_classes_can_be_balanced(name, copies):
    root, _ = copies(name)
    weights = TINY[name].make(root).class_weights("median_frequency")
    assert len(weights) == TINY[name].make(root).num_classes
    assert max(weights) > 0


def test_a_missing_root_says_what_is_expected(name, tmp_path):
    if name == "synthetic":
        pytest.skip("the module draws what is missing")
    module = TINY[name].make(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere.* does not exist.*(get|Ask|expected)"):
        module.setup("fit")


def test_a_missing_label_is_named(name, copies, tmp_path):
    if name == "synthetic":
        pytest.skip("the module draws what is missing")
    module = copied(name, copies, tmp_path)
    pair = module.pairs("val")[0]
    file = module.decoder.files(pair.label)[0]
    for part in module.decoder.files(pair.label):
        part.unlink()
    with pytest.raises(InputError) as error:
        module.setup("validate")
    assert file.name in str(error.value) or pair.image.name in str(error.value)


def test_a_missing_image_is_named(name, copies, tmp_path):
    if name == "synthetic":
        pytest.skip("the module draws what is missing")
    module = copied(name, copies, tmp_path)
    pair = module.pairs("val")[0]
    number = len(module.pairs("val"))
    pair.image.unlink()
    if name == "celebamask_hq":
        # Images are listed by folder; masks without an image are ignored.
        assert len(module.pairs("val")) == number - 1
        return
    with pytest.raises(InputError) as error:
        module.setup("validate")
    said = str(error.value)
    assert pair.image.name in said or module.decoder.files(pair.label)[0].name in said


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("damage", ["no image", "cut off", "empty"])
def test_a_damaged_image_is_named(name, split, damage, copies, tmp_path):
    module = copied(name, copies, tmp_path)
    pair = module.pairs(split)[0]
    damaged(pair.image, damage)
    with pytest.raises(InputError, match=f"{pair.image.name}.* cannot be read as an image"):
        read_all(module, split)


@pytest.mark.parametrize("damage", ["no image", "cut off", "empty"])
def test_a_damaged_label_is_named(name, damage, copies, tmp_path):
    module = copied(name, copies, tmp_path)
    file = module.decoder.files(module.pairs("train")[0].label)[0]
    damaged(file, damage)
    with pytest.raises(InputError, match=f"{file.name}.* cannot be read as an image"):
        read_all(module, "train")


@pytest.mark.parametrize("name", ["potsdam_5_bands", "sunrgbd"])
def test_a_damaged_extra_channel_is_named(name, copies, tmp_path):
    module = copied(name, copies, tmp_path)
    file = module.pairs("train")[0].extra
    damaged(file, "cut off")
    with pytest.raises(InputError, match=f"{file.name}.* cannot be read as an image"):
        read_all(module, "train")


def test_a_label_of_another_size_is_named_before_training(name, copies, tmp_path):
    module = copied(name, copies, tmp_path)
    pair = module.pairs("train")[0]
    for file in module.decoder.files(pair.label):
        with Image.open(file) as image:
            smaller = image.crop((0, 0, image.width - 1, image.height))
        smaller.save(file)
    with pytest.raises(InputError, match=rf"{pair.image.name} is \d+ x \d+ pixels, but its label"):
        module.setup("fit")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_unknown_label_value_is_named(name, split, copies, tmp_path):
    if name in ("celebamask_hq", "helen"):
        pytest.skip("every number of these masks means something")
    module = copied(name, copies, tmp_path)
    for pair in module.pairs(split):
        (file,) = module.decoder.files(pair.label)
        with Image.open(file) as image:
            size = image.size
        wrong = Image.new("RGB", size, (128, 130, 128)) if module.decoder.colors else None
        (wrong or Image.new("L", size, 77)).save(file)
    with pytest.raises(InputError, match=r"label (value 77|colour \(128, 130, 128\)) at row"):
        read_all(module, split)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA", "LA"])
def test_labels_may_be_saved_in_any_mode(name, mode, copies, tmp_path):
    module = copied(name, copies, tmp_path)
    pair = module.pairs("val")[0]
    file = module.decoder.files(pair.label)[0]
    colors = getattr(module.decoder, "colors", False)
    if file.suffix != ".png" or (colors and mode in ("L", "LA")):
        pytest.skip("a TIFF, or colours that grey cannot hold")
    expected = module.decoder.read(pair.label)
    for part in module.decoder.files(pair.label):
        with Image.open(part) as image:
            resaved(image, mode, colors).save(part)
    np.testing.assert_array_equal(module.decoder.read(pair.label), expected)


def test_photographs_are_rotated_by_their_exif_tag(name, copies, tmp_path):
    module = copied(name, copies, tmp_path)
    for pair in module.pairs("train"):
        if pair.image.suffix != ".jpg":
            continue
        with Image.open(pair.image) as image:
            upright = np.asarray(image)
            turned = image.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        turned.save(pair.image, exif=exif, quality=95)
        module.setup("fit")
        shown = module.reader.image(pair)
        factor = module.reader.image_downscale
        assert shown.shape[:2] == tuple(side // factor for side in upright.shape[:2])
        if factor == 1:
            assert np.abs(shown.astype(int) - upright).mean() < 15
        return
    pytest.skip("no JPEG among the training images")


def copied(name, copies, tmp_path):
    """Return the module on a copy that a test may change."""
    root, _ = copies(name)
    place = tmp_path / "copy"
    shutil.copytree(root, place)
    return TINY[name].make(place)


def read_all(module, split):
    """Read every file of a split, as in training or evaluation."""
    module.setup("fit" if split == "train" else "validate" if split == "val" else "test")
    dataset = module.datasets[split]
    # Crops are random; this many cover every pixel of a tiny copy.
    for _ in range(20 if module.crop_size and split == "train" else 1):
        for index in range(len(dataset)):
            dataset[index]


def damaged(path, damage):
    content = path.read_bytes()
    # Cut after two thirds, a TIFF also loses its headers, which are at its end.
    kept = {"no image": b"no image", "cut off": content[: len(content) * 2 // 3], "empty": b""}
    path.write_bytes(kept[damage])


def resaved(image, mode, colors):
    if mode == "P" and not colors and image.mode != "RGB":
        paletted = Image.fromarray(np.asarray(image)).convert("L")
        paletted.putpalette([255 - value for value in range(256) for _ in range(3)])
        return paletted
    if mode == "P":
        return image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    if image.mode == "P":  # keep the indices
        image = Image.fromarray(np.asarray(image))
    return image.convert(mode)
