import csv
import json
import math
import re

import cv2
import pytest
import torch
from foreign_modules import (
    AugmentsItself,
    Base,
    CallsForward,
    ChangesBatch,
    Coarse,
    HasAnEdgeLoss,
    HidesItself,
    K,
    ReturnsDict,
    ReturnsLoss,
    ReturnsNothing,
    RunsOnWindows,
    Scenes,
    Silent,
    loader,
    trainer,
)
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassMatthewsCorrCoef,
    MulticlassPrecision,
    MulticlassRecall,
)

from lightning_seg.callbacks import (
    BoundaryMetrics,
    CaptureForward,
    FromOutputs,
    PredictionPanels,
)
from lightning_seg.errors import InputError
from lightning_seg.metrics import (
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    SurfaceDistance,
    TrimapIoU,
)
from lightning_seg.metrics.functional.boundary_errors import CAUSES, boundary_errors

pytestmark = pytest.mark.filterwarnings("ignore")

WIDTHS = (1, 2, 3, 5, 10)


def expected(scenes=None, thorough=True):
    """Return the scores of all scenes, computed in a plain loop."""
    scores, masks = zip(*(scenes or Scenes(5)))
    labels, masks = torch.stack(scores).argmax(1), torch.stack(masks)
    common = {"num_classes": K, "ignore_index": 255}
    contour = common | {"void": "removed"}

    def contours(**settings):
        return [
            BoundaryFMeasure(**contour, **settings, score=score)
            for score in ("f", "precision", "recall", "surface_dice")
        ]

    names = ("boundary_f", "boundary_precision", "boundary_recall", "surface_dice")
    metrics = {
        "boundary_iou": BoundaryIoU(**common),
        **dict(zip(names, contours())),
        "iou": MulticlassJaccardIndex(**common),
        "f1": MulticlassF1Score(**common),
        "precision": MulticlassPrecision(**common),
        "recall": MulticlassRecall(**common),
        "accuracy": MulticlassAccuracy(**common, average="micro"),
        "mcc": MulticlassMatthewsCorrCoef(**common),
        **{f"trimap_iou/{w}": TrimapIoU(**common, widths=[w]) for w in WIDTHS},
        **{f"interior_iou/{w}": TrimapIoU(**common, widths=[w], region="interior") for w in WIDTHS},
    }
    if thorough:
        metrics |= {
            **dict(zip([f"{name}_pooled" for name in names], contours(pooled=True))),
            **{f"boundary_f/{w}": BoundaryFMeasure(**contour, tolerance=w) for w in WIDTHS},
            "e_measure": EMeasure(**common),
            "surface_distance": SurfaceDistance(**common),
            "hausdorff95": SurfaceDistance(**common, measure="hausdorff"),
        }
    figures = {name: metric(labels, masks).item() for name, metric in metrics.items()}
    return figures | {"mcc_micro": (K * figures["accuracy"] - 1) / (K - 1)}


def logged(name):
    """``trimap_iou/3`` is logged as ``trimap_iou_3px``."""
    name, _, width = name.partition("/")
    return f"{name}_{width}px" if width else name


def validated(module, folder, dataloaders=None, callback=None, **kwargs):
    t = trainer(folder, callback or BoundaryMetrics(), **kwargs)
    return t.validate(module, dataloaders or loader(), verbose=False)[0]


def test_the_expected_scores_differ_and_are_not_perfect():
    figures = expected()
    distances = [figures.pop(name) for name in ("surface_distance", "hausdorff95")]
    assert figures.pop("boundary_f/1") == figures["boundary_f"]  # 0.8 % of the diagonal is 1 px
    assert all(0.1 < value < 0.995 for value in figures.values())
    assert all(1 < value < 40 for value in distances)
    assert len(set(figures.values())) == len(figures)


@pytest.mark.parametrize(
    ("module", "as_dict"),
    [
        (ReturnsNothing, False),
        (ReturnsLoss, True),
        (ReturnsDict, True),
        (ChangesBatch, True),
        (CallsForward, False),
        (HidesItself, False),
        (RunsOnWindows, False),
        (HasAnEdgeLoss, False),
    ],
)
def test_scores_are_right_in_any_style_of_module(module, as_dict, tmp_path):
    actual = validated(module(), tmp_path, loader(as_dict=as_dict))
    assert actual == pytest.approx({f"val/{logged(k)}": v for k, v in expected().items()}, abs=2e-6)


