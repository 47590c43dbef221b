from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import (
    CrossEntropyLoss,
    DiceLoss,
    MapL1Loss,
    MultiLabelLoss,
    TanimotoLoss,
    WeightedLoss,
    cross_entropy,
    map_l1,
)
from lightning_seg.networks import Unet
from lightning_seg.targets import SignedDistance
from lightning_seg.tasks import SegmentationTask

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def test_losses_of_several_labels_per_pixel_are_refused(make_task):
    with pytest.raises(InputError, match=r"losses\.dice is a MultiLabelLoss, but each pixel"):
        make_task({"dice": WeightedLoss(MultiLabelLoss(DiceLoss()))}, ClassificationHead)


def test_a_step_trains_every_parameter(make_task, loader):
    task = make_task()
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    Trainer(max_steps=3, **QUIET).fit(task, loader(batch_size=2))
    assert [name for name, p in task.named_parameters() if torch.equal(p, before[name])] == []


def test_the_objective_is_the_weighted_sum_of_its_terms(make_task, samples):
    task = make_task().eval()
    image, mask = samples[1]["image"][None], samples[1]["mask"][None]
    batch = {"image": image, "mask": mask}
    predictions, targets = task(image), task.targets(batch)
    total, terms = task.objective(predictions, targets, mask)
    expected = cross_entropy(predictions["logits"], mask) + 2 * map_l1(
        predictions["distance"], targets["distance"], mask
    )
    assert total.item() == pytest.approx(expected.item())
    assert set(terms) == {"cross_entropy", "distance"}


def test_an_unsupervised_distance_is_the_baseline_of_equal_size(make_task, samples):
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    baseline, method = make_task(losses), make_task()
    assert sum(p.numel() for p in baseline.parameters()) == sum(
        p.numel() for p in method.parameters()
    )
    assert (
        baseline.targets({"image": samples[0]["image"][None], "mask": samples[0]["mask"][None]})
        == {}
    )


def test_two_losses_of_the_same_class_both_count(make_task, samples):
    twice = {"one": WeightedLoss(CrossEntropyLoss()), "two": WeightedLoss(CrossEntropyLoss(), 0.5)}
    task = make_task(twice, head=ClassificationHead).eval()
    image, mask = samples[0]["image"][None], samples[0]["mask"][None]
    predictions = task(image)
    total, _ = task.objective(predictions, {}, mask)
    assert total.item() == pytest.approx(1.5 * cross_entropy(predictions["logits"], mask).item())


def test_a_target_in_the_batch_is_used(make_task, samples):
    task = make_task()
    cached = torch.rand(1, 3, 40, 64)
    batch = {"image": samples[0]["image"][None], "mask": samples[0]["mask"][None]}
    key = task.head.target.key
    assert task.targets(batch | {"targets": {key: cached}})["distance"] is cached
    other = SignedDistance(clip=3.0).key
    assert task.targets(batch | {"targets": {other: cached}})["distance"] is not cached


@pytest.mark.parametrize("batch_size", [2, 5])
def test_the_validation_loss_is_the_mean_over_images(make_task, loader, batch_size):
    task = make_task()
    one = Trainer(**QUIET).validate(task, loader(batch_size=1), verbose=False)[0]["val/loss"]
    many = Trainer(**QUIET).validate(task, loader(batch_size=batch_size), verbose=False)
    assert many[0]["val/loss"] == pytest.approx(one, abs=2e-7)


def tiny_network(in_channels):
    return Unet(in_channels, encoder="test_resnet", decoder_channels=(16, 8))


def test_a_loss_on_a_nonexistent_prediction_is_refused(make_task):
    losses = {"edges": WeightedLoss(MapL1Loss(), prediction="boundary")}
    error = r"losses.edges uses the prediction 'boundary', but ClassificationHead predicts: logits"
    with pytest.raises(InputError, match=error):
        make_task(losses, head=ClassificationHead)


@pytest.mark.parametrize("losses", [{}, {"cross_entropy": None}])
def test_an_objective_without_a_loss_is_refused(losses):
    with pytest.raises(InputError, match="losses is empty"):
        SegmentationTask(3, 3, tiny_network, ClassificationHead, losses)


@pytest.mark.parametrize("name", ["loss", "a.b", "items", "2px"])
def test_term_names_that_cannot_be_logged_are_refused(make_task, name):
    with pytest.raises(InputError, match=f"a term named '{name}'; choose another name"):
        make_task({name: WeightedLoss(CrossEntropyLoss())})


def test_null_removes_a_term(make_task):
    task = make_task({"a": WeightedLoss(CrossEntropyLoss()), "b": None})
    assert list(task.losses) == ["a"]


class Agreement(nn.Module):
    """A loss on two predictions."""

    def forward(self, logits, distance, mask):
        return (logits - distance)[:, :, mask[0] != 255].square().mean()


