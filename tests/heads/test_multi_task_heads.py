"""Multi-task heads and the pyramid-pooling head."""

from functools import partial

import pytest
import torch

from lightning_seg.data import SyntheticDataModule
from lightning_seg.errors import InputError
from lightning_seg.heads import ConditionedMultiTaskHead, MultiTaskHead, PyramidPoolingHead
from lightning_seg.targets import HSV, ClassBoundary, PatchDistance

BOTH = pytest.mark.parametrize("head", [MultiTaskHead, ConditionedMultiTaskHead])
MAPS = ("boundary", "distance", "color")


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return {"decoder": torch.randn(2, 16, 24, 20, generator=generator)}


def made(head, *args, **kwargs):
    torch.manual_seed(0)
    return head(*args, **kwargs)


def test_the_pyramid_pooling_head_gives_scores(features):
    assert PyramidPoolingHead(16, 5)(features)["logits"].shape == (2, 5, 24, 20)


@BOTH
def test_the_three_regressed_maps_are_in_range(head, features):
    predictions = head(16, 5)({"decoder": 1e3 * features["decoder"]})
    assert {name: maps.shape[1] for name, maps in predictions.items()} == {
        "logits": 5, "boundary": 5, "distance": 5, "color": 3,
    }  # fmt: skip
    assert set(head.predictions) == set(predictions)
    for name in MAPS:
        assert predictions[name].min() >= 0
        assert predictions[name].max() <= 1


def reached(head, features, name):
    """Return the modules of the head that a loss on one prediction trains."""
    head.zero_grad(set_to_none=True)
    head(features)[name].square().sum().backward()
    return {part for part, m in head.named_children() for p in m.parameters() if p.grad is not None}


def test_parallel_tasks_share_only_the_features(features):
    head = made(MultiTaskHead, 16, 3)
    assert reached(head, features, "distance") == {"distance"}
    assert reached(head, features, "color") == {"color"}
    assert reached(head, features, "boundary") == {"pooling", "boundary"}
    assert reached(head, features, "logits") == {"pooling", "classifier"}


def test_conditioned_tasks_also_train_earlier_tasks(features):
    head = made(ConditionedMultiTaskHead, 16, 3)
    assert reached(head, features, "distance") == {"distance"}
    assert reached(head, features, "color") == {"color"}
    assert reached(head, features, "boundary") == {"pooling", "boundary", "distance"}
    assert reached(head, features, "logits") == {"pooling", "classifier", "boundary", "distance"}


def test_the_conditioned_classifier_sees_boundaries_before_distances(features):
    head, seen = made(ConditionedMultiTaskHead, 16, 3, channels=8), []
    head.classifier.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    predictions = head(features)
    _, boundary, distance = seen[0].split([8, 3, 3], dim=1)
    assert torch.equal(boundary, predictions["boundary"])
    assert torch.equal(distance, predictions["distance"])


def test_distances_of_the_softmax_sum_to_one(features):
    head = made(MultiTaskHead, 16, 3, distance_activation="softmax")
    torch.testing.assert_close(head(features)["distance"].sum(dim=1), torch.ones(2, 24, 20))


def test_distances_and_colours_depend_on_nearby_pixels_only():
    head = made(ConditionedMultiTaskHead, 4, 3).eval()
    x = torch.zeros(1, 4, 40, 40)
    other = x.clone()
    other[..., :4, :4] = 9.0
    one, two = head({"decoder": x}), head({"decoder": other})
    for name in ("distance", "color"):
        assert torch.equal(one[name][..., 20:, 20:], two[name][..., 20:, 20:])
    assert not torch.equal(one["logits"][..., 20:, 20:], two["logits"][..., 20:, 20:])


@BOTH
def test_each_map_has_its_target(head):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 20, 30, generator=generator)
    mask = torch.randint(0, 4, (2, 20, 30), generator=generator)
    mask[mask == 3] = 255
    made_for = head(8, 3, boundary_width=2, void="background")
    expected = {
        "boundary": ClassBoundary(width=2)(mask, 3),
        "distance": PatchDistance(void="background")(mask, 3),
        "color": HSV()(image),
    }
    targets = made_for.targets(image, mask, set(MAPS))
    assert set(targets) == set(expected)
    assert all(torch.equal(targets[name], maps) for name, maps in expected.items())
    assert {name: target.key for name, target in made_for.target_of.items()} == {
        "boundary": ClassBoundary(width=2).key,
        "distance": PatchDistance(void="background").key,
        "color": "hsv",
    }


@pytest.mark.parametrize("wanted", [set(), {"boundary"}, {"distance"}, {"color"}])
def test_only_wanted_targets_are_computed(wanted):
    image, mask = torch.rand(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)
    assert set(MultiTaskHead(8, 2).targets(image, mask, wanted)) == wanted


@BOTH
def test_a_batch_of_one_image_trains_every_parameter(head, features):
    module = made(head, 16, 3)
    predictions = module({"decoder": features["decoder"][:1]})
    sum(maps.square().mean() for maps in predictions.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="distance_activation is 'tanh'"):
        MultiTaskHead(8, 2, distance_activation="tanh")


@pytest.mark.parametrize("head", [PyramidPoolingHead, MultiTaskHead, ConditionedMultiTaskHead])
def test_too_few_channels_are_refused(head):
    with pytest.raises(ValueError, match="give at least 4"):
        head(8, 2, channels=2)


def mean_start(head, features, name):
    """Return the mean over ten initialisations."""
    means = []
    for seed in range(10):
        torch.manual_seed(seed)
        means.append(head()(features)[name].mean().item())
    return sum(means) / len(means)


@BOTH
def test_boundaries_and_distances_start_near_the_means_of_their_targets(head, features):
    """Without a prior they start at .5 and need hundreds of steps."""
    actual = [mean_start(partial(head, 16, 6), features, name) for name in ("boundary", "distance")]
    assert actual == pytest.approx([0.02, 0.05], rel=0.3)


@BOTH
@pytest.mark.parametrize("name", ["boundary", "distance"])
def test_the_initial_mean_can_be_given(head, name, features):
    given = partial(head, 16, 6, **{f"{name}_prior": 0.2})
    assert mean_start(given, features, name) == pytest.approx(0.2, rel=0.15)
    papers = partial(head, 16, 6, **{f"{name}_prior": None})
    assert mean_start(papers, features, name) == pytest.approx(0.5, rel=0.15)


def test_softmax_distances_start_uniform(features):
    given = partial(MultiTaskHead, 16, 5, distance_activation="softmax", distance_prior=0.01)
    assert mean_start(given, features, "distance") == pytest.approx(1 / 5)


def test_the_default_start_is_the_mean_target_of_real_scenes(tmp_path):
    """Within a factor of three, which a sigmoid corrects quickly."""
    data = SyntheticDataModule(tmp_path, 2, 1, 1, samples_per_epoch=8, num_workers=0)
    data.prepare_data()
    data.setup("fit")
    mask = next(iter(data.train_dataloader()))["mask"]
    for target, prior in ((ClassBoundary(width=1), 0.02), (PatchDistance(), 0.05)):
        mean = target(mask, data.num_classes).mean().item()
        assert prior / 3 < mean < prior * 3


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1, float("nan")])
@pytest.mark.parametrize("name", ["boundary_prior", "distance_prior"])
def test_an_initial_mean_outside_the_range_of_a_sigmoid_is_refused(name, prior):
    with pytest.raises(InputError, match=rf"{name} is {prior}, but must be in \(0, 1\)"):
        MultiTaskHead(16, 5, **{name: prior})