def test_captures_without_a_second_forward_pass(tmp_path):
    module = ReturnsNothing()
    validated(module, tmp_path)
    assert module.calls == len(loader())


def test_leaves_no_hook_on_the_module(tmp_path):
    module = ReturnsNothing()
    validated(module, tmp_path)
    assert not module._forward_hooks
    assert "forward" not in vars(module)


def test_two_callbacks_listen_to_one_forward_and_leave_it_as_it_was(tmp_path):
    module = ReturnsNothing()
    own = module.forward = lambda x: ReturnsNothing.forward(module, x)  # as torch.compile may
    callbacks = [BoundaryMetrics(), PredictionPanels(num_images=2), BoundaryMetrics(prefix="b_")]
    t = trainer(tmp_path, *callbacks)
    [logged] = t.validate(module, loader(), verbose=False)
    assert logged["val/iou"] == logged["b_iou"]
    assert module.calls == len(loader())
    assert vars(module)["forward"] is own
    assert not [name for name in vars(module) if "listen" in name]


def test_leaves_no_hook_on_the_module_after_an_error(tmp_path):
    module = Silent()
    with pytest.raises(InputError):
        validated(module, tmp_path)
    assert not module.net._forward_hooks
    assert "forward" not in vars(module)


def test_two_children_with_maps_of_the_masks_size_are_an_error(tmp_path):
    class Two(Base):
        def __init__(self):
            super().__init__()
            self.edge = torch.nn.Conv2d(K, K, 1)

        def validation_step(self, batch, batch_idx):
            self.edge(self.net(batch[0]))

    with pytest.raises(InputError, match=r"submodules net, edge returned maps.*CaptureForward"):
        validated(Two(), tmp_path)


def test_missing_predictions_are_found_by_the_sanity_check(tmp_path):
    class Untrained(Silent):
        def training_step(self, batch, batch_idx):
            raise AssertionError("the error comes before the first step")

    t = trainer(tmp_path, BoundaryMetrics(), num_sanity_val_steps=1)
    with pytest.raises(InputError, match="Found no predictions"):
        t.fit(Untrained(), loader(), loader())


def test_predictions_of_another_size_are_resized_by_option(tmp_path):
    with pytest.raises(InputError, match="set resize=True"):
        validated(Coarse(), tmp_path)

    def enlarged(trainer, pl_module, outputs, batch):
        size = batch[1].shape[-2:]
        logits = torch.nn.functional.interpolate(outputs["logits"], size, mode="bilinear")
        return logits, batch[1]

    by_hand = validated(Coarse(), tmp_path, callback=BoundaryMetrics(extractor=enlarged))
    assert validated(Coarse(), tmp_path, callback=BoundaryMetrics(resize=True)) == by_hand
    assert by_hand["val/iou"] != pytest.approx(expected()["iou"], abs=1e-3)


def test_names_can_have_another_prefix(tmp_path):
    actual = validated(ReturnsLoss(), tmp_path, callback=BoundaryMetrics(prefix="{stage}_"))
    assert actual["val_trimap_iou_3px"] == pytest.approx(expected()["trimap_iou/3"], abs=1e-6)
    assert not [name for name in actual if "/" in name]


@pytest.mark.parametrize("where", ["module", "hparams", "model_args"])
def test_the_ignore_index_is_that_of_the_module(where, tmp_path):
    class Own(ReturnsLoss):
        def loss(self, batch):
            images, masks = batch
            return super().loss((images, masks.where(masks != 7, 255)))

    module = Own()
    if where == "module":
        module.ignore_index = 7
    else:
        own = {"ignore_index": 7}
        module.save_hyperparameters({"model_args": own} if where == "model_args" else own)
    images, masks = zip(*Scenes(5))
    masks = [mask.where(mask != 255, 7) for mask in masks]
    actual = validated(module, tmp_path, DataLoader([*zip(images, masks)], batch_size=2))
    assert actual["val/boundary_iou"] == pytest.approx(expected()["boundary_iou"], abs=1e-6)


def test_captures_a_named_submodule(tmp_path):
    callback = BoundaryMetrics(extractor=CaptureForward("net"))
    actual = validated(HidesItself(), tmp_path, callback=callback)
    assert actual["val/boundary_iou"] == pytest.approx(expected()["boundary_iou"], abs=1e-6)


