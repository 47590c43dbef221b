"""Predicts images of any size: CHECKPOINT, images, output folder, number of processes."""

import sys

from lightning.pytorch import Trainer

from lightning_seg.inference import SlidingWindow
from lightning_seg.raster_prediction import predict_rasters
from lightning_seg.tasks import SegmentationTask

if __name__ == "__main__":
    checkpoint, images, output, processes = sys.argv[1:]
    task = SegmentationTask.load_from_checkpoint(checkpoint)
    task.inference = SlidingWindow((32, 48), 0.75, 4, 16)
    trainer = Trainer(
        accelerator="cpu",
        devices=int(processes),
        strategy="auto" if processes == "1" else "ddp_fork",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    predict_rasters(task, images, output, class_names=["a", "b", "c"], trainer=trainer)
