import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.losses import SemedaLoss, WeightedLoss
from lightning_seg.networks import EdgeNetwork
from lightning_seg.targets import semantic_edges
from lightning_seg.tasks import EdgeDetectionTask

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
VOID = 255


class Masks(LightningDataModule):
    """Label maps of blocks of four classes, a tenth of them void, without images."""

    num_classes = 4
    class_names = ("ground", "car", "tree", "roof")

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        blocks = torch.randint(0, 4, (40, 6, 6), generator=generator)
        blocks[torch.rand(blocks.shape, generator=generator) < 0.1] = VOID
        masks = blocks.repeat_interleave(12, 1).repeat_interleave(12, 2)
        corners = torch.randint(0, 12, (40, 2), generator=generator).tolist()
        crops = [mask[y : y + 48, x : x + 48] for mask, (y, x) in zip(masks, corners, strict=True)]
        self.samples = [{"mask": crop} for crop in crops]

    def train_dataloader(self):
        return DataLoader(self.samples[8:], batch_size=4, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.samples[:8], batch_size=2)

    test_dataloader = predict_dataloader = val_dataloader


@pytest.fixture(scope="module")
def trained():
    seed_everything(0, verbose=False)
    task = EdgeDetectionTask(num_classes=4, learning_rate=0.01)
    trainer = Trainer(max_epochs=12, check_val_every_n_epoch=12, num_sanity_val_steps=0, **QUIET)
    trainer.fit(task, Masks())
    return task, trainer


def test_learns_to_find_edges_from_masks_alone(trained):
    _, trainer = trained
    assert trainer.callback_metrics["val/edge_f1"] > 0.99
    assert trainer.callback_metrics["train/edge_f1"] > 0.99
    assert trainer.callback_metrics["val/loss"] < 0.1


def test_the_score_covers_all_valid_pixels(trained):
    task, _ = trained
    actual = Trainer(**QUIET).test(task, Masks(), verbose=False)[0]["test/edge_f1"]
    masks = torch.stack([sample["mask"] for sample in Masks().samples[:8]])
    with torch.no_grad():
        predicted = (task(masks).argmax(dim=1) == 1) & (masks != VOID)
    edges = semantic_edges(masks)
    hits = (predicted & edges).sum().item()
    assert actual == pytest.approx(2 * hits / (predicted.sum() + edges.sum()).item())


def test_void_is_no_edge_and_is_not_supervised(trained):
    task, _ = trained
    mask = torch.ones(1, 24, 24, dtype=torch.long)
    mask[:, :, 12:] = VOID
    assert torch.equal(task.edges(mask), torch.where(mask == VOID, VOID, 0))
    assert not task(mask).argmax(dim=1)[mask == 1].any()


def test_the_validation_loss_does_not_depend_on_the_batch_size(trained):
    task, _ = trained
    data = Masks()
    figures = [
        Trainer(**QUIET).validate(task, DataLoader(data.samples[:8], batch_size=n), verbose=False)
        for n in (1, 3)
    ]
    assert figures[0][0]["val/loss"] == pytest.approx(figures[1][0]["val/loss"], rel=1e-5)


def test_a_checkpoint_loads_as_a_semeda_loss_with_class_names(trained, tmp_path):
    task, trainer = trained
    trainer.save_checkpoint(tmp_path / "edges.ckpt")
    network = EdgeNetwork.from_checkpoint(tmp_path / "edges.ckpt")
    assert network.class_names == Masks.class_names
    maps = torch.rand(1, 4, 9, 9)
    assert torch.equal(network(maps), task.network(maps))
    loss = SemedaLoss(tmp_path / "edges.ckpt")
    mask = torch.randint(0, 4, (1, 9, 9))
    assert loss(maps, mask) == SemedaLoss(network)(maps, mask)
    again = EdgeDetectionTask.load_from_checkpoint(tmp_path / "edges.ckpt")
    assert again.network.class_names == Masks.class_names
    assert torch.equal(again.network(maps), network(maps))


def test_class_names_of_another_number_are_not_taken():
    data = Masks()
    data.class_names = ("ground", "car")
    task = EdgeDetectionTask(4)
    Trainer(max_steps=1, limit_val_batches=0, **QUIET).fit(task, data)
    assert task.network.class_names is None


def test_predict_is_refused(trained):
    task, _ = trained
    with pytest.raises(InputError, match="cannot predict"):
        Trainer(**QUIET).predict(task, Masks())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (EdgeNetwork(5), "trained for 5 classes, but there are 3 here"),
        (EdgeNetwork(3, ("a", "b", "c")), "classes a, b, c, but the data have a, c, b"),
    ],
)
def test_an_edge_network_for_other_classes_is_refused_before_training(make_task, network, message):
    data = Masks()
    data.class_names = ("a", "c", "b")
    losses = {"semeda": WeightedLoss(SemedaLoss(network))}
    with pytest.raises(InputError, match=message):
        Trainer(max_steps=1, **QUIET).fit(make_task(losses, head=ClassificationHead), data)


def test_a_checkpoint_of_another_task_is_refused(make_task, loader, tmp_path):
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(make_task(), loader(batch_size=2))
    path = tmp_path / "task.ckpt"
    trainer.save_checkpoint(path)
    data = Masks()
    with pytest.raises(InputError, match="not one of an edge network"):
        Trainer(max_steps=1, **QUIET).fit(
            EdgeDetectionTask(4), data, ckpt_path=path, weights_only=False
        )
