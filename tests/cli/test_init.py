"""``lightning-seg init``: its configuration trains, and the commands run as printed."""

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

DATA = Path(__file__).parents[3] / "shared" / "data"
TWO_STEPS = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--data.num_workers=0")
SMALL = ("--data.batch_size=2", "--model.network.encoder=test_resnet")


def commands(out):
    return [
        shlex.split(line)[1:] for line in out.splitlines() if line.startswith("  lightning-seg")
    ]


def copy(pattern, target, count):
    """Copy the first files of a pattern below the real samples."""
    target.mkdir(parents=True)
    for path in sorted(DATA.glob(pattern))[:count]:
        shutil.copyfile(path, target / path.name)


def streets():
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            copy(f"camvid/{kind}/*.png", Path("folder", kind), 3)


def objects():
    folder = "voc2012/VOCdevkit/VOC2012"
    copy(f"{folder}/SegmentationClassAug/*.png", Path("folder/masks"), 5)
    Path("folder/images").mkdir()
    for mask in Path("folder/masks").iterdir():
        name = mask.with_suffix(".jpg").name
        shutil.copyfile(DATA / folder / "JPEGImages" / name, f"folder/images/{name}")


def tile():
    copy("isprs_potsdam/*/*.tif", Path("folder"), 2)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs real samples in {DATA}")
@pytest.mark.parametrize(
    "prepare", [tile, *(pytest.param(p, marks=pytest.mark.slow) for p in (streets, objects))]
)
def test_a_configuration_of_real_images_trains_and_all_commands_run(run, prepare):
    prepare()
    status, out, err = run("init", "folder")
    assert status == 0, err
    check, fit, *others = commands(out)
    assert [words[0] for words in others] == ["test", "predict", "export"]
    for words in (check, [*fit, *TWO_STEPS, *SMALL], *others):
        status, _, err = run(*words)
        assert status == 0, err


def test_the_configuration_says_what_was_found(run):
    status, out, err = run("init", "my_folder")
    assert status == 0, err
    assert "8 images (8 .png) of 64 x 48" in out
    assert "masks of 3 classes (0 to 2)" in out
    assert "Splits: 6 train, 1 val, 1 test." in out
    data = yaml.safe_load(Path("my_folder.yaml").read_text())["data"]["init_args"]
    assert (data["images"], data["masks"], data["num_classes"]) == ("images", "masks", 3)


def test_a_file_that_was_not_written_by_init_stays(run, refused):
    Path("my_folder.yaml").write_text("my: own\n")
    assert "my_folder.yaml was not written by lightning-seg" in refused("init", "my_folder")
    assert Path("my_folder.yaml").read_text() == "my: own\n"
    for _ in range(2):  # its own is replaced
        status, _, err = run("init", "my_folder", "--output", "other.yaml")
        assert status == 0, err


def test_the_classes_of_the_command_line_are_written(run):
    status, _, err = run("init", "my_folder", "--classes", "null", "shirt", "hat")
    assert status == 0, err
    status, out, err = run("data", "check", "--config", "my_folder.yaml")
    assert status == 0, err
    assert "0 null" in out


def test_a_missing_mask_is_named(refused):
    Path("my_folder/masks/3.png").unlink()
    assert "3.png" in refused("init", "my_folder")
