import csv
import json
import math

import pytest
import torch
from foreign_modules import (
    AugmentsItself,
    Base,
    ChangesBatch,
    HidesItself,
    K,
    ReturnsDict,
    ReturnsLoss,
    ReturnsNothing,
    Scenes,
    loader,
    trainer,
)
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

from lightning_seg.callbacks import BoundaryMetrics, CaptureForward, FromOutputs
from lightning_seg.errors import InputError
from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, TrimapIoU

pytestmark = pytest.mark.filterwarnings("ignore")


def expected(scenes=None):
    """The figures by a plain loop over the scenes, all at once."""
    scores, masks = zip(*(scenes or Scenes(5)))
    labels, masks = torch.stack(scores).argmax(1), torch.stack(masks)
    common = {"num_classes": K, "ignore_index": 255}
    trimaps = TrimapIoU(**common, widths=(1, 2, 3, 5, 10))(labels, masks)
    return {
        "boundary_iou": BoundaryIoU(**common)(labels, masks).item(),
        "boundary_f": BoundaryFMeasure(**common, void="removed")(labels, masks).item(),
        "iou": MulticlassJaccardIndex(**common)(labels, masks).item(),
        "f1": MulticlassF1Score(**common)(labels, masks).item(),
        "accuracy": (labels == masks)[masks != 255].float().mean().item(),
        **{f"trimap_iou/{w}": v.item() for w, v in zip((1, 2, 3, 5, 10), trimaps)},
    }


def validated(module, folder, dataloaders=None, callback=None, **kwargs):
    t = trainer(folder, callback or BoundaryMetrics(), **kwargs)
    return t.validate(module, dataloaders or loader(), verbose=False)[0]


def test_expected_figures_are_neither_perfect_nor_all_the_same():
    figures = expected()
    assert all(0.1 < value < 0.99 for value in figures.values())
    assert len(set(figures.values())) == len(figures)


@pytest.mark.parametrize(
    ("module", "as_dict"),
    [(ReturnsNothing, False), (ReturnsLoss, True), (ReturnsDict, True), (ChangesBatch, True)],
)
def test_figures_are_right_in_any_style_of_module(module, as_dict, tmp_path):
    found = validated(module(), tmp_path, loader(as_dict=as_dict))
    assert found == pytest.approx({f"val/{k}": v for k, v in expected().items()}, abs=1e-6)


def test_captures_without_a_second_forward_pass(tmp_path):
    module = ReturnsNothing()
    validated(module, tmp_path)
    assert module.calls == len(loader())


def test_leaves_no_hook_on_the_module(tmp_path):
    module = ReturnsNothing()
    validated(module, tmp_path)
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_leaves_no_hook_on_the_module_after_an_error(tmp_path):
    module = HidesItself()
    with pytest.raises(InputError):
        validated(module, tmp_path)
    assert not module._forward_hooks


def test_captures_a_named_submodule(tmp_path):
    callback = BoundaryMetrics(extractor=CaptureForward("net"))
    found = validated(HidesItself(), tmp_path, callback=callback)
    assert found["val/boundary_iou"] == pytest.approx(expected()["boundary_iou"], abs=1e-6)