def test_a_loss_on_several_predictions_gets_them_and_the_mask(make_task, samples):
    term = WeightedLoss(Agreement(), prediction=["logits", "distance"])
    task = make_task({"agreement": term}).eval()
    image, mask = samples[1]["image"][None], samples[1]["mask"][None]
    predictions, targets = task(image), task.targets({"image": image, "mask": mask})
    assert targets == {}
    total, _ = task.objective(predictions, targets, mask)
    assert total == Agreement()(predictions["logits"], predictions["distance"], mask)


def test_lists_of_losses_in_older_checkpoints_keep_their_tensor_names(make_task):
    older = {
        "logits": [WeightedLoss(CrossEntropyLoss()), WeightedLoss(CrossEntropyLoss(), 0.5)],
        "distance": [WeightedLoss(MapL1Loss(), 2.0)],
    }
    terms = make_task(older).terms
    assert {name: (term.prediction, term.weight) for name, term in terms.items()} == {
        "logits_CrossEntropyLoss": ("logits", 1.0),
        "logits_CrossEntropyLoss_": ("logits", 0.5),
        "distance_MapL1Loss": ("distance", 2.0),
    }


def test_sliding_windows_give_probabilities_that_sum_to_one(make_task, samples):
    task = make_task(inference=SlidingWindow((16, 16), overlap=0.5)).eval()
    with torch.no_grad():
        predictions = task.infer(samples[0]["image"][None])
    total = predictions["logits"].exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert predictions["distance"].shape == (1, 3, 40, 64)


def test_one_window_over_the_whole_image_gives_the_same(make_task, samples):
    image = samples[0]["image"][None]
    task = make_task(inference=SlidingWindow((40, 64))).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            task.infer(image)["logits"].softmax(1), task(image)["logits"].softmax(1)
        )


def test_predictions_are_label_maps(make_task, loader):
    task = make_task()
    outputs = Trainer(**QUIET).predict(task, loader(batch_size=2))
    assert [o["labels"].dtype for o in outputs] == [torch.uint8] * 3
    assert outputs[-1]["labels"].shape == (1, 40, 64)
    assert outputs[-1]["name"] == ["4"]


def test_padding_is_cropped_from_predictions_of_images_that_keep_their_size(make_task, samples):
    task = make_task().eval()
    batch = {"image": torch.stack([s["image"] for s in samples[:2]]), "name": ["a", "b"]}
    content = [[2, 3, 30, 50], [0, 0, 40, 64]]
    with torch.no_grad():
        whole = task.predict_step(batch, 0)["labels"]
        cropped = task.predict_step(batch | {"content": torch.tensor(content)}, 0)["labels"]
    assert torch.equal(cropped[0], whole[0, 2:32, 3:53])
    assert torch.equal(cropped[1], whole[1])


def test_a_checkpoint_loads_without_other_files(make_task, loader, samples, tmp_path):
    task = make_task()
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(task, loader(batch_size=2))
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    loaded = SegmentationTask.load_from_checkpoint(tmp_path / "task.ckpt")
    image = samples[0]["image"][None]
    assert torch.equal(loaded.eval()(image)["logits"], task.eval()(image)["logits"])


@pytest.mark.parametrize("label", [-1, 3, 254])
def test_a_label_that_is_no_class_is_refused_in_the_first_epoch(make_task, samples, label):
    samples[3]["mask"][7, 5] = label
    with pytest.raises(InputError, match=rf"the mask of 3 has the label {label}, expected 0 to 2"):
        Trainer(max_epochs=1, **QUIET).fit(make_task(), DataLoader(samples, batch_size=2))


def test_training_is_reproducible_with_a_seed(make_task, loader):
    def train():
        seed_everything(1, verbose=False)
        task = make_task()
        Trainer(max_steps=4, deterministic=True, **QUIET).fit(
            task, loader(batch_size=2, shuffle=True)
        )
        return torch.cat([p.detach().flatten() for p in task.parameters()])

    assert torch.equal(train(), train())


def test_it_overfits_a_batch(make_task, loader, samples):
    from lightning_seg.tasks import Optimization

    seed_everything(0, verbose=False)
    optimizer = partial(torch.optim.AdamW, lr=5e-3)
    task = make_task(optimization=Optimization(optimizer=optimizer))
    Trainer(max_steps=80, **QUIET).fit(task, loader(batch_size=5))
    image = torch.stack([s["image"] for s in samples])
    mask = torch.stack([s["mask"] for s in samples])
    with torch.no_grad():
        labels = task(image)["logits"].argmax(1)  # in training mode: its own batch statistics
    assert (labels == mask)[mask != 255].float().mean() > 0.95


