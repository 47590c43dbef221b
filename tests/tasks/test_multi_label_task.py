"""`SegmentationTask` on pixels with several labels, each with its own sigmoid."""

import csv
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_task import make_task as make_tiny
from torch.utils.data import DataLoader
from torchmetrics.classification import MultilabelF1Score, MultilabelJaccardIndex

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead, SignedDistanceHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import (
    CrossEntropyLoss,
    DiceLoss,
    DistanceTransformLoss,
    JaccardLoss,
    MultiLabelLoss,
    SemedaLoss,
    WeightedLoss,
)
from lightning_seg.networks import EdgeNetwork, Unet
from lightning_seg.tasks import Ensemble, SegmentationTask

K = 3
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def tiny_network(in_channels):
    return Unet(in_channels, encoder="test_resnet", decoder_channels=(16, 8))


def make_task(losses=None, head=ClassificationHead, **options):
    losses = losses or {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    return make_tiny(losses, head, multi_label=True, **options)


@pytest.fixture
def samples(samples):
    """Return images with overlapping labels: class 1 and 2, and both of them as class 0."""
    for sample in samples:
        mask = sample["mask"]
        labels = torch.stack([(mask > 0).long(), (mask == 1).long(), (mask == 2).long()])
        sample["mask"] = torch.where(mask == 255, 255, labels)
        sample["mask"][2, :4] = 255  # one label alone is ignored
    return samples


def batch_of(samples):
    image, mask = (torch.stack([s[name] for s in samples]) for name in ("image", "mask"))
    return {"image": image, "mask": mask, "name": [s["name"] for s in samples]}


def test_cross_entropy_is_binary_cross_entropy_with_logits(samples):
    task, batch = make_task().eval(), batch_of(samples)
    predictions = task(batch["image"])
    assert predictions["logits"].shape == (5, K, 40, 64)
    loss, _ = task.objective(predictions, {}, batch["mask"])
    valid = batch["mask"] != 255
    expected = F.binary_cross_entropy_with_logits(
        predictions["logits"][valid], batch["mask"][valid].float()
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [DiceLoss(classes=[1]), JaccardLoss(), DistanceTransformLoss()])
def test_other_losses_are_applied_to_each_label(samples, loss):
    task, batch = make_task({"region": WeightedLoss(loss)}).eval(), batch_of(samples)
    logits = task(batch["image"])["logits"]
    value, _ = task.objective({"logits": logits}, {}, batch["mask"])
    scores = torch.stack([torch.zeros_like(logits), logits], dim=2).flatten(0, 1)
    assert value.item() == pytest.approx(loss(scores, batch["mask"].flatten(0, 1)).item())


def test_a_wrapped_loss_is_taken_as_it_is():
    own = MultiLabelLoss(DiceLoss(), average="macro")
    assert make_task({"dice": WeightedLoss(own)}).losses["dice"] is own


def test_it_learns_overlapping_labels(samples, loader):
    torch.manual_seed(0)
    task = make_task()
    trainer = Trainer(max_epochs=60, **QUIET)
    trainer.fit(task, loader(batch_size=5))
    batch = batch_of(samples)
    with torch.no_grad():
        labels = task.eval().predict_step(batch, 0)["labels"]
    assert labels.dtype == torch.uint8
    valid = batch["mask"] != 255
    assert (labels[valid] == batch["mask"][valid]).float().mean() > 0.9
    assert (labels.sum(dim=1) == 2).any()


def test_validation_measures_each_label(samples, loader, tmp_path):
    task, batch = make_task(), batch_of(samples)
    callbacks = [BoundaryMetrics(), PredictionPanels()]
    loggers = [TensorBoardLogger(tmp_path, name="board"), CSVLogger(tmp_path, name="csv")]
    trainer = Trainer(callbacks=callbacks, **QUIET | {"logger": loggers})
    [logged] = trainer.validate(task, loader(batch_size=2), verbose=False)
    with torch.no_grad():
        probabilities = task.eval()(batch["image"])["logits"].sigmoid()
    for name, kind in {"iou": MultilabelJaccardIndex, "f1": MultilabelF1Score}.items():
        expected = kind(K, ignore_index=255)(probabilities, batch["mask"])
        assert logged[f"val/{name}"] == pytest.approx(expected.item(), abs=1e-6)
    pictures = {path.stem for path in tmp_path.rglob("pictures/val/*.png")}
    assert len(pictures) == 4
    events = EventAccumulator(loggers[0].log_dir, size_guidance={"images": 0}).Reload()
    assert {f"val/{name}" for name in pictures} < set(events.Tags()["images"])
    (report,) = tmp_path.rglob("val/report.html")
    assert "A pixel is wrong if any of its labels is." in report.read_text()


def test_logits_between_zero_and_one_are_not_taken_for_probabilities(loader, tmp_path):
    task = make_task()
    torch.nn.init.zeros_(task.head.classifier.weight)
    torch.nn.init.constant_(task.head.classifier.bias, 0.3)
    trainer = Trainer(callbacks=BoundaryMetrics(), default_root_dir=tmp_path, **QUIET)
    [logged] = trainer.validate(task, loader(), verbose=False)
    assert logged["val/recall"] == 1


def test_windows_average_the_probability_of_each_label(samples):
    image = batch_of(samples)["image"]
    task = make_task(inference=SlidingWindow((40, 40), overlap=0.4)).eval()  # at columns 0 and 24
    with torch.no_grad():
        whole = task.infer(image)["logits"].sigmoid()
        left, right = (task(image[..., a : a + 40])["logits"].sigmoid() for a in (0, 24))
    shared = (left[..., 24:] + right[..., :16]) / 2
    expected = torch.cat([left[..., :24], shared, right[..., 16:]], dim=-1)
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=1e-5)