def test_reads_named_outputs(tmp_path):
    callback = BoundaryMetrics(extractor=FromOutputs("logits", "mask"))
    actual = validated(ReturnsDict(), tmp_path, loader(as_dict=True), callback)
    assert actual["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)


def test_accepts_a_plain_function_as_extractor(tmp_path):
    def extract(trainer, pl_module, outputs, batch):
        return batch[0], batch[1]

    actual = validated(HidesItself(), tmp_path, callback=BoundaryMetrics(extractor=extract))
    assert actual["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)


def test_without_predictions_the_error_lists_the_outputs_and_the_options(tmp_path):
    class Odd(Base):
        def validation_step(self, batch, batch_idx):
            batch["image"].sum()
            return {"my_loss": torch.zeros(())}

    with pytest.raises(InputError) as error:
        validated(Odd(), tmp_path, loader(as_dict=True))
    for part in ("no predictions", "Odd", "'my_loss'", "'image', 'mask'", "FromOutputs(pred_key"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        (FromOutputs("scores", "mask"), "no tensor under 'scores'.*'logits', 'mask'"),
        (CaptureForward("decoder"), "no submodule 'decoder'. Its children are: net"),
        (CaptureForward(), "captured no prediction map from ReturnsDict itself"),
        (CaptureForward("net", target_key="gt"), "no ground truth in the batch.*'image', 'mask'"),
    ],
)
def test_an_extractor_that_fails_says_why(extractor, message, tmp_path):
    callback = BoundaryMetrics(extractor=extractor)
    with pytest.raises(InputError, match=message):
        validated(ReturnsDict(), tmp_path, loader(as_dict=True), callback)


def test_refuses_to_choose_between_two_different_forward_passes(tmp_path):
    with pytest.raises(InputError, match="ran 2 times in one step, with different results"):
        validated(AugmentsItself(), tmp_path)


def test_an_unknown_label_in_the_ground_truth_is_named(tmp_path):
    with pytest.raises(InputError, match="label 255, but the classes are 0 to 2"):
        validated(ReturnsLoss(), tmp_path, callback=BoundaryMetrics(ignore_index=None))


def test_an_unknown_number_of_classes_is_an_error(tmp_path):
    module = ReturnsLoss()
    module.num_classes = None
    with pytest.raises(InputError, match=r"number of classes is unknown.*ReturnsLoss"):
        validated(module, tmp_path)


def test_the_sanity_check_is_not_counted_and_a_checkpoint_can_monitor_the_scores(tmp_path):
    class Logged(BoundaryMetrics):
        def on_validation_end(self, trainer, pl_module):
            history.append(
                trainer.callback_metrics["val/boundary_iou"].item()
                if not trainer.sanity_checking
                else dict(trainer.callback_metrics)
            )

    history = []
    checkpoint = ModelCheckpoint(tmp_path, monitor="val/boundary_iou", mode="max")
    t = trainer(
        tmp_path, Logged(), checkpoint, enable_checkpointing=True, max_epochs=2,
        num_sanity_val_steps=2,
    )  # fmt: skip
    t.fit(ReturnsNothing(), loader(), loader())
    assert history == [{}, *[pytest.approx(expected()["boundary_iou"], abs=1e-6)] * 2]
    assert checkpoint.best_model_score.item() == pytest.approx(history[-1])


def test_an_interrupted_validation_leaves_nothing_for_the_sanity_check(tmp_path):
    class Interrupted(ReturnsLoss):
        def validation_step(self, batch, batch_idx):
            if batch_idx == 1:
                raise RuntimeError("as by a signal")
            return self.loss(batch)

    callback = BoundaryMetrics()
    with pytest.raises(RuntimeError, match="as by a signal"):
        validated(Interrupted(), tmp_path, loader(), callback)
    fit = trainer(tmp_path, callback, num_sanity_val_steps=1)
    fit.fit(ReturnsLoss(), loader(), loader())
    assert len((tmp_path / "epochs_per_class.csv").read_text().splitlines()) == 1 + K


def test_a_report_that_could_not_be_written_is_not_written_by_the_next_stage(tmp_path):
    callback = BoundaryMetrics()
    (tmp_path / "test").write_text("no folder")
    with pytest.raises(OSError, match="test"):
        trainer(tmp_path, callback).test(ReturnsLoss(), loader(), verbose=False)
    (tmp_path / "test").unlink()
    validated(ReturnsLoss(), tmp_path, loader(), callback)
    assert [path.name for path in tmp_path.iterdir()] == ["val"]


def test_several_dataloaders_are_measured_separately(tmp_path):
    t = trainer(tmp_path, BoundaryMetrics())
    parts = t.test(ReturnsLoss(), [loader(), loader(3, seed=1)], verbose=False)
    actual = {k: v for part in parts for k, v in part.items()}
    first, second = expected(), expected(Scenes(3, seed=1))
    assert actual["test/iou/dataloader_idx_0"] == pytest.approx(first["iou"], abs=1e-6)
    assert actual["test/iou/dataloader_idx_1"] == pytest.approx(second["iou"], abs=1e-6)
    assert (tmp_path / "test" / "dataloader_idx_1" / "metrics.json").is_file()


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_files_are_written_to_the_loggers_folder(kind, tmp_path):
    logger = kind(str(tmp_path), name="", version="run")
    validated(ReturnsLoss(), tmp_path, logger=logger)
    assert (tmp_path / "run" / "val" / "metrics.json").is_file()


def test_files_hold_scalars_and_scores_per_class_and_image(tmp_path):
    callback = BoundaryMetrics(class_names=["ground", "house", "car"])
    data = loader(as_dict=True, names=True)
    trainer(tmp_path, callback).test(ReturnsDict(), data, verbose=False)
    record = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert record["scalars"] == pytest.approx(expected(), abs=2e-6)
    assert record["samples"] == 5
    assert record["settings"]["dilation_ratio"] == 0.02
    mean = sum(row["iou"] for row in record["per_class"].values()) / K
    assert list(record["per_class"]) == ["ground", "house", "car"]
    assert mean == pytest.approx(record["scalars"]["iou"])
    with (tmp_path / "test" / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"scene/{i}" for i in range(5)]
    one = expected([Scenes(5)[3]])
    assert float(rows[3]["boundary_iou"]) == pytest.approx(one["boundary_iou"], abs=1e-6)
    assert float(rows[3]["accuracy"]) == pytest.approx(one["accuracy"], abs=1e-6)


def test_a_class_that_never_occurs_is_left_out_of_means_and_null_in_files(tmp_path):
    class OneClassMore(ReturnsLoss):
        num_classes = K + 1

        def forward(self, x):
            return torch.cat([super().forward(x), torch.full_like(x[:, :1], -9.0)], dim=1)

    actual = validated(OneClassMore(), tmp_path)
    assert actual["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)
    record = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert record["per_class"]["class 3"]["iou"] is None


def row_of(lines, start, number=0):
    return [line for line in lines if line.replace("│", " ").split()[:1] == [start]][number]


def test_prints_a_row_per_class_the_mean_and_a_row_per_width(tmp_path, capsys):
    callback = BoundaryMetrics(class_names=["ground", "house", "car"])
    validated(ReturnsLoss(), tmp_path, callback=callback)
    lines = capsys.readouterr().out.splitlines()
    figures = expected()
    assert f"accuracy {figures['accuracy']:.4f}, Matthews correlation {figures['mcc']:.4f}" in str(
        lines
    )
    regions = ("iou", "f1", "precision", "recall", "e_measure")
    boundaries = ("boundary_iou", "boundary_f", "boundary_precision", "boundary_recall")
    boundaries += ("surface_distance", "hausdorff95")
    for number, names in enumerate((regions, boundaries)):
        assert all(row_of(lines, name, number) for name in ("ground", "house", "car"))
        cells = row_of(lines, "mean", number).replace("│", " ").split()[1:]
        assert [float(cell) for cell in cells] == pytest.approx(
            [figures[name] for name in names], abs=6e-5
        )
    cells = row_of(lines, "10").replace("│", " ").split()[2:]
    by_width = [figures[f"{name}/10"] for name in ("trimap_iou", "interior_iou", "boundary_f")]
    assert [float(cell) for cell in cells] == pytest.approx(by_width, abs=6e-5)
    assert max(map(len, lines)) <= 100


def matrix(path):
    with path.open() as file:
        rows = list(csv.reader(file))
    return rows[0], [[int(cell) for cell in row[-K:]] for row in rows[1:]], [r[:-K] for r in rows]


def test_confusion_matrices_are_written_in_total_and_per_image(tmp_path):
    data = loader(as_dict=True, names=True)
    callback = BoundaryMetrics(class_names=["ground", "house", "car"])
    trainer(tmp_path, callback).test(ReturnsDict(), data, verbose=False)
    scores, masks = zip(*Scenes(5))
    count = MulticlassConfusionMatrix(K, ignore_index=255)
    each = [count(s.argmax(0)[None], m[None]).tolist() for s, m in zip(scores, masks)]
    header, summed, _ = matrix(tmp_path / "test" / "confusion.csv")
    assert header == ["truth", "ground", "house", "car"]
    assert summed == count.compute().tolist()
    _, rows, names = matrix(tmp_path / "test" / "confusion_per_image.csv")
    assert rows == [row for image in each for row in image if any(row)]
    assert names[1] == ["scene/0", "ground"]


def test_causes_of_wrong_pixels_are_tabulated_and_written(tmp_path, capsys):
    names = ["ground", "house", "car"]
    callback = BoundaryMetrics(class_names=names, trimap_widths=(2, 5))
    trainer(tmp_path, callback).test(ReturnsDict(), loader(as_dict=True), verbose=False)
    scores, masks = zip(*Scenes(5))
    labels, masks = torch.stack(scores).argmax(1), torch.stack(masks)
    expected = boundary_errors(labels, masks, K, widths=(2, 5), ignore_index=255)
    with (tmp_path / "test" / "boundary_errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["width"], r["class"], r["as"]) for r in rows] == [
        (width, name, kind) for width in "25" for name in names for kind in ("truth", "predicted")
    ]
    written = [[int(row[cause]) for cause in CAUSES] for row in rows]
    assert written == expected.flatten(end_dim=2).tolist()
    counts = expected[0, :, 0].sum(dim=0)
    shares = [f"{100 * share:.1f}" for share in (counts / counts.sum()).tolist()]
    (line,) = re.findall(r"2 px .*", capsys.readouterr().out.partition("Causes of")[2])
    assert re.findall(r"\d+\.\d", line) == shares


def test_charts_are_written_and_logged_to_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    validated(ReturnsLoss(), tmp_path, logger=logger)
    for name in ("curves", "confusion", "boundary_errors"):
        pixels = cv2.imread(str(tmp_path / "val" / f"{name}.png"))
        assert min(pixels.shape[:2]) > 300
        assert pixels.std() > 20
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    assert sorted(events.Tags()["images"]) == [
        "val/boundary_errors", "val/confusion", "val/curves",
    ]  # fmt: skip


def test_a_class_excluded_from_means_still_counts_in_the_accuracy(tmp_path):
    callback = BoundaryMetrics(
        class_names=["ground", "house", "clutter"], excluded_from_mean=["clutter"]
    )
    actual = validated(ReturnsLoss(), tmp_path, callback=callback)
    assert actual["val/accuracy"] == pytest.approx(expected()["accuracy"], abs=1e-6)
    record = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert record["settings"]["excluded_from_mean"] == ["clutter"]
    for name in ("f1", "boundary_iou", "trimap_iou/3", "surface_distance"):
        values = [record["per_class"][k][name] for k in ("ground", "house")]
        assert actual[f"val/{logged(name)}"] == pytest.approx(sum(values) / 2, abs=1e-6)
    assert record["per_class"]["clutter"]["f1"] > 0


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        (["cluter"], r"names 'cluter', which is not a class. The classes are: class 0, class 1"),
        (["class 0", "class 1", "class 2"], "names all classes"),
    ],
)
def test_invalid_excluded_classes_are_refused(excluded, message, tmp_path):
    callback = BoundaryMetrics(excluded_from_mean=excluded)
    with pytest.raises(InputError, match=message):
        validated(ReturnsLoss(), tmp_path, callback=callback)


