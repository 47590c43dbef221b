"""`BoundaryMetrics` in projects whose pixels have several labels."""

import csv
import json

import monai
import pytest
import segmentation_models_pytorch as smp
import torch
from foreign_modules import trainer
from lightning.pytorch import LightningModule
from torch.utils.data import DataLoader
from torchgeo.trainers import SemanticSegmentationTask
from torchmetrics.classification import MultilabelF1Score, MultilabelJaccardIndex

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels
from lightning_seg.errors import InputError
from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, MultiLabelMetric, TrimapIoU

pytestmark = pytest.mark.filterwarnings("ignore")

K = 3
NAMES = ["nucleus", "cell", "tissue"]


def samples(count=5, void=True):
    """Return noisy images and labels that contain each other: nucleus, cell, tissue."""
    generator = torch.Generator().manual_seed(0)
    batch = []
    for _ in range(count):
        mask = torch.zeros(K, 32, 32, dtype=torch.int64)
        top, left = torch.randint(2, 8, (2,), generator=generator).tolist()
        for k, inset in enumerate((7, 4, 0)):
            mask[k, top + inset : top + 20 - inset, left + inset : left + 20 - inset] = 1
        image = 2.0 * mask.roll(1, 2) - 1 + 0.6 * torch.randn(mask.shape, generator=generator)
        if void:
            mask[1, :, :3] = 255
        batch.append({"image": image, "mask": mask})
    return batch


class Smp(LightningModule):
    """Module in the style of segmentation-models-pytorch's notebooks, in its multi-label mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = smp.Unet("resnet18", encoder_weights=None, in_channels=K, classes=K)
        self.loss_fn = smp.losses.DiceLoss("multilabel", ignore_index=255)

    def forward(self, image):
        return self.model(image)

    def validation_step(self, batch, batch_idx):
        return {"loss": self.loss_fn(self.forward(batch["image"]), batch["mask"])}

    test_step = validation_step


class Monai(LightningModule):
    """Module in the style of MONAI's BraTS tutorial: sigmoid, float masks, a sliding window."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = monai.networks.nets.UNet(2, K, K, channels=(8, 16), strides=(2,))
        self.dice = monai.metrics.DiceMetric(reduction="mean_batch")

    def validation_step(self, batch, batch_idx):
        scores = monai.inferers.sliding_window_inference(batch["image"], (16, 16), 4, self.model)
        labels = (scores.sigmoid() > 0.5).float()
        self.dice(labels, batch["mask"])
        return {"preds": labels, "mask": batch["mask"].float()}

    test_step = validation_step

    def on_test_epoch_end(self):
        for name, value in zip(NAMES, self.dice.aggregate()):
            self.log(f"dice_{name}", value)


def scores_of(module, batch):
    with torch.no_grad():
        return module.eval().model(batch["image"])


def expected(predict, batches):
    measures = {
        "val/boundary_iou": MultiLabelMetric(BoundaryIoU(2, ignore_index=255), K),
        "val/boundary_f": MultiLabelMetric(
            BoundaryFMeasure(2, ignore_index=255, void="removed"), K
        ),
        "val/trimap_iou_3px": MultiLabelMetric(TrimapIoU(2, widths=3, ignore_index=255), K),
        "val/iou": MultilabelJaccardIndex(K, ignore_index=255),
        "val/f1": MultilabelF1Score(K, ignore_index=255),
    }
    for batch in batches:
        for measure in measures.values():
            measure.update(predict(batch), batch["mask"])
    return {name: measure.compute().item() for name, measure in measures.items()}


def check(logged, values):
    for name, value in values.items():
        assert logged[name] == pytest.approx(value, abs=1e-6), name
    assert 0 < logged["val/boundary_iou"] < 1


def test_a_module_on_segmentation_models_pytorch_is_measured(tmp_path):
    module, loader = Smp(), DataLoader(samples(), batch_size=2)
    callback = BoundaryMetrics(num_classes=K, multi_label=True)
    [logged] = trainer(tmp_path, callback).validate(module, loader)
    check(logged, expected(lambda batch: scores_of(module, batch), loader))


