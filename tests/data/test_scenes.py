"""Synthetic scenes: reproducible, with every class, and not separable by colour alone."""

from functools import cache

import numpy as np
import pytest

from lightning_seg.data.scenes import render_scene
from lightning_seg.data.scenes.canvas import GROUND_SAMPLING, Canvas, Frame
from lightning_seg.data.scenes.objects import BUILDING, CAR, TREE, car, flat_building

CLASSES = 6
LEARNT_FROM, SEEN_NEVER = range(10), range(100, 106)


@cache
def scene(seed):
    return render_scene(seed)


def mean_iou(prediction, labels):
    counts = np.bincount(labels * CLASSES + prediction, minlength=CLASSES**2)
    table = counts.reshape(CLASSES, CLASSES)
    hits = np.diag(table)
    return float(np.mean(hits / (table.sum(0) + table.sum(1) - hits)))


def pixels(seeds):
    images, labels = zip(*(scene(seed) for seed in seeds), strict=True)
    return np.concatenate(images).reshape(-1, 3), np.concatenate(labels).ravel().astype(np.int64)


def test_image_and_labels_have_the_asked_size_and_type():
    image, labels = render_scene(3, size=96)
    assert (image.shape, image.dtype) == ((96, 96, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((96, 96), np.uint8)


def test_the_same_seed_draws_the_same_scene():
    np.testing.assert_array_equal(render_scene(5, 128)[0], render_scene(5, 128)[0])
    np.testing.assert_array_equal(render_scene(5, 128)[1], render_scene(5, 128)[1])


def test_drawing_leaves_numpys_global_random_state_alone():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    render_scene(5, 64)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_different_seeds_draw_different_scenes():
    labels = [scene(seed)[1] for seed in range(4)]
    for i in range(4):
        for j in range(i):
            assert (labels[i] != labels[j]).mean() > 0.2


def test_every_class_has_a_sensible_share():
    shares = np.array([np.bincount(scene(s)[1].ravel(), minlength=CLASSES) for s in LEARNT_FROM])
    mean = shares.sum(axis=0) / shares.sum()
    lowest = np.array([0.25, 0.12, 0.12, 0.08, 0.01, 0.003])
    highest = np.array([0.50, 0.35, 0.40, 0.30, 0.06, 0.05])
    assert ((lowest < mean) & (mean < highest)).all(), mean


def test_nearly_every_scene_shows_every_class():
    complete = [len(np.unique(scene(seed)[1])) == CLASSES for seed in LEARNT_FROM]
    assert np.mean(complete) >= 0.9


def test_a_classifier_of_single_pixel_colours_fails():
    # Per bin of 8 x 8 x 8 grey levels, the class that is most frequent in other scenes.
    image, labels = pixels(LEARNT_FROM)
    bins = (image >> 3).astype(np.int64) @ (32 * 32, 32, 1)
    votes = np.bincount(bins * CLASSES + labels, minlength=32**3 * CLASSES)
    answer = votes.reshape(-1, CLASSES).argmax(axis=1)
    seen_in_training = mean_iou(answer[bins], labels)
    image, labels = pixels(SEEN_NEVER)
    unseen = mean_iou(answer[(image >> 3).astype(np.int64) @ (32 * 32, 32, 1)], labels)
    assert seen_in_training < 0.5
    assert unseen < 0.45


def test_colour_carries_some_information():
    # The other side: a scene is no riddle, plants are mostly green.
    image, labels = pixels(SEEN_NEVER)
    greener = image[:, 1].astype(int) - image[:, 0]
    assert greener[labels == TREE].mean() > greener[labels == BUILDING].mean() + 8


@pytest.fixture
def canvas():
    return Canvas(np.random.default_rng(0), 256)


def middle(canvas, angle=0.0):
    return Frame(canvas.extent / 2, canvas.extent / 2, angle)


def test_labels_match_the_outline_that_was_drawn(canvas):
    length, width = 10.0, 6.0
    flat_building(canvas, middle(canvas, 0.4), length, width, height=4.0)
    area = (canvas.labels == BUILDING).sum() * GROUND_SAMPLING**2
    assert area == pytest.approx(length * width, rel=0.01)


def test_higher_objects_hide_lower_ones_in_any_painting_order(canvas):
    flat_building(canvas, middle(canvas), 10.0, 6.0, height=4.0)
    car(canvas, middle(canvas))
    assert not (canvas.labels == CAR).any()


def test_shadows_lie_away_from_the_sun_and_keep_the_labels(canvas):
    ground = canvas.area(np.array([(0, 0), (canvas.extent, canvas.extent)]))
    canvas.paint(ground, (0.5, 0.5, 0.5), 0)
    flat_building(canvas, middle(canvas), 5.0, 5.0, height=4.0)
    labels = canvas.labels.copy()
    image = canvas.photograph().mean(axis=2)
    towards = (128 + 45 * canvas.sun[:2]).astype(int)
    away = (128 - 45 * canvas.sun[:2]).astype(int)
    sunny, shaded = (image[y - 2 : y + 3, x - 2 : x + 3].mean() for x, y in (towards, away))
    assert shaded < 0.75 * sunny
    np.testing.assert_array_equal(canvas.labels, labels)


@pytest.mark.parametrize(("seed", "size", "said"), [(-1, 64, "seed is -1"), (0, 31, "size is 31")])
def test_impossible_arguments_are_named(seed, size, said):
    with pytest.raises(ValueError, match=said):
        render_scene(seed, size)
