"""A tiny folder of images and masks, and the command line in this process."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lightning_seg import cli

ROOT = Path(__file__).parents[2]

CONFIG = f"""\
seed_everything: 1
data:
  class_path: FolderDataModule
  init_args:
    root: my_folder
    num_classes: 3
    batch_size: 2
    num_workers: 0
    fractions: [0.5, 0.25, 0.25]
model:
  class_path: SegmentationTask
  init_args:
    network:
      class_path: Unet
      init_args:
        encoder: test_resnet
        decoder_channels: [16, 8]
    head:
      class_path: SignedDistanceHead
      init_args:
        clip: 8.0
    losses:
      cross_entropy:
        loss:
          class_path: CrossEntropyLoss
      distance:
        prediction: distance
        loss:
          class_path: MapL1Loss
        weight: 2.0
    optimization: {ROOT}/tests/cli/adamw.yaml
trainer:
  accelerator: cpu
  max_epochs: 1
  enable_progress_bar: false
  enable_model_summary: false
  num_sanity_val_steps: 0
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Working directory with eight images and masks in ``my_folder``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "my_folder" / kind).mkdir(parents=True)
    for i in range(8):
        mask = np.zeros((48, 64), np.uint8)
        mask[8 + i : 30, 10:40] = 1
        cv2.circle(mask, (45, 30), 6 + i, 2, -1)
        image = (60 * mask[..., None] + rng.integers(0, 60, (48, 64, 3))).astype(np.uint8)
        cv2.imwrite(f"my_folder/images/{i}.png", image)
        cv2.imwrite(f"my_folder/masks/{i}.png", mask)
    Path("config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def run(workplace, capsys, monkeypatch):
    """Run a command line; return its exit status, stdout and stderr."""

    def call(*args):
        status = 0
        try:
            monkeypatch.setattr(sys, "argv", ["lightning-seg", *args])
            cli.main()
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def refused(run):
    """Return the single error message of a refused command line."""

    def call(*args):
        status, _, err = run(*args)
        assert status == 2
        last = err.strip().splitlines()[-1]
        assert last.startswith("lightning-seg: error: ")
        assert "Traceback" not in err
        return last.removeprefix("lightning-seg: error: ")

    return call