def test_takes_named_outputs(tmp_path):
    callback = BoundaryMetrics(extractor=FromOutputs("logits", "mask"))
    found = validated(ReturnsDict(), tmp_path, loader(as_dict=True), callback)
    assert found["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)


def test_takes_a_plain_function_as_extractor(tmp_path):
    def extract(trainer, pl_module, outputs, batch):
        return batch[0], batch[1]

    found = validated(HidesItself(), tmp_path, callback=BoundaryMetrics(extractor=extract))
    assert found["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)


def test_names_what_it_found_and_the_ways_out_where_nothing_fits(tmp_path):
    class Odd(Base):
        def validation_step(self, batch, batch_idx):
            self.net(batch["image"])
            return {"my_loss": torch.zeros(())}

    with pytest.raises(InputError) as error:
        validated(Odd(), tmp_path, loader(as_dict=True))
    for part in ("no predictions", "Odd", "'my_loss'", "'image', 'mask'", "FromOutputs(pred_key"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        (FromOutputs("scores", "mask"), "no tensor under 'scores'.*'logits', 'mask'"),
        (CaptureForward("decoder"), "no submodule 'decoder'; its children are: net"),
        (CaptureForward(), "listened to ReturnsDict itself and got no prediction"),
        (CaptureForward("net", target_key="gt"), "no truth in the batch.*'image', 'mask'"),
    ],
)
def test_an_extractor_that_does_not_fit_says_why(extractor, message, tmp_path):
    callback = BoundaryMetrics(extractor=extractor)
    with pytest.raises(InputError, match=message):
        validated(ReturnsDict(), tmp_path, loader(as_dict=True), callback)


def test_refuses_to_choose_between_two_different_forward_passes(tmp_path):
    with pytest.raises(InputError, match="ran 2 times in one step, with different results"):
        validated(AugmentsItself(), tmp_path)


def test_says_that_the_truth_holds_an_unknown_label(tmp_path):
    with pytest.raises(InputError, match="label 255, but the classes are 0 to 2"):
        validated(ReturnsLoss(), tmp_path, callback=BoundaryMetrics(ignore_index=None))


def test_says_that_the_number_of_classes_is_not_known(tmp_path):
    module = ReturnsLoss()
    module.num_classes = None
    with pytest.raises(InputError, match=r"number of classes is not known.*ReturnsLoss"):
        validated(module, tmp_path)


def test_sanity_check_counts_for_nothing_and_a_checkpoint_can_follow_the_figures(tmp_path):
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


def test_several_dataloaders_are_measured_apart(tmp_path):
    t = trainer(tmp_path, BoundaryMetrics())
    parts = t.test(ReturnsLoss(), [loader(), loader(3, seed=1)], verbose=False)
    found = {k: v for part in parts for k, v in part.items()}
    first, second = expected(), expected(Scenes(3, seed=1))
    assert found["test/iou/dataloader_idx_0"] == pytest.approx(first["iou"], abs=1e-6)
    assert found["test/iou/dataloader_idx_1"] == pytest.approx(second["iou"], abs=1e-6)
    assert (tmp_path / "test" / "dataloader_idx_1" / "metrics.json").is_file()


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_files_lie_in_the_loggers_folder(kind, tmp_path):
    logger = kind(str(tmp_path), name="", version="run")
    validated(ReturnsLoss(), tmp_path, logger=logger)
    assert (tmp_path / "run" / "val" / "metrics.json").is_file()


def test_files_hold_the_scalars_the_classes_and_every_image(tmp_path):
    callback = BoundaryMetrics(class_names=["ground", "house", "car"])
    data = loader(as_dict=True, names=True)
    trainer(tmp_path, callback).test(ReturnsDict(), data, verbose=False)
    record = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert record["scalars"] == pytest.approx(expected(), abs=1e-6)
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

    found = validated(OneClassMore(), tmp_path)
    assert found["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)
    record = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert record["per_class"]["class 3"]["iou"] is None


def test_prints_one_row_a_class_the_mean_and_the_trimap_widths(tmp_path, capsys):
    callback = BoundaryMetrics(class_names=["ground", "house", "car"])
    validated(ReturnsLoss(), tmp_path, callback=callback)
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "mean" in line)
    for key in ("iou", "f1", "boundary_iou", "boundary_f"):
        assert f"{expected()[key]:.4f}" in row
    assert sum(name in line for line in lines for name in ("ground", "house", "car")) == 3
    row = next(line for line in lines if "trimap, 10 px" in line)
    assert f"{expected()['trimap_iou/10']:.4f}" in row


def test_fit_writes_no_files(tmp_path):
    trainer(tmp_path, BoundaryMetrics()).fit(ReturnsLoss(), loader(), loader())
    assert not (tmp_path / "val").exists()


def test_half_precision_and_label_maps_give_the_same(tmp_path):
    class Labels(ReturnsDict):
        def validation_step(self, batch, batch_idx):
            outputs = super().validation_step(batch, batch_idx)
            return {"preds": outputs["logits"].argmax(1), "mask": outputs["mask"].unsqueeze(1)}

    found = validated(Labels(), tmp_path, loader(as_dict=True))
    assert found["val/iou"] == pytest.approx(expected()["iou"], abs=1e-6)
    found = validated(ReturnsNothing(), tmp_path, precision="bf16-true")
    # Rounded scores may tie where exact ones do not.
    assert found["val/iou"] == pytest.approx(expected()["iou"], abs=0.01)


@pytest.mark.parametrize("logits", [True, False])
def test_a_single_channel_is_a_binary_prediction(logits, tmp_path):
    class Binary(Base):
        num_classes = 1

        def validation_step(self, batch, batch_idx):
            scores, mask = batch
            margin = scores[:, 1:].amax(1, keepdim=True) - scores[:, :1]
            binary = torch.where(mask == 255, mask, (mask > 0).long())
            return {"pred": margin if logits else margin.sigmoid(), "target": binary}

    found = validated(Binary(), tmp_path)
    scores, masks = (torch.stack(part) for part in zip(*Scenes(5)))
    right = (scores.argmax(1) > 0) == (masks > 0)
    assert found["val/accuracy"] == pytest.approx(right[masks != 255].float().mean().item())


def test_images_of_different_sizes_are_measured(tmp_path):
    sizes = [(24, 40), (31, 18)]
    data = DataLoader([(torch.randn(K, *s), torch.randint(0, K, s)) for s in sizes], batch_size=1)
    found = validated(ReturnsLoss(), tmp_path, data)
    assert not math.isnan(found["val/boundary_iou"])


def test_predictions_of_another_size_than_the_truth_are_refused(tmp_path):
    class Small(ReturnsNothing):
        def validation_step(self, batch, batch_idx):
            self(batch[0][..., ::2, ::2])

    with pytest.raises(InputError, match=r"shape \(2, 24, 40\).*\(2, 12, 20\)"):
        validated(Small(), tmp_path)
