import math

import pytest

from lightning_seg.prediction.polygon_measures import corner_count_ratio, polis, polygon_iou

shapely = pytest.importorskip("shapely")

SQUARE = shapely.box(0, 0, 10, 10)


def test_equal_outlines_have_distance_0_and_iou_1_wherever_their_rings_start():
    turned = shapely.Polygon([(10, 10), (0, 10), (0, 0), (10, 0)])
    assert polis(SQUARE, turned) == 0
    assert polygon_iou(SQUARE, turned) == 1
    assert corner_count_ratio(SQUARE, turned) == 1


def test_polis_of_a_shifted_square():
    # Two corners of each square are 1 from the other's boundary, two lie on it.
    assert polis(SQUARE, shapely.box(1, 0, 11, 10)) == pytest.approx(0.5)


def test_polis_averages_the_directions_not_the_vertices():
    # Corners of the square are on the roof's boundary; of its 5 vertices one is 5 from the square.
    roof = shapely.Polygon([(0, 0), (10, 0), (10, 10), (5, 15), (0, 10)])
    assert polis(SQUARE, roof) == pytest.approx((0 + 5 / 5) / 2)


def test_polis_counts_holes():
    hole = shapely.difference(SQUARE, shapely.box(4, 4, 6, 6))
    # The 4 vertices of the hole are 4 from the square's boundary, out of 8.
    assert polis(hole, SQUARE) == pytest.approx(4 * 4 / 8 / 2)


def test_polis_is_symmetric_and_scales():
    roof = shapely.Polygon([(0, 0), (10, 0), (12, 9), (5, 15), (0, 10)])
    assert polis(SQUARE, roof) == polis(roof, SQUARE)
    double = [shapely.transform(shape, lambda points: 2 * points) for shape in (SQUARE, roof)]
    assert polis(*double) == pytest.approx(2 * polis(SQUARE, roof))


def test_iou_of_half_overlapping_and_of_distant_squares():
    assert polygon_iou(SQUARE, shapely.box(5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert polygon_iou(SQUARE, shapely.box(20, 0, 30, 10)) == 0


def test_corner_count_ratio_counts_all_rings():
    hole = shapely.difference(SQUARE, shapely.box(4, 4, 6, 6))
    circle = shapely.Polygon(
        [(math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(16)]
    )
    assert corner_count_ratio(hole, SQUARE) == 2
    assert corner_count_ratio(circle, SQUARE) == 4
    assert corner_count_ratio(shapely.MultiPolygon([SQUARE, shapely.box(20, 0, 30, 10)]), hole) == 1


def test_vertices_on_a_straight_side_are_no_corners():
    noded = shapely.Polygon([(0, 0), (3, 0), (10, 0), (10, 10), (5, 10.001), (0, 10), (0, 6)])
    assert corner_count_ratio(noded, SQUARE) == 1
