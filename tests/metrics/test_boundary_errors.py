"""Causes of boundary errors: drawn cases for each, and a brute-force reading of the definition."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from lightning_seg.metrics import BoundaryErrors
from lightning_seg.metrics.functional import boundary_errors
from lightning_seg.metrics.functional.boundary_errors import CAUSES

VOID = 255


def scene(*rectangles, size=(40, 60)):
    """Draw rectangles (class, top, left, bottom, right) on class 0."""
    labels = torch.zeros(size, dtype=torch.long)
    for label, top, left, bottom, right in rectangles:
        labels[top:bottom, left:right] = label
    return labels


def causes(pred, truth, side=0, label=None, **settings):
    """Return the number of wrong pixels of each cause that occurs, in the widest band."""
    counts = boundary_errors(pred[None], truth[None], 3, ignore_index=VOID, **settings)[-1]
    found = counts[:, side].sum(0) if label is None else counts[label, side]
    return {name: n for name, n in zip(CAUSES, found.tolist()) if n}


HOUSE = (1, 10, 10, 30, 30)


@pytest.mark.parametrize(
    ("pred", "truth", "cause"),
    [
        ([(1, 10, 10, 30, 32)], [HOUSE], "swollen"),
        ([(1, 10, 10, 30, 27)], [HOUSE], "shrunk"),
        ([HOUSE, (1, 18, 30, 19, 34)], [HOUSE], "ragged"),  # a thorn, one pixel wide
        ([HOUSE, (0, 18, 28, 19, 30)], [HOUSE], "ragged"),  # a notch
        ([(1, 10, 10, 20, 40)], [(1, 10, 10, 20, 23), (1, 10, 27, 20, 40)], "merged"),
        ([(1, 10, 10, 20, 23), (1, 10, 27, 20, 40)], [(1, 10, 10, 20, 40)], "split"),
        ([], [(1, 10, 10, 16, 16)], "missed"),
        ([HOUSE, (2, 14, 30, 20, 36)], [HOUSE], "invented"),
        ([(2, 10, 10, 30, 29)], [HOUSE], "wrong_class"),
    ],
)
def test_a_drawn_error_has_its_cause(pred, truth, cause):
    found = causes(scene(*pred), scene(*truth))
    assert max(found, key=found.get) == cause
    wrong = (scene(*pred) != scene(*truth)).sum().item()
    if cause != "wrong_class":  # there, the missing column is background
        assert found == {cause: wrong}


def test_a_prediction_of_no_class_is_another_cause():
    pred = scene(HOUSE)
    pred[12, 12] = VOID
    assert causes(pred, scene(HOUSE)) == {"other": 1}


def test_the_object_of_a_class_is_that_class():
    pred, truth = scene((1, 10, 10, 30, 32)), scene(HOUSE)
    assert causes(pred, truth, label=0) == {"swollen": 40}  # in all classes: the house is smaller
    assert causes(pred, truth, side=1, label=1) == {"swollen": 40}
    metric = BoundaryErrors(3, ignore_index=VOID, per_class=True)
    metric.update(pred[None], truth[None])
    shares = dict(zip(CAUSES, metric.compute()[-1, 0].tolist()))
    assert shares["shrunk"] == 1  # the background's own view


def test_pixels_far_from_boundaries_do_not_count():
    truth = scene((1, 0, 0, 40, 4))
    pred = truth.clone()
    pred[20, 40] = 1
    assert causes(pred, truth) == {}
    pred[20, 10] = 1
    assert causes(pred, truth) == {"invented": 1}
    assert causes(pred, truth, widths=[6]) == {}


def test_void_is_no_error_and_belongs_to_no_object():
    truth = scene(HOUSE)
    truth[:, 30:34] = VOID
    assert causes(scene((1, 10, 10, 30, 34)), truth) == {}


def test_narrow_bands_are_parts_of_wide_ones():
    counts = boundary_errors(scene((1, 8, 8, 32, 32))[None], scene(HOUSE)[None], 3, widths=(5, 1))
    assert (counts[0] >= counts[1]).all()
    assert counts[0].sum() > counts[1].sum() > 0


def brute_force(pred, truth, num_classes, widths, ragged_size):
    """The definition, pixel by pixel."""
    height, width = truth.shape
    valid = truth < num_classes
    pred = np.where(valid, pred, num_classes)
    reach = max(widths)

    def window(y, x, r):
        return [
            (v, u)
            for v in range(max(y - r, 0), min(y + r + 1, height))
            for u in range(max(x - r, 0), min(x + r + 1, width))
        ]

    def objects(labels, count=num_classes):
        found = {}
        for k in range(count):
            numbers, last = ndimage.label(labels == k, np.ones((3, 3)))
            for n in range(1, last + 1):
                pixels = frozenset(zip(*(places.tolist() for places in np.nonzero(numbers == n))))
                found |= dict.fromkeys(pixels, pixels)
        return found

    true_objects, pred_objects = objects(truth), objects(pred)
    pairs = np.where(valid & (pred != truth), truth * (num_classes + 1) + pred, -1)
    pieces = objects(pairs, (num_classes + 1) ** 2)
    right = {(y, x) for y in range(height) for x in range(width) if valid[y, x]}
    right = {(y, x) for y, x in right if pred[y, x] == truth[y, x]}

    def cause(y, x):
        p = pred[y, x]
        mine, theirs = true_objects[y, x], pred_objects.get((y, x), frozenset())
        near = window(y, x, reach)
        if p < num_classes:
            if len(mine & theirs) >= 0.5 * len(mine | theirs):
                return "wrong_class"
            if len(mine & right) < 0.25 * len(mine):
                return "missed"
            if len(theirs & right) < 0.25 * len(theirs):
                return "invented"
            joined = {true_objects[q] for q in near if q in theirs and q in right}
            joined = {o for o in joined if len(o & theirs & right) >= 0.1 * len(o)}
            if len(joined) > 1:
                return "merged"
        broken = {pred_objects[q] for q in near if q in mine and q in right}
        broken = {o for o in broken if len(o & mine & right) >= 0.1 * len(mine)}
        if len(broken) > 1:
            return "split"
        if p < num_classes:
            piece = pieces[y, x]
            if all(max(side) - min(side) < ragged_size for side in zip(*piece)):
                return "ragged"
            if any(truth[q] == p for q in window(y, x, 2 * reach)):
                return "shrunk" if len(mine) < len(theirs) else "swollen"
        return "other"

    counts = np.zeros((len(widths), num_classes, 2, len(CAUSES)), int)
    for y in range(height):
        for x in range(width):
            if not valid[y, x] or pred[y, x] == truth[y, x]:
                continue
            name = cause(y, x)
            for number, w in enumerate(widths):
                if any(valid[q] and truth[q] != truth[y, x] for q in window(y, x, w)):
                    counts[number, truth[y, x], 0, CAUSES.index(name)] += 1
                    if pred[y, x] < num_classes:
                        seen = "swollen" if name == "shrunk" else name
                        counts[number, pred[y, x], 1, CAUSES.index(seen)] += 1
    return counts


@pytest.mark.parametrize("seed", range(12))
def test_random_maps_agree_with_the_definition(seed):
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.8, 2.5)
    scores = [ndimage.gaussian_filter(rng.normal(size=(26, 30)), sigma) for _ in range(3)]
    shifts = [np.roll(s, rng.integers(-2, 3), axis=1) for s in scores]
    noise = [s + rng.normal(size=s.shape) * rng.uniform(0, 0.12) for s in shifts]
    truth, pred = np.argmax(scores, axis=0), np.argmax(noise, axis=0)
    truth[rng.random(truth.shape) < 0.03] = VOID
    pred[rng.random(pred.shape) < 0.01] = VOID
    widths = (1, 2, 4)
    actual = boundary_errors(
        torch.from_numpy(pred)[None], torch.from_numpy(truth)[None], 3, widths, 2, VOID
    )
    limited = [np.where(labels == VOID, 3, labels) for labels in (pred, truth)]
    expected = brute_force(*limited, 3, widths, 2)
    named = {name: expected[-1, :, 0, k].sum() for k, name in enumerate(CAUSES)}
    assert actual.tolist() == expected.tolist(), named


def test_shares_sum_to_one():
    metric = BoundaryErrors(3, widths=(1, 3), ignore_index=VOID)
    metric.update(scene((1, 8, 9, 31, 30), (2, 1, 1, 4, 4))[None], scene(HOUSE)[None])
    assert metric.compute().sum(-1).tolist() == pytest.approx([1, 1])
    assert BoundaryErrors(3).compute().isnan().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"widths": ()}, "widths"), ({"widths": (0,)}, "widths"), ({"ragged_size": 0}, "ragged_size")],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        BoundaryErrors(3, **settings)
