import importlib.util
from pathlib import Path

import numpy as np
import pytest

shapely = pytest.importorskip("shapely")
features = pytest.importorskip("rasterio.features")

from lightning_seg.prediction.polygon_measures import polygon_iou  # noqa: E402
from lightning_seg.prediction.regular_outlines import (  # noqa: E402
    noded_outlines,
    regular_outlines,
)

SIZE = (120, 140)


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "outlines.py"
    spec = importlib.util.spec_from_file_location("outlines", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def turned(shape, angle=20):
    return shapely.affinity.rotate(shape, angle, origin=(60, 60))


def drawn(*shapes):
    return features.rasterize(
        [(shape, k + 1) for k, shape in enumerate(shapes)], SIZE, dtype="uint8"
    )


def frayed(labels, share=0.3):
    random = np.random.default_rng(0)
    rows, columns = np.indices(labels.shape)
    down, right = random.integers(-1, 2, (2, *labels.shape)) * (random.random(labels.shape) < share)
    height, width = labels.shape
    return labels[(rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)]


def outlines_of(labels, least=30):
    found = [(shapely.geometry.shape(g), v) for g, v in features.shapes(labels) if v]
    large = sorted((v, k) for k, (shape, v) in enumerate(found) if shape.area >= least)
    return np.array(
        [
            shapely.Polygon(
                found[k][0].exterior,
                [h for h in found[k][0].interiors if shapely.Polygon(h).area >= least],
            )
            for _, k in large
        ]
    )


def regular(labels, tolerance=2.0):
    return regular_outlines(outlines_of(labels), labels.shape, tolerance)


def angles_of(ring):
    """Angles at the vertices of a ring in degrees, and its number of vertices."""
    sides = np.diff(shapely.get_coordinates(ring), axis=0)
    direction = np.arctan2(sides[:, 1], sides[:, 0])
    return np.rad2deg((np.diff(direction, append=direction[:1]) + np.pi) % (2 * np.pi) - np.pi)


@pytest.mark.parametrize("angle", [0, 7, 20, 45, 81])
def test_a_frayed_box_gets_four_right_angles(angle):
    true = turned(shapely.box(30, 40, 90, 80), angle)
    (box,) = regular(frayed(drawn(true)))
    assert np.abs(angles_of(box.exterior)) == pytest.approx([90] * 4)
    assert polygon_iou(box, true) > 0.97


def test_holes_are_kept_and_have_right_angles_too():
    true = turned(shapely.difference(shapely.box(25, 30, 95, 90), shapely.box(45, 45, 75, 70)))
    (yard,) = regular(frayed(drawn(true)))
    (hole,) = yard.interiors
    for ring in (yard.exterior, hole):
        assert np.abs(angles_of(ring)) == pytest.approx([90] * 4)
    assert polygon_iou(yard, true) > 0.97


def test_neighbours_share_their_border():
    houses = [turned(shapely.box(30 + 20 * k, 40, 50 + 20 * k, 80)) for k in range(3)]
    found = regular(frayed(drawn(*houses)))
    assert shapely.coverage_is_valid(found)
    for k in range(2):
        wall = shapely.intersection(found[k].boundary, found[k + 1].boundary)
        assert shapely.length(wall) == pytest.approx(40, abs=1.5)
    row = shapely.union_all(found)
    corners = angles_of(row.exterior)
    assert corners[np.abs(corners) > 1e-3] == pytest.approx([-90] * 4)  # facades go on straight
    assert row.area == pytest.approx(2400, rel=0.02)


def test_three_neighbours_that_meet_in_a_point_leave_no_gap():
    y, x = np.indices(SIZE)
    labels = np.where(y > 50 + x // 4, 1 + (x > 60 + y // 5), 3).astype(np.uint8)
    for found in (regular(labels), noded_outlines(outlines_of(labels), SIZE)):
        assert shapely.coverage_is_valid(found)
        assert shapely.union_all(found).equals(shapely.box(0, 0, 140, 120))


def test_simplified_neighbours_share_their_border_where_three_meet():
    y, x = np.indices(SIZE)
    labels = np.where(y > 50 + x // 4, 1 + (x > 60 + y // 5), 3).astype(np.uint8)
    found = shapely.coverage_simplify(noded_outlines(outlines_of(labels), SIZE), 3)
    assert shapely.coverage_is_valid(found)


def test_the_edge_of_the_image_stays_where_it_is():
    true = turned(shapely.box(-40, 30, 60, 80), 6)
    (cut,) = regular(frayed(drawn(true), 0.1))
    assert cut.bounds[0] == 0
    assert shapely.length(cut.boundary.intersection(shapely.LineString([(0, 0), (0, 120)]))) > 45


def test_an_oblique_wall_is_not_turned():
    true = shapely.Polygon([(30, 30), (100, 30), (100, 60), (70, 90), (30, 90)])
    (found,) = regular(frayed(drawn(true)))
    assert sorted(np.abs(angles_of(found.exterior))) == pytest.approx([45, 45, 90, 90, 90], abs=4)
    assert polygon_iou(found, true) > 0.97


def test_a_wing_at_another_angle_has_right_angles_of_its_own():
    wing = shapely.affinity.rotate(shapely.box(70, 45, 120, 65), 30, origin=(70, 55))
    true = shapely.union(shapely.box(15, 30, 75, 85), wing)
    (found,) = regular(drawn(true))
    right = np.abs(np.abs(angles_of(found.exterior)) - 90) < 1e-6
    assert right.sum() >= 6
    assert polygon_iou(found, true) > 0.97


def test_a_round_object_does_not_become_a_box():
    true = shapely.Point(60.3, 60.4).buffer(30)
    (found,) = regular(drawn(true))
    assert len(angles_of(found.exterior)) >= 7
    assert polygon_iou(found, true) > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_any_label_map_gives_valid_polygons_that_do_not_overlap(seed):
    random = np.random.default_rng(seed)
    noise = random.normal(size=(4, *SIZE))
    for axis in (1, 2):
        noise = sum(np.roll(noise, k, axis) for k in range(-seed, seed + 1))
    labels = noise.argmax(axis=0).astype(np.uint8)
    raw = outlines_of(labels, least=1)
    found = regular_outlines(raw, SIZE, 2.0)
    assert shapely.is_valid(found).all()
    assert shapely.coverage_is_valid(found)
    assert np.median([polygon_iou(a, b) for a, b in zip(found, raw)]) > 0.6


def test_no_object_at_all_gives_no_outline():
    assert len(regular_outlines(np.array([], object), SIZE, 2.0)) == 0


@pytest.mark.parametrize("angle", [10, 27, 45])
def test_regular_outlines_of_a_frayed_town_beat_those_along_pixels(benchmark, angle):
    buildings = benchmark.draw_town(angle, 200)
    labels = benchmark.draw_labels(buildings, 0.3, 200)
    pixels, plain, ours = (
        benchmark.scores(benchmark.outlined(labels, polygons), buildings)
        for polygons in benchmark.METHODS.values()
    )
    assert ours["PoLiS"] < 0.6 * min(pixels["PoLiS"], plain["PoLiS"])
    assert abs(ours["corners"] - 1) < 0.2 < abs(pixels["corners"] - 1)
    assert ours["IoU"] > max(pixels["IoU"], plain["IoU"]) + 0.01
