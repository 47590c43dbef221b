"""anomalib's Padim on photos with masks: our metrics in its evaluator, and our callback."""

import sys
from pathlib import Path

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.metrics import Evaluator, create_anomalib_metric
from anomalib.models import Padim
from PIL import Image

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU


def write_photos(root):
    """Write noisy photos (64, 64), some with a bright spot, and the masks of the spots."""
    rng = np.random.default_rng(0)
    for name, count in (("good", 8), ("spot", 6)):
        for number in range(count):
            photo = rng.integers(90, 120, (64, 64, 3), dtype=np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            if name == "spot":
                top, left = rng.integers(5, 35, 2)
                mask[top : top + 18, left : left + 22] = 255
                photo[mask > 0] += 100
                save(mask, root / "mask" / f"{number}.png")
            save(photo, root / name / f"{number}.png")


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def extract(trainer, pl_module, outputs, batch):
    """Threshold the map: anomalib does so itself only after the callbacks of its engine."""
    return outputs.anomaly_map > pl_module.post_processor.pixel_threshold, batch.gt_mask


def check(folder):
    folder = Path(folder)
    write_photos(folder / "photos")
    data = Folder(
        name="spots", root=folder / "photos", normal_dir="good", abnormal_dir="spot",
        mask_dir="mask", train_batch_size=4, eval_batch_size=4, num_workers=0,
    )  # fmt: skip
    common = {"fields": ["pred_mask", "gt_mask"], "prefix": "pixel_", "num_classes": 2}
    metrics = [create_anomalib_metric(one)(**common) for one in (BoundaryIoU, BoundaryFMeasure)]
    model = Padim(
        layers=["layer1"], pre_trained=False, n_features=16, visualizer=False,
        pre_processor=Padim.configure_pre_processor((64, 64)),
        evaluator=Evaluator(test_metrics=metrics),
    )  # fmt: skip
    callback = BoundaryMetrics(2, extractor=extract, ignore_index=None, report=False)
    engine = Engine(
        accelerator="cpu", default_root_dir=folder, callbacks=[callback], logger=False,
        enable_progress_bar=False,
    )  # fmt: skip
    engine.fit(model, datamodule=data)
    [scores] = engine.test(model, datamodule=data)

    metric = BoundaryIoU(2)
    for batch in engine.predict(model, dataloaders=data.test_dataloader()):
        metric.update(batch.pred_mask, batch.gt_mask)
    expected = metric.compute().item()
    assert 0 < expected < 1, expected
    for name in ("pixel_BoundaryIoU", "test/boundary_iou"):
        assert abs(scores[name] - expected) < 1e-6, (scores, expected)
    assert 0 < scores["pixel_BoundaryFMeasure"] <= 1


if __name__ == "__main__":
    torch.manual_seed(0)
    check(sys.argv[1])
