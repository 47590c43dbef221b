"""An ensemble of tasks is evaluated and predicts as one."""

import pytest
import torch
from lightning.pytorch import Trainer
from tiny_task import make_task
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.tasks import Ensemble

WINDOWS = SlidingWindow((32, 32), overlap=0.5)
CROSS_ENTROPY = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}


def task(seed, **kwargs):
    torch.manual_seed(seed)
    return make_task(**kwargs).eval()


@pytest.fixture
def image():
    return torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "inference", [None, WINDOWS, TestTimeAugmentation(flip=True, window=WINDOWS)]
)
@torch.inference_mode()
def test_one_member_gives_exactly_its_own_results(image, inference):
    alone = task(0, inference=inference)
    ensemble = Ensemble([alone])
    assert torch.equal(ensemble.infer(image)["logits"], alone.infer(image)["logits"])
    window = ensemble.infer_window(image)["logits"]
    assert torch.equal(window, alone.infer_window(image)["logits"])
    batch = {"image": image, "name": ["a", "b"]}
    assert torch.equal(
        ensemble.predict_step(batch, 0)["labels"], alone.predict_step(batch, 0)["labels"]
    )


@torch.inference_mode()
def test_equal_members_give_exactly_the_probabilities_of_one(image):
    alone = task(0, inference=WINDOWS)
    ensemble = Ensemble([alone, alone, alone])
    assert torch.equal(ensemble.infer(image)["logits"], alone.infer(image)["logits"])
    both = ensemble.infer_window(image, disagreement=True)
    assert both["disagreement"].shape == (2, 1, 48, 64)
    assert both["disagreement"].max() < 1e-6


@torch.inference_mode()
def test_probabilities_of_different_networks_and_heads_are_averaged(image):
    members = [task(0), task(1, head=ClassificationHead, losses=CROSS_ENTROPY), task(2)]
    expected = torch.stack([m(image)["logits"].softmax(1) for m in members]).mean(0)
    found = Ensemble(members).infer(image)["logits"].softmax(1)
    torch.testing.assert_close(found, expected)
    in_windows = Ensemble(members, inference=WINDOWS).infer(image)["logits"].softmax(1)
    alone = [task(0), task(1, head=ClassificationHead, losses=CROSS_ENTROPY), task(2)]
    for one in alone:
        one.inference = WINDOWS
    expected = torch.stack([one.infer(image)["logits"].softmax(1) for one in alone]).mean(0)
    torch.testing.assert_close(in_windows, expected)


@torch.inference_mode()
def test_disagreement_is_the_mutual_information_of_class_and_member(image):
    class Sure(torch.nn.Module):
        """A member that is certain of one class."""

        def __init__(self, k):
            super().__init__()
            self.k = k

        def probabilities(self, image):
            certain = torch.zeros(len(image), 3, *image.shape[-2:])
            certain[:, self.k] = 1
            return {"logits": certain}

    ensemble = Ensemble([task(0), task(1), task(2)])
    ensemble.members = torch.nn.ModuleList(map(Sure, range(3)))
    both = ensemble.infer_window(image, disagreement=True)
    torch.testing.assert_close(both["disagreement"], torch.ones(2, 1, 48, 64))
    ensemble.members = torch.nn.ModuleList(map(Sure, (0, 1)))
    half = ensemble.infer_window(image, disagreement=True)["disagreement"]
    torch.testing.assert_close(half, torch.full_like(half, 0.6309297))  # log 2 / log 3


def test_trainer_tests_an_ensemble(tmp_path, image):
    mask = torch.randint(0, 3, (48, 64))
    samples = [{"image": one, "mask": mask, "name": f"{i}"} for i, one in enumerate(image)]
    scores = []
    for module in (task(0), Ensemble([task(0)]), Ensemble([task(0), task(1)])):
        trainer = Trainer(
            accelerator="cpu", logger=False, callbacks=[BoundaryMetrics(3)],
            default_root_dir=tmp_path, enable_progress_bar=False,
        )  # fmt: skip
        [result] = trainer.test(module, DataLoader(samples), verbose=False)
        result.pop("test/loss", None)
        scores.append(repr(result))  # NaN equals itself there
    assert scores[0] == scores[1] != scores[2]


def test_members_with_other_classes_or_channels_are_refused():
    first, second = task(0), task(1)
    first.class_names, second.class_names = ("a", "b", "c"), ("a", "c", "b")
    with pytest.raises(InputError, match=r"^member 2 and member 1 .*names \(in another order\)"):
        Ensemble([first, second])
    second.class_names = ("a", "b", "d")
    with pytest.raises(InputError, match=r"y.ckpt and x.ckpt differ in class names: a, b, d and a"):
        Ensemble([first, second], checkpoints=["x.ckpt", "y.ckpt"])
    second.class_names, second.num_classes = None, 4
    with pytest.raises(InputError, match="differ in classes: 4 and 3"):
        Ensemble([first, second])
    second.num_classes, second.in_channels = 3, 4
    with pytest.raises(InputError, match="differ in image channels: 4 and 3"):
        Ensemble([first, second])
    with pytest.raises(InputError, match="no members"):
        Ensemble([])


def test_names_are_compared_with_those_of_the_first_member_that_has_any():
    members = [task(seed) for seed in range(3)]
    for member, names in zip(members, ((), ("x", "y", "z", "u"), ("y", "x", "z", "u"))):
        member.class_names = names
    with pytest.raises(InputError, match="member 3 and member 2 differ in class names"):
        Ensemble(members)
