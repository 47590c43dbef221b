"""Pictures of several labels per pixel."""

import numpy as np
import pytest
import torch

from lightning_seg.callbacks.metrics.worst_images import WorstImages
from lightning_seg.callbacks.pictures.label_picture import LabelPicture, paint_layers
from lightning_seg.callbacks.pictures.picture_maps import label_entropy
from lightning_seg.callbacks.pictures.pictures import draw

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 200, 0)
NAMES = ["roof", "building", "shadow"]


def labels():
    """A roof inside a building; the shadow is nowhere."""
    maps = np.zeros((3, 60, 80), np.int64)
    maps[1, 10:50, 10:70] = 1
    maps[0, 20:40, 20:60] = 1
    return maps


def picture(truth, prediction, **options):
    image = np.full((60, 80, 3), 100, np.uint8)
    return LabelPicture("", image, truth, prediction, NAMES, [RED, BLUE, GREEN], **options)


def test_layers_are_translucent_mixed_where_they_overlap_and_outlined():
    pixels = paint_layers(np.full((60, 80, 3), 100, np.uint8), labels() == 1, [RED, BLUE, GREEN])
    assert pixels[0, 0].tolist() == [160, 160, 160]
    assert pixels[15, 40].tolist() == [80, 80, 208]  # half blue, half grey
    assert pixels[30, 40].tolist() == [144, 80, 144]  # half of the mean of red and blue
    assert pixels[10, 40].tolist() == list(BLUE)
    assert pixels[20, 40].tolist() == list(RED)


def test_a_label_that_touches_the_image_border_has_no_outline_there():
    inside = np.ones((1, 20, 20), bool)
    assert len(np.unique(paint_layers(np.zeros((20, 20, 3), np.uint8), inside, [RED]))) == 2


def test_a_pixel_is_wrong_if_any_label_is_and_void_if_all_are():
    truth, prediction = labels(), labels()
    prediction[2, :5] = 1
    truth[0, :, :2] = -1
    truth[:, -3:] = -1
    drawn = picture(truth, prediction)
    wrong = np.zeros((60, 80), bool)
    wrong[:5] = True
    assert np.array_equal(drawn.wrong, wrong)
    assert np.array_equal(np.flatnonzero(drawn.void.any(axis=1)), [57, 58, 59])
    assert drawn.classes == [0, 1, 2]


def test_labels_have_panels_with_their_own_errors_and_band():
    truth, prediction = labels(), labels()
    prediction[0, 20:40, 50:60] = 0
    drawn = picture(truth, prediction, band_width=2)
    roof, building = drawn.each
    assert [int(verdict.where.sum()) for verdict in roof.verdicts] == [600, 0, 200]
    assert not building.wrong.any()
    assert np.array_equal(drawn.band, roof.band | building.band)
    titles = [axis.get_title() for axis in draw(drawn).axes]
    assert titles[:2] == ["image", "ground truth"]
    assert "errors: 4.2% wrong" in titles
    assert {"roof: IoU 75.0%", "building: IoU 100.0%"} <= set(titles)


def test_of_many_labels_those_with_most_wrong_pixels_are_shown():
    truth = np.ones((12, 8, 8), np.int64)
    prediction = truth.copy()
    for k in range(9):
        prediction[k, : 1 + k % 8] = 0
    names, colors = [str(k) for k in range(12)], [(20 * k, 0, 0) for k in range(12)]
    image = np.zeros((8, 8, 3), np.uint8)
    shown = LabelPicture("", image, truth, prediction, names, colors).each
    assert [one.class_names[1] for one in shown] == list("012345678")


def test_the_entropy_is_the_mean_of_the_labels():
    scores = torch.tensor([0.5, 1.0, 0.0]).reshape(1, 3, 1, 1)
    assert label_entropy(scores).item() == pytest.approx(1 / 3)
    assert label_entropy(torch.zeros(1, 2, 1, 1) - 1e-9).item() == pytest.approx(1)  # logits


def test_the_worst_images_of_a_report_show_all_labels():
    kept = WorstImages(NAMES, [RED, BLUE, GREEN], ignore_index=255)
    truth = torch.from_numpy(labels())
    truth[0, :2] = 255
    scores = dict.fromkeys(("boundary_iou", "iou", "boundary_f", "accuracy"), torch.tensor(0.5))
    kept.add(scores, "a", 0, torch.zeros(3, 60, 80), truth.clamp(max=1), truth)
    (worst,) = kept.kept
    assert worst.classes == [0, 1]
    assert list(worst.pictures)[:3] == ["image", "ground truth", "prediction"]
    assert worst.pictures["ground truth"] != worst.pictures["prediction"]
