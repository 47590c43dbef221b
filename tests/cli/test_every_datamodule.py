"""``fit`` and ``test`` of every DataModule on a tiny copy of its dataset."""

from pathlib import Path

import pytest
import yaml
from tiny_datasets import TINY

pytestmark = pytest.mark.slow


def config(name, root):
    tiny = TINY[name]
    batched = {"batch_size": 2, "num_workers": 0}
    # Some images differ in size; crops of one size can be batched.
    crop = {
        "class_path": "albumentations.RandomCrop",
        "init_args": {"height": 24, "width": 24, "pad_if_needed": True, "fill_mask": 255, "p": 1.0},
    }
    return {
        "data": {
            "class_path": tiny.module.__name__,
            "init_args": {
                "root": str(root),
                **tiny.settings,
                **batched,
                "train_transforms": [crop],
            },
        },
        "model": {
            "class_path": "SegmentationTask",
            "init_args": {
                "network": {
                    "class_path": "Unet",
                    "init_args": {"encoder": "test_resnet", "decoder_channels": [16, 8]},
                },
                "head": {"class_path": "SignedDistanceHead"},
                "losses": {
                    "cross_entropy": {"loss": "CrossEntropyLoss"},
                    "distance": {"loss": "MapL1Loss", "weight": 2.0, "prediction": "distance"},
                },
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    }


@pytest.mark.parametrize("name", TINY)
def test_every_dataset_trains_tests_and_predicts(name, run, tmp_path):
    root = tmp_path / "tiny"
    TINY[name].write(root)
    Path("tiny.yaml").write_text(yaml.safe_dump(config(name, root)))
    status, _, err = run("fit", "--config", "tiny.yaml", "--run_dir", "run")
    assert status == 0, err
    for stage in ("test", "predict"):
        checkpoint = ("--run_dir", "run", "--ckpt_path", "last")
        status, _, err = run(stage, "--config", "tiny.yaml", *checkpoint)
        assert status == 0, err
    assert Path("run/test/metrics.json").is_file()
    # Where rasterio is installed, predictions of TIFF images are TIFFs.
    suffixes = {path.suffix for path in Path("run/predictions").rglob("*.*") if path.is_file()}
    assert suffixes & {".png", ".tif"}
