"""`BoundaryMetrics` in an unchanged torchgeo project, on one process and on two."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from foreign_modules import K

from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, TrimapIoU

SCRIPT = Path(__file__).with_name("torchgeo_project.py")


def expected(network, loader):
    """Return the metrics computed from the network's scores without a callback."""
    measures = {
        "val/boundary_iou": BoundaryIoU(K, ignore_index=255),
        "val/boundary_f": BoundaryFMeasure(K, ignore_index=255, void="removed"),
        "val/trimap_iou_3px": TrimapIoU(K, widths=(3,), ignore_index=255),
    }
    with torch.no_grad():
        for batch in loader:
            scores = network.eval()(batch["image"])
            for measure in measures.values():
                measure.update(scores, batch["mask"])
    return {name: measure.compute().item() for name, measure in measures.items()}


@pytest.fixture(scope="module")
def torchgeo_runs(tmp_path_factory):
    """Return the logs and files of the script on one process and on two."""
    folder = tmp_path_factory.mktemp("torchgeo")
    actual = {}
    for devices in (1, 2):
        run = folder / str(devices)
        run.mkdir()
        command = [sys.executable, "-W", "ignore", str(SCRIPT), str(run), str(devices)]
        subprocess.run(command, check=True, timeout=600, stdout=subprocess.DEVNULL)
        actual[devices] = {
            name: json.loads((run / name).read_text())
            for name in ("logged.json", "val/metrics.json")
        }
    return actual


def test_a_torchgeo_task_is_measured(torchgeo_runs):
    from torchgeo_project import Loaders, task

    logged = torchgeo_runs[1]["logged.json"]
    for name, value in expected(task(), Loaders.make()).items():
        assert logged[name] == pytest.approx(value, abs=1e-6), name
    assert 0 < logged["val/boundary_iou"] < 1


def test_a_torchgeo_task_gives_the_same_on_two_processes_despite_repeated_samples(torchgeo_runs):
    one, two = torchgeo_runs[1], torchgeo_runs[2]
    assert one["val/metrics.json"] == two["val/metrics.json"]
    ours = {name for name in one["logged.json"] if name.startswith("val/")}
    assert len(ours) >= 8
    assert {n: one["logged.json"][n] for n in ours} == {n: two["logged.json"][n] for n in ours}
