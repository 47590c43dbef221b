"""Distance regression on SegFormer, in one configuration."""

from pathlib import Path

import pytest

from lightning_seg.tasks import SegmentationTask

CONFIGS = Path(__file__).parents[2] / "configs"


def test_distance_regression_trains_on_segformer(run):
    pytest.importorskip("transformers")
    options = ("--data.num_train=2", "--data.num_val=1", "--data.num_test=1", "--data.size=96")
    options += ("--data.crop_size=64", "--data.samples_per_epoch=4", "--data.batch_size=2")
    options += ("--data.num_workers=0", "--trainer.max_epochs=1", "--trainer.accelerator=cpu")
    options += ("--trainer.check_val_every_n_epoch=1", "--run_dir=run")
    config = CONFIGS / "experiment" / "synthetic" / "segformer_distance.yaml"
    status, _, err = run("fit", "--config", str(config), *options)
    assert status == 0, err
    task = SegmentationTask.load_from_checkpoint("run/checkpoints/last.ckpt")
    assert type(task.network.model.model).__name__ == "SegformerForSemanticSegmentation"
    assert task.head.predictions == ("logits", "distance")
