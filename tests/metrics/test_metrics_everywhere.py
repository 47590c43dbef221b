"""Tests of every boundary metric: inputs, invariances and the torchmetrics interface."""

import copy
import pickle

import pytest
import torch
from torchmetrics import MetricCollection

from lightning_seg.metrics import (
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    SurfaceDistance,
    TrimapIoU,
)
from lightning_seg.metrics.functional import (
    boundary_f_counts,
    boundary_iou_counts,
    trimap_iou_counts,
)
from lightning_seg.metrics.functional.windows import histograms, histograms_by_row

VOID = 255
K = 4
METRICS = {
    "boundary_iou": lambda: BoundaryIoU(K, width=2, ignore_index=VOID, average=None),
    "boundary_iou_removed": lambda: BoundaryIoU(K, ignore_index=VOID, void="removed"),
    "trimap_iou": lambda: TrimapIoU(K, ignore_index=VOID, average=None),
    "trimap_iou_per_class": lambda: TrimapIoU(K, band="per_class", ignore_index=VOID),
    "trimap_iou_both": lambda: TrimapIoU(K, (5, 1), "both", ignore_index=VOID),
    "boundary_f": lambda: BoundaryFMeasure(K, 1, ignore_index=VOID, average=None),
    "boundary_f_all": lambda: BoundaryFMeasure(K, 1, ignore_index=VOID, average=None, score="all"),
    "boundary_recall": lambda: BoundaryFMeasure(
        K, 1, ignore_index=VOID, pooled=True, score="recall"
    ),
    "boundary_f_removed": lambda: BoundaryFMeasure(K, 2, ignore_index=VOID, void="removed"),
    "boundary_f_pooled": lambda: BoundaryFMeasure(K, ignore_index=VOID, pooled=True),
    "e_measure": lambda: EMeasure(K, ignore_index=VOID, average=None),
    "surface_distance": lambda: SurfaceDistance(K, ignore_index=VOID),
    "hausdorff": lambda: SurfaceDistance(K, "hausdorff", ignore_index=VOID, average=None),
    "surface_distances": lambda: SurfaceDistance(K, "both", ignore_index=VOID),
}
COUNTS = [
    lambda p, t: boundary_iou_counts(p, t, K, ignore_index=VOID),
    lambda p, t: boundary_iou_counts(p, t, K, ignore_index=VOID, void="removed"),
    lambda p, t: boundary_iou_counts(p, t, K, ignore_index=2, void="zeroed", border=False),
    lambda p, t: trimap_iou_counts(p, t, K, ignore_index=VOID),
    lambda p, t: trimap_iou_counts(p, t, K, band="per_class", ignore_index=VOID),
    lambda p, t: trimap_iou_counts(p, t, K, band="void", ignore_index=VOID),
    lambda p, t: boundary_f_counts(p, t, K, ignore_index=VOID),
    lambda p, t: boundary_f_counts(p, t, K, ignore_index=VOID, void="removed"),
]


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS[request.param]()