def test_a_torchgeo_task_with_labels_is_found_by_itself(tmp_path):
    torch.manual_seed(0)
    task = SemanticSegmentationTask(
        "unet", "resnet18", in_channels=K, task="multilabel", num_labels=K, loss="bce"
    )
    loader = DataLoader(samples(void=False), batch_size=2)
    [logged] = trainer(tmp_path, BoundaryMetrics()).validate(task, loader)
    check(logged, expected(lambda batch: scores_of(task, batch), loader))


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("monai")
    loader = DataLoader(samples(void=False), batch_size=2)
    callback = BoundaryMetrics(K, class_names=NAMES, multi_label=True)
    [logged] = trainer(folder, callback).test(Monai(), loader)
    return logged, folder


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_files_of_a_monai_module_hold_each_label(tested):
    logged, folder = tested
    by_label = read(folder / "test" / "per_class.csv")
    assert [row["class"] for row in by_label] == NAMES
    for row in by_label:
        assert float(row["f1"]) == pytest.approx(logged[f"dice_{row['class']}"], abs=0.05)
    record = json.loads((folder / "test" / "metrics.json").read_text())
    assert record["settings"]["multi_label"] is True
    assert record["scalars"]["iou"] == pytest.approx(sum(float(row["iou"]) for row in by_label) / K)


def test_confusions_and_counts_are_those_of_each_label_against_the_rest(tested):
    logged, folder = tested
    confusion = read(folder / "test" / "confusion.csv")
    truth = sum(batch["mask"] for batch in samples(void=False)).sum((1, 2)).tolist()
    counts = read(folder / "test" / "counts_per_image.csv")
    right = 0
    for row, name, pixels in zip(confusion, NAMES, truth):
        assert row.pop("class") == name
        values = {key: int(value) for key, value in row.items()}
        assert sum(values.values()) == 5 * 32 * 32
        assert values["true_positives"] + values["false_negatives"] == pixels
        assert sum(int(c["truth"]) for c in counts if c["class"] == name) == pixels
        right += values["true_positives"] + values["true_negatives"]
    assert logged["test/accuracy"] == pytest.approx(right / (5 * K * 32 * 32))
    assert not (folder / "test" / "confusion.png").exists()
    assert (folder / "test" / "curves.png").is_file()


def refused(folder, module, callback, message, **kwargs):
    with pytest.raises(InputError, match=message):
        trainer(folder, callback).validate(module, DataLoader(samples(**kwargs), batch_size=2))


@pytest.mark.parametrize("callback", [BoundaryMetrics, PredictionPanels])
def test_without_the_option_masks_with_channels_are_named(tmp_path, callback):
    refused(tmp_path, Smp(), callback(num_classes=K), "set multi_label=True, in BoundaryMetrics")


def test_a_positive_class_of_several_labels_is_refused(tmp_path):
    panels = PredictionPanels(num_classes=K, multi_label=True, positive_class="class 1")
    refused(tmp_path, Smp(), panels, "each with a panel of its own")


def test_pictures_show_each_label(tmp_path):
    figures = []

    class Keeps(PredictionPanels):
        def draw(self, pl_module, sample):
            figures.append(super().draw(pl_module, sample))
            return figures[-1]

    panels = Keeps(1, num_classes=K, class_names=NAMES, multi_label=True)
    metrics = BoundaryMetrics(K, class_names=NAMES, multi_label=True, report=False)
    loader = DataLoader(samples(1), batch_size=1)
    trainer(tmp_path, panels, metrics).validate(Smp(), loader)
    (figure,) = figures
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["image", "ground truth", "prediction"]
    for name in NAMES:
        assert f"{name}: IoU {iou_of(tmp_path, name):.1%}" in titles
    assert "entropy of the prediction" in titles
    legend = {text.get_text() for part in figure.legends for text in part.get_texts()}
    assert {*NAMES, "not labelled", "right", "wrong", "false negative"} <= legend


def iou_of(folder, name):
    rows = read(folder / "val" / "per_class.csv")
    return next(float(row["iou"]) for row in rows if row["class"] == name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 2}, r"\(B, 2, H, W\), a map of each label"),
        ({"num_classes": K, "merged_classes": {"all": ["class 0"]}}, "exclude each other"),
        ({"num_classes": K, "ignore_index": None}, "holds the label 255"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, options, message):
    refused(tmp_path, Smp(), BoundaryMetrics(**options, multi_label=True), message)
