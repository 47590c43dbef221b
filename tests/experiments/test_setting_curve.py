import numpy as np
import pytest

from lightning_seg.experiments.comparison.figures import draw_setting_curve

POINTS = [(2.0, [0.5, 0.7]), (0.0, [0.4]), (1.0, [0.6, 0.6, 0.9])]


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


def test_the_mean_curve_follows_ascending_values():
    mean = lines(draw_setting_curve(POINTS, "weight", "IoU"))["mean"]
    assert mean.get_xdata().tolist() == [0, 1, 2]
    np.testing.assert_allclose(mean.get_ydata(), [0.4, 0.7, 0.6])


def test_every_run_is_a_dot_and_the_band_is_one_standard_deviation():
    figure = draw_setting_curve(POINTS, "weight", "IoU")
    runs = lines(figure)["runs"]
    assert sorted(zip(runs.get_xdata(), runs.get_ydata(), strict=True)) == sorted(
        (value, score) for value, scores in POINTS for score in scores
    )
    (band,) = figure.axes[0].collections
    corners = {tuple(np.round(corner, 6)) for corner in band.get_paths()[0].vertices}
    spread = round(float(np.std([0.6, 0.6, 0.9], ddof=1)), 6)
    assert {(1.0, round(0.7 - spread, 6)), (1.0, round(0.7 + spread, 6)), (0.0, 0.4)} <= corners


def test_runs_of_one_seed_have_no_band():
    figure = draw_setting_curve([(1, [0.2]), (2, [0.3])], "weight", "IoU")
    assert not figure.axes[0].collections
    assert "± one standard deviation" not in [
        text.get_text() for text in figure.axes[0].get_legend().get_texts()
    ]


@pytest.mark.parametrize(
    ("values", "scale"), [((0, 0.1, 10), "symlog"), ((0, 1, 4), "linear"), ((-9, 0.1, 9), "linear")]
)
def test_values_of_several_magnitudes_use_a_log_axis(values, scale):
    figure = draw_setting_curve([(value, [0.5]) for value in values], "weight", "IoU")
    assert figure.axes[0].get_xscale() == scale
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == [
        f"{value:g}" for value in values
    ]