def test_only_cheap_metrics_are_measured_while_fitting(tmp_path):
    t = trainer(tmp_path, BoundaryMetrics())
    t.fit(ReturnsLoss(), loader(), loader())
    actual = {k: v.item() for k, v in t.callback_metrics.items() if k.startswith("val/")}
    cheap = expected(thorough=False)
    assert actual == pytest.approx({f"val/{logged(k)}": v for k, v in cheap.items()}, abs=2e-6)


def test_fit_writes_no_files(tmp_path):
    trainer(tmp_path, BoundaryMetrics()).fit(ReturnsLoss(), loader(), loader())
    assert not (tmp_path / "val").exists()


def test_half_precision_scores_and_label_maps_give_the_same(tmp_path):
    class Labels(ReturnsDict):
        def validation_step(self, batch, batch_idx):
            outputs = super().validation_step(batch, batch_idx)
            return {"preds": outputs["logits"].argmax(1), "mask": outputs["mask"].unsqueeze(1)}

    actual = validated(Labels(), tmp_path, loader(as_dict=True))
    assert actual["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)
    actual = validated(ReturnsNothing(), tmp_path, precision="bf16-true")
    # Rounded scores may tie where exact ones do not.
    assert actual["val/iou"] == pytest.approx(expected()["iou"], abs=0.01)


@pytest.mark.parametrize("logits", [True, False])
def test_a_single_channel_is_a_binary_prediction(logits, tmp_path):
    class Binary(Base):
        num_classes = 1

        def validation_step(self, batch, batch_idx):
            scores, mask = batch
            margin = scores[:, 1:].amax(1, keepdim=True) - scores[:, :1]
            binary = torch.where(mask == 255, mask, (mask > 0).long())
            return {"pred": margin if logits else margin.sigmoid(), "target": binary}

    actual = validated(Binary(), tmp_path)
    scores, masks = (torch.stack(part) for part in zip(*Scenes(5)))
    right = (scores.argmax(1) > 0) == (masks > 0)
    assert actual["val/accuracy"] == pytest.approx(right[masks != 255].float().mean().item())


def test_images_of_different_sizes_are_measured(tmp_path):
    sizes = [(24, 40), (31, 18)]
    data = DataLoader([(torch.randn(K, *s), torch.randint(0, K, s)) for s in sizes], batch_size=1)
    actual = validated(ReturnsLoss(), tmp_path, data)
    assert not math.isnan(actual["val/boundary_iou"])


def test_predictions_of_another_size_than_the_ground_truth_are_refused(tmp_path):
    class Small(ReturnsNothing):
        def validation_step(self, batch, batch_idx):
            self(batch[0][..., ::2, ::2])

    with pytest.raises(InputError, match=r"shape \(2, 24, 40\).*\(2, 12, 20\)"):
        validated(Small(), tmp_path)


def test_additional_metrics_are_logged_tabulated_and_stored(tmp_path, capsys):
    further = {
        "e": EMeasure(K, ignore_index=255, average=None),
        "right": MulticlassAccuracy(K, ignore_index=255, average="micro"),
    }
    callback = BoundaryMetrics(surface_distances=False, metrics=further)
    data = loader(as_dict=True, names=True)
    logged = validated(ReturnsDict(), tmp_path, data, callback)
    assert logged["val/e"] == pytest.approx(logged["val/e_measure"], abs=1e-6)
    assert logged["val/right"] == pytest.approx(logged["val/accuracy"], abs=1e-6)
    assert "Additional metrics" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "val" / "per_class.csv").open()))
    assert all(row["e"] == row["e_measure"] for row in rows)
    images = list(csv.DictReader((tmp_path / "val" / "per_image.csv").open()))
    assert all(float(row["right"]) == pytest.approx(float(row["accuracy"])) for row in images)
    stored = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert stored["settings"]["metrics"] == {"e": "EMeasure", "right": "MulticlassAccuracy"}


def test_an_additional_metric_that_the_module_uses_too_counts_only_the_validation(tmp_path):
    class Measures(ReturnsLoss):
        def __init__(self):
            super().__init__()
            self.accuracy = MulticlassAccuracy(K, ignore_index=255, average="micro")

        def training_step(self, batch, batch_idx):
            self.accuracy.update(torch.zeros_like(batch[1]), batch[1])
            return self.loss(batch)

    module = Measures()
    t = trainer(tmp_path, BoundaryMetrics(metrics={"right": module.accuracy}))
    t.fit(module, loader(), loader())
    scores = t.callback_metrics
    assert scores["val/right"].item() == pytest.approx(scores["val/accuracy"].item(), abs=1e-6)
    assert module.accuracy.update_count == 1


def test_an_additional_metric_cannot_reuse_a_name(tmp_path):
    callback = BoundaryMetrics(metrics={"boundary_iou": BoundaryIoU(K)})
    with pytest.raises(InputError, match="names 'boundary_iou', which is measured already"):
        validated(ReturnsDict(), tmp_path, loader(as_dict=True), callback)
