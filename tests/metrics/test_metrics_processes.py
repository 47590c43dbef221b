"""One process and two, with an odd number of samples, give the same numbers to the bit."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from clean_processes import in_clean_process

from lightning_seg.metrics import (
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    PerSampleMean,
    SurfaceDistance,
    TrimapIoU,
)

SAMPLES = 7


def sample(index):
    rng = torch.Generator().manual_seed(index)
    coarse = torch.randint(0, 3, (2, 5, 4 + index % 3), generator=rng)
    maps = coarse.repeat_interleave(5, dim=1).repeat_interleave(5, dim=2)
    preds, target = maps.split(1)
    target[:, :3] = 255
    return preds, target, torch.rand(1, generator=rng) / 3


def run(indices):
    metrics = {
        "boundary_iou": BoundaryIoU(3, ignore_index=255, average=None),
        "trimap_iou": TrimapIoU(3, ignore_index=255, average=None),
        "boundary_f": BoundaryFMeasure(3, 1, ignore_index=255, average=None),
        "boundary_f_pooled": BoundaryFMeasure(3, 1, ignore_index=255, pooled=True),
        "e_measure": EMeasure(3, ignore_index=255, average=None),
        "surface_distance": SurfaceDistance(3, ignore_index=255, average=None),
        "loss": PerSampleMean(),
    }
    for preds, target, loss in map(sample, indices):
        for name, metric in metrics.items():
            metric.update(*((loss,) if name == "loss" else (preds, target)))
    return {name: metric.compute() for name, metric in metrics.items()}


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(run(range(rank, SAMPLES, 2)), f"{folder}/{rank}.pt")
    # The group ends with the process: to destroy it can wait for ever in torch 2.6.


@in_clean_process
def test_two_processes_equal_one_to_the_bit(tmp_path):
    mp.start_processes(process, args=(str(tmp_path),), nprocs=2, start_method="fork")
    alone = run(range(SAMPLES))
    for rank in range(2):
        shared = torch.load(tmp_path / f"{rank}.pt")
        for name, expected in alone.items():
            assert expected.nanmean() > 0
            assert torch.equal(shared[name].nan_to_num(nan=-1), expected.nan_to_num(nan=-1)), name
