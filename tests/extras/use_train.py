"""One step of training and a test by the command line."""

import sys
from pathlib import Path

from lightning_seg.cli import main


def run(*args):
    sys.argv = ["lightning-seg", *args]
    main()


run(
    "fit", "--config", "synthetic/unet", "--config", "method/distance_regression",
    "--data.num_train", "2", "--data.num_val", "1", "--data.num_test", "1", "--data.size", "128",
    "--data.crop_size", "64", "--data.samples_per_epoch", "4", "--data.batch_size", "4",
    "--data.num_workers", "0", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--trainer.check_val_every_n_epoch", "1", "--run_dir", "run",
)  # fmt: skip
assert Path("run/checkpoints/last.ckpt").is_file()
run("test", "--config", "run/config.yaml", "--ckpt_path", "last")
assert list(Path("run/test").rglob("metrics.json"))
