"""`BoundaryMetrics` in unchanged third-party projects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from foreign_modules import K, Scenes, trainer
from lightning.pytorch import LightningModule
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.errors import InputError
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


class SmpModule(LightningModule):
    """Module in the style of the multi-class example of segmentation_models_pytorch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = smp.Unet("resnet18", encoder_weights=None, in_channels=K, classes=K)
        self.loss_fn = smp.losses.DiceLoss("multiclass", ignore_index=255)
        self.outputs = []

    def forward(self, image):
        return self.model(image)

    def shared_step(self, batch):
        image, mask = batch["image"], batch["mask"]
        logits = self(image)
        stats = smp.metrics.get_stats(
            logits.argmax(1), mask, mode="multiclass", num_classes=K, ignore_index=255
        )
        return {"loss": self.loss_fn(logits, mask), **dict(zip(("tp", "fp", "fn", "tn"), stats))}

    def validation_step(self, batch, batch_idx):
        self.outputs.append(self.shared_step(batch))
        return self.outputs[-1]

    def on_validation_epoch_end(self):
        counts = {k: torch.cat([o[k] for o in self.outputs]) for k in ("tp", "fp", "fn", "tn")}
        self.log("valid_iou", smp.metrics.iou_score(**counts, reduction="micro"))
        self.outputs.clear()


def test_a_module_on_segmentation_models_pytorch_is_measured(tmp_path):
    module = SmpModule()
    scenes = [s for s in Scenes(5, as_dict=True) if torch.is_tensor(s["image"])]
    for scene in scenes:
        scene["image"] = torch.nn.functional.pad(scene["image"], (0, 24, 0, 8))
        scene["mask"] = torch.nn.functional.pad(scene["mask"], (0, 24, 0, 8), value=255)
    loader = DataLoader(scenes, batch_size=2)
    [logged] = trainer(tmp_path, BoundaryMetrics(num_classes=K)).validate(module, loader)
    for name, value in expected(module, loader).items():
        assert logged[name] == pytest.approx(value, abs=1e-6), name
    assert "valid_iou" in logged


class SegformerModule(LightningModule):
    """Module in the style of the tutorials of transformers: the step returns the model's loss."""

    def __init__(self):
        super().__init__()
        transformers = pytest.importorskip("transformers")
        torch.manual_seed(0)
        sizes = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
        config = transformers.SegformerConfig(num_labels=K, decoder_hidden_size=8, **sizes)
        self.model = transformers.SegformerForSemanticSegmentation(config)

    def validation_step(self, batch, batch_idx):
        return self.model(pixel_values=batch["pixel_values"], labels=batch["labels"]).loss


def test_a_module_on_transformers_is_measured_at_the_size_of_the_mask(tmp_path):
    module = SegformerModule()
    samples = []
    for scores, mask in (Scenes(5)[index] for index in range(5)):
        image = torch.nn.functional.pad(scores, (0, 24, 0, 40))
        mask = torch.nn.functional.pad(mask, (0, 24, 0, 40), value=255)
        samples.append({"pixel_values": image, "labels": mask})
    loader = DataLoader(samples, batch_size=2)
    with pytest.raises(InputError, match="set resize=True"):
        trainer(tmp_path, BoundaryMetrics(num_classes=K)).validate(module, loader, verbose=False)
    callback = BoundaryMetrics(num_classes=K, resize=True)
    [logged] = trainer(tmp_path, callback).validate(module, loader, verbose=False)

    def enlarged(image):
        return interpolate(module.model.eval()(image).logits, image.shape[-2:], mode="bilinear")

    measure = BoundaryIoU(K, ignore_index=255)
    with torch.no_grad():
        for batch in loader:
            measure.update(enlarged(batch["pixel_values"]), batch["labels"])
    assert 0 < logged["val/boundary_iou"] == pytest.approx(measure.compute().item(), abs=1e-6)