class Fixed(LightningModule):
    """Returns what the batch holds."""

    def __init__(self, multi_label):
        super().__init__()
        self.num_classes, self.multi_label = K, multi_label

    def validation_step(self, batch, batch_idx):
        return {name: self.labels(batch[name]) for name in ("preds", "mask")}

    def labels(self, maps):
        return F.one_hot(maps, K).movedim(-1, 1) if self.multi_label else maps


def test_labels_that_exclude_each_other_have_the_figures_of_classes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, K, (3, 2, 5, 8), generator=generator)
    maps = maps.repeat_interleave(8, 2).repeat_interleave(8, 3)
    maps[:, 1, :, 4:] = maps[:, 0, :, :-4]  # predictions are shifted
    loader = DataLoader([{"mask": mask, "preds": preds} for mask, preds in maps])
    tables = []
    for multi_label in (False, True):
        folder = tmp_path / str(multi_label)
        trainer = Trainer(callbacks=BoundaryMetrics(), default_root_dir=folder, **QUIET)
        trainer.validate(Fixed(multi_label), loader, verbose=False)
        with (folder / "val" / "per_class.csv").open() as file:
            tables.append(list(csv.DictReader(file)))
    for of_class, of_label in zip(*tables, strict=True):
        for name in ("iou", "f1", "precision", "recall", "boundary_iou", "boundary_f"):
            assert float(of_label[name]) == pytest.approx(float(of_class[name])), name
            assert 0 < float(of_label[name]) < 1


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (partial(SignedDistanceHead, clip=5.0), "there can be no SignedDistanceHead"),
        (partial(ClassificationHead, sigmoid=True), "set sigmoid to false"),
    ],
)
def test_heads_for_one_label_per_pixel_are_refused(head, message):
    losses = {"ce": WeightedLoss(CrossEntropyLoss())}
    with pytest.raises(InputError, match=message):
        SegmentationTask(2, 3, tiny_network, head, losses, multi_label=True)


def test_balanced_classes_are_refused():
    losses = {"ce": WeightedLoss(CrossEntropyLoss(class_weights="median_frequency"))}
    with pytest.raises(InputError, match=r"losses\.ce: .*counts the classes of label maps"):
        make_task(losses)


class OneLabel(LightningDataModule):
    multi_label = False

    def __init__(self, loader):
        super().__init__()
        self.val_dataloader = loader


def test_data_with_one_label_per_pixel_are_refused_before_the_first_step(loader):
    with pytest.raises(InputError, match="the predictions have several labels per pixel, but"):
        Trainer(**QUIET).validate(make_task(), datamodule=OneLabel(loader))


def test_an_ensemble_averages_the_probabilities_of_its_members(samples):
    batch, members = batch_of(samples), [make_task().eval(), make_task().eval()]
    torch.nn.init.constant_(members[1].head.classifier.bias, 1.0)
    with torch.no_grad():
        both = [member(batch["image"])["logits"].sigmoid() for member in members]
        output = Ensemble(members).eval().validation_step(batch, 0)
    torch.testing.assert_close(output["probabilities"], sum(both) / 2, atol=1e-6, rtol=1e-5)


def test_an_ensemble_of_different_kinds_is_refused():
    one = make_tiny({"ce": WeightedLoss(CrossEntropyLoss())}, ClassificationHead)
    with pytest.raises(InputError, match="differ in multi_label: False and True"):
        Ensemble([make_task(), one])


def test_a_checkpoint_of_one_label_per_pixel_is_refused():
    old = {"hyper_parameters": {"num_classes": 3, "in_channels": 3}}  # without multi_label
    with pytest.raises(InputError, match="multi_label False, but this one True"):
        make_task().on_load_checkpoint(old)


def test_an_edge_network_may_name_absence_and_presence(loader):
    network = EdgeNetwork(2)
    network.class_names = ("absent", "present")
    task = make_task({"semeda": WeightedLoss(SemedaLoss(network))})
    data = OneLabel(loader)
    data.multi_label, data.class_names = True, ("roof", "building", "shadow")
    Trainer(**QUIET).validate(task, datamodule=data)


def test_an_ensemble_has_no_disagreement_over_several_labels(samples):
    ensemble = Ensemble([make_task().eval(), make_task().eval()])
    with pytest.raises(InputError, match="disagreement of an ensemble is for one label"):
        ensemble.infer_window(batch_of(samples)["image"], disagreement=True)


def test_the_model_can_be_stored_as_a_folder(samples, tmp_path):
    task, batch = make_task().eval(), batch_of(samples)
    task.save_pretrained(tmp_path / "model")
    loaded = SegmentationTask.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        labels = [t.predict_step(batch, 0)["labels"] for t in (task, loaded)]
    assert torch.equal(*labels)
    assert '["logits"] > 0' in (tmp_path / "model" / "README.md").read_text()
