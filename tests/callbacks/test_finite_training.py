import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_seg.callbacks import FiniteTraining
from lightning_seg.errors import InputError


class Linear(LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.lr = lr

    def training_step(self, batch, batch_idx):
        loss = (self.layer(batch["image"]) ** 2).mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def fit(tmp_path, values, callback, lr=0.1, others=(), **options):
    torch.manual_seed(0)
    samples = [{"image": torch.tensor([v]), "name": f"image{i}"} for i, v in enumerate(values)]
    module = Linear(lr)
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[*others, *([] if callback is None else [callback])],
        default_root_dir=tmp_path,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"enable_checkpointing": False} | options,
    )
    trainer.fit(module, DataLoader(samples, batch_size=1))
    return module, trainer


def test_a_nan_image_stops_training_and_is_named(tmp_path):
    with pytest.raises(InputError, match=r"step 2 of epoch 0 \(batch: image2; train/loss is not"):
        fit(tmp_path, [1.0, 2.0, float("nan"), 1.0], FiniteTraining())


def test_a_nan_in_the_last_batch_stops_training_too(tmp_path):
    with pytest.raises(InputError, match=r"step 1 of epoch 0 \(batch: image1"):
        fit(tmp_path, [1.0, float("nan")], FiniteTraining())


def test_no_checkpoint_holds_weights_that_are_not_finite(tmp_path):
    every_step = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    with pytest.raises(InputError, match="step 2 of epoch 0"):
        fit(
            tmp_path,
            [1.0, 2.0, float("nan"), 1.0],
            FiniteTraining(),
            enable_checkpointing=True,
            others=[every_step],
        )
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["step=1.ckpt", "step=2.ckpt"]


def test_a_learning_rate_that_diverges_stops_training(tmp_path):
    with pytest.raises(InputError, match="lower the learning rate"):
        fit(tmp_path, [1.0] * 8, FiniteTraining(), lr=1e30)


def test_steps_that_are_not_finite_can_be_skipped_and_are_counted(tmp_path):
    callback = FiniteTraining("skip")
    module, trainer = fit(tmp_path, [1.0, float("nan"), 2.0, float("inf"), 1.0], callback)
    kept, _ = fit(tmp_path, [1.0, 2.0, 1.0], None)
    assert callback.skipped == 2
    assert trainer.callback_metrics["train/skipped_steps"] == 2
    assert torch.equal(module.layer.weight, kept.layer.weight)


def test_skipping_ends_after_too_many_steps_in_a_row(tmp_path):
    with pytest.raises(InputError, match="and so were the 2 before"):
        fit(tmp_path, [1.0, *[float("nan")] * 5], FiniteTraining("skip", patience=3))


def test_finite_training_is_not_changed(tmp_path):
    values = [1.0, -2.0, 3.0, 1e15]
    guarded, _ = fit(tmp_path, values, FiniteTraining())
    plain, _ = fit(tmp_path, values, None)
    assert torch.equal(guarded.layer.weight, plain.layer.weight)


@pytest.mark.parametrize(
    ("options", "message"), [({"action": "go"}, "action"), ({"patience": 0}, "patience")]
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        FiniteTraining(**options)
