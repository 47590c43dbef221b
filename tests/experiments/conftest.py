"""Two methods with two seeds each, trained for two epochs and tested."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lightning_seg import cli
from lightning_seg.experiments.comparison import find_runs
from lightning_seg.experiments.comparison.runs import export_records

ROOT = Path(__file__).parents[2]
METHODS = ("cross_entropy", "distance_regression")
SEEDS = (1, 2)

CONFIG = f"""\
data:
  class_path: FolderDataModule
  init_args:
    root: my_folder
    num_classes: 3
    class_names: [ground, house, car]
    batch_size: 2
    num_workers: 0
    fractions: [0.4, 0.2, 0.4]
model:
  class_path: SegmentationTask
  init_args:
    network:
      class_path: Unet
      init_args:
        encoder: test_resnet
        decoder_channels: [16, 8]
    head:
      class_path: ClassificationHead
    losses:
      cross_entropy:
        loss:
          class_path: CrossEntropyLoss
    optimization: {ROOT}/tests/cli/adamw.yaml
trainer:
  accelerator: cpu
  max_epochs: 2
  enable_progress_bar: false
  enable_model_summary: false
panels: null
"""


def write_images(folder: Path, count: int = 12) -> None:
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        mask = np.zeros((48, 64), np.uint8)
        mask[8 + i : 36, 10:40] = 1
        cv2.circle(mask, (45, 30), 6 + i, 2, -1)
        image = (60 * mask[..., None] + rng.integers(0, 60, (48, 64, 3))).astype(np.uint8)
        cv2.imwrite(str(folder / f"images/{i:02d}.png"), image)
        cv2.imwrite(str(folder / f"masks/{i:02d}.png"), mask)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folder with the runs METHOD/seedN."""
    folder = tmp_path_factory.mktemp("experiment")
    write_images(folder / "my_folder")
    (folder / "config.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr("warnings.showwarning", lambda *args, **kwargs: None)
        for method in METHODS:
            for seed in SEEDS:
                run_dir = f"runs/{method}/seed{seed}"
                overlay = str(ROOT / "configs" / "method" / f"{method}.yaml")
                for words in (
                    ["fit", "--config", "config.yaml", "--config", overlay],
                    ["test", "--config", f"{run_dir}/config.yaml", "--ckpt_path", "last"],
                ):
                    seeded = ["--seed_everything", str(seed), "--run_dir", run_dir]
                    patch.setattr(sys, "argv", ["lightning-seg", *words, *seeded])
                    cli.main()
    return folder / "runs"


@pytest.fixture
def copies(runs, tmp_path):
    """Copies of the run records that a test may change."""
    export_records(find_runs(runs), tmp_path / "runs")
    return tmp_path / "runs"