class DistanceWeightedLoss(nn.Module):
    """A loss on logits and a map, which is computed if not given."""

    target = SignedDistance(clip=5.0)

    def forward(self, logits, mask, distance=None):
        distance = self.target(mask, logits.shape[1]) if distance is None else distance
        return (logits.softmax(1) * distance).mean()


def test_a_loss_on_logits_gets_the_map_in_the_batch(make_task, samples):
    task = make_task({"weighted": WeightedLoss(DistanceWeightedLoss())}).eval()
    image, mask = samples[1]["image"][None], samples[1]["mask"][None]
    batch, predictions = {"image": image, "mask": mask}, task(image)
    computed, _ = task.objective(predictions, task.targets(batch), mask)
    assert computed == DistanceWeightedLoss()(predictions["logits"], mask)
    cached = {"targets": {DistanceWeightedLoss.target.key: torch.ones(1, 3, 40, 64)}}
    given, _ = task.objective(predictions, task.targets(batch | cached), mask)
    assert given.item() == pytest.approx(1 / 3)


def test_maps_in_the_batch_are_used_in_training_and_evaluation(make_task, samples):
    task = make_task({"weighted": WeightedLoss(DistanceWeightedLoss())})
    cached = {DistanceWeightedLoss.target.key: torch.ones(3, 40, 64)}
    loader = DataLoader([sample | {"targets": cached} for sample in samples], batch_size=2)
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(task, loader, loader)
    figures = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert figures == pytest.approx({"train/loss": 1 / 3, "val/loss": 1 / 3}, rel=1e-5)


class TwoClassifiers(ClassificationHead):
    """A head with an auxiliary classifier."""

    predictions = ("logits", "auxiliary")
    scores = ("logits", "auxiliary")

    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes)
        self.second = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, features):
        return super().forward(features) | {"auxiliary": self.second(features["decoder"])}


def two_cross_entropies():
    return {n: WeightedLoss(CrossEntropyLoss(), prediction=n) for n in TwoClassifiers.scores}


def test_losses_on_all_class_scores_get_logits_and_mask(make_task, samples):
    task = make_task(two_cross_entropies(), head=TwoClassifiers).eval()
    image, mask = samples[1]["image"][None], samples[1]["mask"][None]
    predictions = task(image)
    total, _ = task.objective(predictions, {}, mask)
    expected = sum(cross_entropy(predictions[name], mask) for name in TwoClassifiers.scores)
    assert total.item() == pytest.approx(expected.item())
    wrong = {"second": WeightedLoss(MapL1Loss(), prediction="auxiliary")}
    with pytest.raises(InputError, match=r"losses.second is MapL1Loss of .*\(logits, mask\)"):
        make_task(wrong, TwoClassifiers)


def test_sliding_windows_average_the_probabilities_of_all_class_scores(make_task, samples):
    image = samples[0]["image"][None]
    settings = {"head": TwoClassifiers, "inference": SlidingWindow((16, 16), overlap=0.5)}
    task = make_task(two_cross_entropies(), **settings).eval()
    with torch.no_grad():
        predictions = task.infer(image)
    for name in TwoClassifiers.scores:
        total = predictions[name].exp().sum(dim=1)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_auxiliary_class_scores_are_not_returned_by_predict(make_task, loader):
    task = make_task(two_cross_entropies(), head=TwoClassifiers)
    (output, *_) = Trainer(**QUIET).predict(task, loader(batch_size=5))
    assert output["predictions"] == {}


def test_predictions_have_the_size_of_the_original_images(make_task):
    task = make_task().eval()
    image = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        predictions = task(image)
        sizes = torch.tensor([[40, 64], [40, 64]])
        result = task.predict_step({"image": image, "name": ["a", "b"], "size": sizes}, 0)
    scores = F.interpolate(predictions["logits"], (40, 64), mode="bilinear")
    assert torch.equal(result["labels"], scores.argmax(dim=1).byte())
    assert result["predictions"]["distance"].shape == (2, 3, 40, 64)


def test_predictions_of_different_sizes_are_lists(make_task):
    task = make_task().eval()
    image = torch.rand(2, 3, 32, 48)
    sizes = torch.tensor([[40, 64], [32, 48]])
    with torch.no_grad():
        result = task.predict_step({"image": image, "name": ["a", "b"], "size": sizes}, 0)
        expected = task(image)["logits"][1].argmax(dim=0)
    assert [tuple(labels.shape) for labels in result["labels"]] == [(40, 64), (32, 48)]
    assert torch.equal(result["labels"][1], expected.byte())
    assert [tuple(maps.shape) for maps in result["predictions"]["distance"]] == [
        (3, 40, 64),
        (3, 32, 48),
    ]


def test_statistics_of_losses_are_logged(make_task, loader):
    losses = {"tanimoto": WeightedLoss(TanimotoLoss())}
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(make_task(losses), loader(batch_size=2))
    assert trainer.callback_metrics["train/tanimoto_weight_ratio"] >= 1
