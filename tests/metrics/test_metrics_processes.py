"""One process and several, with unequal numbers of samples, give identical values."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from clean_processes import in_clean_process
from torchmetrics import MetricCollection

from lightning_seg.metrics import (
    BoundaryErrors,
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    MultiLabelMetric,
    PerSampleMean,
    SurfaceDistance,
    TrimapIoU,
)

SAMPLES = 7
COMMON = {"num_classes": 3, "ignore_index": 255}


def sample(index):
    rng = torch.Generator().manual_seed(index)
    coarse = torch.randint(0, 3, (2, 5, 4 + index % 3), generator=rng)
    maps = coarse.repeat_interleave(5, dim=1).repeat_interleave(5, dim=2)
    preds, target = maps.split(1)
    target[:, :3] = 255
    return preds, target, torch.rand(1, generator=rng) / 3


def at_most(labels, k):
    """Return overlapping labels: 1 up to class k, 0 above it, and void."""
    return torch.where(labels == 255, 255, (labels <= k).long())


def run(indices):
    metrics = MetricCollection(
        {
            "boundary_iou": BoundaryIoU(**COMMON, average=None),
            "boundary_iou_mean": BoundaryIoU(**COMMON),
            "trimap_iou": TrimapIoU(**COMMON, average=None),
            "interior_iou": TrimapIoU(**COMMON, region="interior"),
            "boundary_f": BoundaryFMeasure(**COMMON, tolerance=1, average=None, score="all"),
            "boundary_recall": BoundaryFMeasure(**COMMON, tolerance=1, score="recall"),
            "boundary_f_pooled": BoundaryFMeasure(**COMMON, tolerance=1, pooled=True),
            "e_measure": EMeasure(**COMMON, average=None),
            "surface_distance": SurfaceDistance(**COMMON, average=None, measure="both"),
            "boundary_errors": BoundaryErrors(**COMMON, widths=(1, 3), per_class=True),
        }
    )
    called, loss = BoundaryIoU(**COMMON), PerSampleMean()
    labels = MultiLabelMetric(BoundaryFMeasure(2, 1, ignore_index=255), num_labels=3)
    for preds, target, value in map(sample, indices):
        metrics.update(preds, target)
        called(preds, target)
        labels.update(*(torch.stack([at_most(x, k) for k in range(3)], 1) for x in (preds, target)))
        loss.update(value)
    actual = metrics.compute() | {"loss": loss.compute(), "forward": called.compute()}
    actual["labels"] = labels.compute()
    return actual | {"groups": len(metrics.compute_groups)}


def meet(rank, folder, processes):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=processes)
    # The group ends with the process: to destroy it can wait for ever in torch 2.6.


def process(rank, folder, processes, samples):
    meet(rank, folder, processes)
    torch.save(run(range(rank, samples, processes)), f"{folder}/{rank}.pt")


@pytest.mark.parametrize(("processes", "samples"), [(2, 7), (4, 7), (4, 5)])
@in_clean_process
def test_several_processes_equal_one_bit_for_bit(tmp_path, processes, samples):
    arguments = (str(tmp_path), processes, samples)
    mp.start_processes(process, args=arguments, nprocs=processes, start_method="fork")
    alone = run(range(samples))
    names = [name for name, value in alone.items() if isinstance(value, torch.Tensor)]
    assert len(names) == 13
    for rank in range(processes):
        shared = torch.load(tmp_path / f"{rank}.pt")
        for name in names:
            assert alone[name].nanmean() > 0
            assert torch.equal(shared[name].nan_to_num(nan=-1), alone[name].nan_to_num(nan=-1)), (
                name
            )
        assert shared["groups"] == alone["groups"]


def synced_step(rank, folder):
    meet(rank, folder, 2)
    metric = BoundaryFMeasure(**COMMON, tolerance=1, average=None)
    metric.dist_sync_on_step = True
    values = [metric(*sample(2 * step + rank)[:2]) for step in range(3)]
    torch.save([*values, metric.compute()], f"{folder}/{rank}.pt")


@in_clean_process
def test_dist_sync_on_step_gives_values_of_all_processes(tmp_path):
    mp.start_processes(synced_step, args=(str(tmp_path),), nprocs=2, start_method="fork")
    metric = BoundaryFMeasure(**COMMON, tolerance=1, average=None)
    expected = []
    for step in range(3):
        alone = metric.clone()
        for number in (2 * step, 2 * step + 1):
            alone.update(*sample(number)[:2])
        expected.append(alone.compute())
    for number in range(6):
        metric.update(*sample(number)[:2])
    expected.append(metric.compute())
    for rank in range(2):
        actual = torch.load(tmp_path / f"{rank}.pt")
        assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
