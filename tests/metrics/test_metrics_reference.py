"""Counts compared with public reference implementations on stored label maps."""

import numpy as np
import pytest
import torch
from reference_maps import CASES, load_case, needs_reference

from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, TrimapIoU
from lightning_seg.metrics.functional import (
    boundary_f_counts,
    boundary_f_scores,
    boundary_iou_counts,
    boundary_width,
    trimap_iou_counts,
)

VOID = 255
pytestmark = needs_reference


@pytest.fixture(params=CASES)
def case(request):
    return load_case(request.param)


def pixels(name):
    return int(name.removeprefix("px_")) if name.startswith("px_") else None


def by_class(entries, *keys):
    return [[entry[key] for key in keys] for _, entry in sorted(entries.items())]


def table(*counts):
    return torch.stack(counts, dim=-1).tolist()


def close(ours, reference):
    expected = [float("nan") if v is None else v for v in reference]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_boundary_iou_equals_boundary_iou_api(case):
    values, pred, truth = case
    modes = {"void_removed_after": "removed", "void_zeroed_before": "zeroed"}
    if not values["void_pixels"]:
        modes = {"raw": "transparent"}
    for name, entry in values["boundary_iou"].items():
        assert pixels(name) or entry["d_px"] == boundary_width(*values["shape"])
        for mode, void in modes.items():
            metric = BoundaryIoU(
                values["num_classes"],
                width=pixels(name),
                ignore_index=VOID,
                void=void,
                average=None,
            )
            metric.update(pred, truth)
            counts = table(metric.intersection, metric.union)
            assert counts == by_class(entry[mode], "inter", "union")
            close(metric.compute(), [iou for (iou,) in by_class(entry[mode], "iou")])


def test_boundary_iou_without_void_equals_boundary_iou_api(case):
    """The reference counts void as an additional class."""
    values, pred, truth = case
    num_classes = values["num_classes"]
    truth = torch.where(truth == VOID, num_classes, truth)
    for name, entry in values["boundary_iou"].items():
        counts = boundary_iou_counts(pred, truth, num_classes + 1, width=pixels(name))
        assert table(*counts)[:num_classes] == by_class(entry["raw"], "inter", "union")


def test_boundary_iou_without_border_equals_beyond_iou(case):
    values, pred, truth = case
    for name, entry in values["boundary_iou_beyond_iou_no_border"].items():
        counts = boundary_iou_counts(
            pred,
            truth,
            values["num_classes"],
            width=pixels(name),
            ignore_index=VOID,
            void="removed",
            border=False,
        )
        assert table(*counts) == by_class(entry["per_class"], "inter", "union")


def test_trimap_iou_per_class_equals_beyond_iou(case):
    values, pred, truth = case
    entries = values["trimap_iou_beyond_iou"].values()
    widths = [entry["width_px"] for entry in entries]
    settings = {"widths": widths, "band": "per_class", "ignore_index": VOID}
    counts = table(*trimap_iou_counts(pred, truth, values["num_classes"], **settings))
    assert counts == [by_class(entry["per_class"], "inter", "union") for entry in entries]
    metric = TrimapIoU(values["num_classes"], **settings)
    close(metric(pred, truth), [entry["mean_over_nonempty"] for entry in entries])


@pytest.mark.parametrize("case", ["s10_voidcontour_97x131"], indirect=True)
def test_trimap_iou_around_void_equals_deeplab(case):
    values, pred, truth = case
    for name, entry in values["trimap_deeplab_void_band_percent"].items():
        intersection, union = trimap_iou_counts(
            pred, truth, values["num_classes"], [pixels(name)], band="void", ignore_index=VOID
        )
        confusion = np.array(entry["confusion_rows_gt_cols_pred"])
        assert intersection[0].tolist() == np.diag(confusion).tolist()
        both = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
        assert union[0].tolist() == both.tolist()


def test_boundary_f_equals_davis(case):
    values, pred, truth = case
    num_classes = values["num_classes"]
    for name, modes in values["davis"].items():
        tolerance = pixels(name) or 0.008
        for mode, entry in modes.items():
            target, classes = truth, num_classes
            if mode == "no_void_arg":
                target, classes = torch.where(truth == VOID, num_classes, truth), num_classes + 1
            counts = boundary_f_counts(pred, target, classes, tolerance, ignore_index=VOID)
            ours = torch.stack(counts, dim=-1)[0, :num_classes]
            assert ours.tolist() == by_class(entry, "n_pred", "m_pred", "n_gt", "m_gt")
            scores = torch.stack(boundary_f_scores(counts), dim=-1)[0, :num_classes]
            absent = (ours.sum(dim=-1) == 0)[:, None]
            scores = scores.masked_fill(absent, 1.0)  # DAVIS' value
            np.testing.assert_allclose(scores, by_class(entry, "P", "R", "F"), rtol=0, atol=1e-12)


def test_boundary_f_with_absent_score_equals_gscnn(case):
    values, pred, truth = case
    for name, entry in values["gscnn"].items():
        metric = BoundaryFMeasure(
            values["num_classes"],
            pixels(name),
            ignore_index=VOID,
            average=None,
            absent_score=1.0,
        )
        close(metric(pred, truth), [f for (f,) in by_class(entry, "F")])
