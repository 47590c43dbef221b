"""Our metrics inside wrappers and collections of torchmetrics, and in Lightning's `log_dict`."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from test_metrics_everywhere import VOID, K, blobs
from torchmetrics import MetricCollection
from torchmetrics.wrappers import BootStrapper, ClasswiseWrapper, MinMaxMetric

from lightning_seg.metrics import (
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    SurfaceDistance,
    TrimapIoU,
)

NAMES = ["road", "tree", "car", "sky"]
COMMON = {"num_classes": K, "ignore_index": VOID}
METRICS = {
    "boundary_iou": lambda **average: BoundaryIoU(**COMMON, **average),
    "trimap_iou_3px": lambda **average: TrimapIoU(**COMMON, widths=3, **average),
    "boundary_f": lambda **average: BoundaryFMeasure(**COMMON, **average),
    "e_measure": lambda **average: EMeasure(**COMMON, **average),
    "surface_distance": lambda **average: SurfaceDistance(**COMMON, **average),
}
each_metric = pytest.mark.parametrize("make", METRICS.values(), ids=METRICS.keys())


@each_metric
def test_classwise_wrapper_names_the_value_of_each_class(make):
    expected = make(average=None)(*blobs(3))
    wrapped = ClasswiseWrapper(make(average=None), NAMES, prefix="x_")
    assert [value.shape for value in wrapped(*blobs(3)).values()] == [()] * K
    assert wrapped.compute() == {f"x_{n}": v for n, v in zip(NAMES, expected)}


@each_metric
def test_bootstrapper_takes_one_quantile_and_several(make):
    torch.manual_seed(0)
    quantile = torch.tensor([0.05, 0.95], dtype=torch.float64)  # of the type of the values
    wrapped = BootStrapper(make(), num_bootstraps=20, quantile=quantile)
    wrapped.update(*blobs(8))
    low, high = wrapped.compute()["quantile"]
    assert low < make()(*blobs(8)) < high


@each_metric
def test_minmax_takes_the_mean(make):
    wrapped = MinMaxMetric(make())
    wrapped.update(*blobs(2))
    assert wrapped.compute()["raw"] == make()(*blobs(2))


def test_a_single_width_has_no_axis_of_widths():
    preds, target = blobs(3)
    for region in ("boundary", "both"):
        several = TrimapIoU(**COMMON, widths=(3,), region=region, average=None)(preds, target)
        single = TrimapIoU(**COMMON, widths=3, region=region, average=None)
        assert torch.equal(single(preds, target), several.squeeze(-2))
    assert TrimapIoU(**COMMON, widths=3)(preds, target).shape == ()
    with pytest.raises(ValueError, match=r"widths is \(0,\)"):
        TrimapIoU(**COMMON, widths=0)


class Logs(LightningModule):
    def __init__(self):
        super().__init__()
        means = {name: make() for name, make in METRICS.items()}
        by_class = {
            f"{name}_by_class": ClasswiseWrapper(make(average=None), NAMES, prefix=f"{name}_")
            for name, make in METRICS.items()
        }
        self.metrics = MetricCollection(means | by_class, prefix="val_")

    def validation_step(self, batch, batch_idx):
        self.metrics.update(*batch)

    def on_validation_epoch_end(self):
        self.log_dict(self.metrics.compute())
        self.metrics.reset()


def test_a_collection_of_all_is_logged_by_log_dict(tmp_path):
    trainer = Trainer(
        logger=False, enable_progress_bar=False, accelerator="cpu", default_root_dir=str(tmp_path)
    )
    batches = torch.utils.data.DataLoader([blobs(2), blobs(1, seed=1)], batch_size=None)
    [logged] = trainer.validate(Logs(), batches, verbose=False)
    assert len(logged) == len(METRICS) * (1 + K)
    for name, make in METRICS.items():
        by_class = make(average=None)
        for batch in batches:
            by_class.update(*batch)
        values = by_class.compute()
        assert logged[f"val_{name}"] == pytest.approx(values.nanmean().item(), abs=1e-5)
        for label, value in zip(NAMES, values):
            assert logged[f"val_{name}_{label}"] == pytest.approx(value.item(), abs=1e-5)