def blobs(count, seed=0, height=24, width=37):
    """Return label maps of blobs with some void, and predictions similar to them."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand((count, K, height // 6 + 1, width // 6 + 1), generator=rng)
    truth = torch.nn.functional.interpolate(noise, (height, width), mode="bilinear").argmax(1)
    preds = truth.roll((1, 2), dims=(1, 2))
    preds[:, 5:9] = torch.randint(0, K, preds[:, 5:9].shape, generator=rng)
    truth[:, 10:14, 5:20] = VOID
    return preds, truth


def value(metric, *batches):
    metric = copy.deepcopy(metric)
    for preds, target in batches:
        metric.update(preds, target)
    return metric.compute()


def fresh(metric):
    copied = metric.clone()
    copied.reset()
    return copied


def same(a, b):
    return a.dtype == b.dtype and torch.equal(a.nan_to_num(nan=-1), b.nan_to_num(nan=-1))


def test_order_and_batching_do_not_change_the_value(metric):
    preds, target = blobs(7)
    whole = value(metric, (preds, target))
    order = torch.tensor([5, 2, 6, 0, 3, 1, 4])
    for sizes in ([1] * 7, [3, 4], [2, 2, 3]):
        parts = [(preds[i], target[i]) for i in order.split(sizes)]
        assert same(value(metric, *parts), whole)
    assert 0 < whole.nanmean() < (1 if metric.higher_is_better else 24)


def test_images_of_different_shapes_add_up(metric):
    tall, flat = blobs(1, seed=1, height=40, width=13), blobs(1, seed=2, height=1, width=9)
    batches = [blobs(2), tall, flat]
    assert same(value(metric, *batches), value(metric, *batches[::-1]))


def test_an_empty_batch_does_not_change_the_value(metric):
    preds, target = blobs(2)
    assert same(value(metric, (preds, target), (preds[:0], target[:0])), value(metric, blobs(2)))


def test_permuting_classes_permutes_the_values(metric):
    preds, target = blobs(3)
    renamed = torch.tensor([2, 0, 3, 1])
    table = torch.cat([renamed, torch.full((VOID - K + 1,), VOID)])
    before, after = value(metric, (preds, target)), value(metric, (table[preds], table[target]))
    if metric.average is None:
        before = before[..., renamed.argsort()]
    torch.testing.assert_close(after, before, rtol=0, atol=1e-15, equal_nan=True)


@pytest.mark.parametrize("kind", [BoundaryIoU, TrimapIoU, BoundaryFMeasure])
def test_a_class_in_no_image_does_not_change_the_mean(kind):
    few, more = kind(K, ignore_index=VOID), kind(K + 1, ignore_index=VOID)
    assert same(value(few, blobs(2)), value(more, blobs(2)))


def test_scores_of_any_dtype_are_reduced_by_argmax(metric):
    preds, target = blobs(2)
    scores = torch.nn.functional.one_hot(preds, K).permute(0, 3, 1, 2) * 3.0 - 1
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert same(value(metric, (scores.to(dtype), target)), value(metric, (preds, target)))


def test_labels_can_have_any_integer_dtype(metric):
    preds, target = blobs(2)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert same(value(metric, (preds.to(dtype), target.to(dtype))), value(metric, blobs(2)))


def test_states_are_int64(metric):
    metric.update(*blobs(1))
    assert {state.dtype for state in metric.metric_state.values()} == {torch.int64}


def test_forward_returns_the_batch_value_and_accumulates_it(metric):
    whole = value(metric, blobs(2), blobs(3, seed=1))
    assert same(metric(*blobs(2)), value(fresh(metric), blobs(2)))
    metric(*blobs(3, seed=1))
    assert same(metric.compute(), whole)


def test_pickle_and_clone_keep_the_counts(metric):
    metric.update(*blobs(2))
    for copied in (pickle.loads(pickle.dumps(metric)), metric.clone()):
        assert same(copied.compute(), metric.compute())
        copied.update(*blobs(1, seed=5))
    assert same(metric.compute(), value(fresh(metric), blobs(2)))


def test_reset_clears_the_counts(metric):
    metric.update(*blobs(2))
    metric.reset()
    metric.update(*blobs(1, seed=3))
    assert same(metric.compute(), value(fresh(metric), blobs(1, seed=3)))


def test_updates_inside_and_outside_inference_mode_mix(metric):
    whole = value(metric, blobs(2), blobs(1, seed=1))
    with torch.inference_mode():
        metric.update(*blobs(2))
    metric.update(*blobs(1, seed=1))
    assert same(metric.compute(), whole)


def test_a_collection_separates_settings_that_agree_on_the_first_batch():
    blank = torch.zeros((1, 8, 8), dtype=torch.int64)
    settings = {
        "narrow": BoundaryFMeasure(K, 1, ignore_index=VOID),
        "wide": BoundaryFMeasure(K, 3, ignore_index=VOID),
        "iou": BoundaryIoU(K, width=1, ignore_index=VOID),
        "iou_wide": BoundaryIoU(K, width=3, ignore_index=VOID),
    }
    together = MetricCollection({k: m.clone() for k, m in settings.items()})
    for batch in ((blank, blank), blobs(2)):
        together.update(*batch)
    for name, score in together.compute().items():
        assert same(score, value(settings[name], (blank, blank), blobs(2)))


def test_a_collection_counts_equal_settings_once():
    together = MetricCollection(
        {
            "mean": BoundaryIoU(K, ignore_index=VOID),
            "per_class": BoundaryIoU(K, ignore_index=VOID, average=None),
        }
    )
    together.update(*blobs(2))
    assert len(together.compute_groups) == 1
    assert together.compute()["mean"] == together.compute()["per_class"].nanmean()


@pytest.mark.parametrize(
    ("kind", "setting", "choices", "together"),
    [
        (TrimapIoU, "region", ("boundary", "interior"), "both"),
        (BoundaryFMeasure, "score", ("f", "precision", "recall", "surface_dice"), "all"),
        (SurfaceDistance, "measure", ("mean", "hausdorff"), "both"),
    ],
)
def test_scores_from_the_same_counts_share_one_compute_group(kind, setting, choices, together):
    chosen = {
        choice: kind(K, ignore_index=VOID, average=None, **{setting: choice})
        for choice in (*choices, together)
    }
    collection = MetricCollection(chosen)
    collection.update(*blobs(2))
    assert len(collection.compute_groups) == 1
    actual = collection.compute()
    assert same(torch.stack([actual[choice] for choice in choices]), actual[together])
    for choice in choices:
        alone = kind(K, ignore_index=VOID, average=None, **{setting: choice})
        assert same(actual[choice], value(alone, blobs(2)))


@pytest.fixture
def axes():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def test_plot_draws_the_accumulated_value(metric, axes):
    metric.update(*blobs(2))
    _, drawn = metric.plot(ax=axes)
    assert drawn is axes
    drawn_values = [y for line in axes.get_lines() for y in line.get_ydata()]
    expected = metric.compute().flatten().tolist()
    assert set(expected) <= {float(y) for y in drawn_values}


def test_plot_draws_several_values_as_a_curve(metric, axes):
    if metric(*blobs(1)).ndim > 1 or isinstance(metric, TrimapIoU):
        pytest.skip("a series of curves is no figure")
    steps = [metric(*blobs(1, seed=seed)) for seed in range(3)]
    metric.plot(steps, ax=axes)
    assert all(len(line.get_ydata()) == 3 for line in axes.get_lines())


def test_trimap_iou_is_plotted_over_ascending_widths(axes):
    metric = TrimapIoU(K, (5, 1, 3), ignore_index=VOID)
    values = metric(*blobs(2)).tolist()
    metric.plot(ax=axes)
    (line,) = axes.get_lines()
    assert list(line.get_xdata()) == [1, 3, 5]
    assert [float(y) for y in line.get_ydata()] == [values[1], values[2], values[0]]


@pytest.mark.parametrize("convert", ["half", "float", "double", "bfloat16"])
def test_casting_a_module_keeps_counts_int64(metric, convert):
    holder = torch.nn.Module()
    holder.metric = metric
    getattr(holder, convert)()
    metric.update(*blobs(2))
    assert {state.dtype for state in metric.metric_state.values()} == {torch.int64}
    assert metric.compute().dtype == torch.float64


def test_a_saved_state_can_be_resumed(metric):
    metric.persistent(True)
    metric.update(*blobs(2))
    other = fresh(metric)
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    other.update(*blobs(1, seed=5))
    assert same(other.compute(), value(fresh(metric), blobs(2), blobs(1, seed=5)))


def test_flips_do_not_change_the_iou():
    for name in ("boundary_iou", "boundary_iou_removed", "trimap_iou", "trimap_iou_per_class"):
        preds, target = blobs(2)
        for dims in ((1,), (2,), (1, 2)):
            flipped = (preds.flip(dims), target.flip(dims))
            assert same(value(METRICS[name](), flipped), value(METRICS[name](), (preds, target)))


@pytest.mark.parametrize("count", COUNTS)
def test_updates_never_sync_with_the_device(count):
    """Meta tensors have no values, so any sync raises."""
    target = torch.zeros((2, 9, 11), dtype=torch.int64, device="meta")
    for preds in (target, torch.zeros((2, K, 9, 11), device="meta")):
        assert all(c.is_meta for c in count(preds, target))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("count", COUNTS)
def test_counts_are_equal_on_the_gpu(count):
    preds, target = blobs(3)
    for ours, theirs in zip(count(preds, target), count(preds.cuda(), target.cuda())):
        assert torch.equal(ours, theirs.cpu())


def test_histograms_on_accelerators_equal_those_on_the_cpu():
    codes = torch.randint(0, 9, (3, 5, 7), dtype=torch.uint8)
    assert torch.equal(histograms_by_row(codes, 11), histograms(codes, 11))


@pytest.mark.parametrize(
    ("preds", "target", "message"),
    [
        (
            torch.zeros(1, 4, 4).long(),
            torch.zeros(1, 4, 5).long(),
            r"\(1, 4, 4\), target \(1, 4, 5",
        ),
        (torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4).long(), "One score per pixel is not enough"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4).long(), r"expected \(B, 4, H, W\)"),
        (torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4), "expected integer labels"),
        (torch.full((1, 4, 4), 4), torch.zeros(1, 4, 4).long(), "preds contains the label 4"),
        (torch.zeros(1, 4, 4).long(), torch.full((1, 4, 4), 7), "target contains the label 7"),
        (torch.zeros(1, 4, 4).long(), torch.full((1, 4, 4), -1), "target contains the label -1"),
        (torch.zeros(1, 4, 4).long(), torch.full((1, 4, 4), 300), "0 to 3 or 255"),
    ],
)
def test_invalid_input_raises_with_a_reason(metric, preds, target, message):
    with pytest.raises(ValueError, match=message):
        metric.update(preds, target)


def test_an_unnamed_void_label_raises_with_a_hint():
    with pytest.raises(ValueError, match="set ignore_index"):
        BoundaryIoU(K).update(torch.zeros(1, 4, 4).long(), torch.full((1, 4, 4), VOID))


@pytest.mark.parametrize("ignore_index", [-1, -100, 1000])
def test_ignore_index_may_be_any_number(ignore_index):
    preds, target = blobs(2)
    renamed = torch.where(target == VOID, ignore_index, target)
    for kind in (BoundaryIoU, TrimapIoU, BoundaryFMeasure):
        other, usual = kind(K, ignore_index=ignore_index), kind(K, ignore_index=VOID)
        assert same(value(other, (preds, renamed)), value(usual, (preds, target)))
