"""Streets of the synthetic scenes: layout, surface, cars and trees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.scenes.canvas import Canvas, Frame, Material
from lightning_seg.data.scenes.materials import ASPHALT, PAINT, PAVINGS
from lightning_seg.data.scenes.objects import IMPERVIOUS, car, tree


@dataclass(frozen=True)
class Streets:
    """Coordinates that follow the streets: s along, t across, both in metres, gently bent."""

    frame: Frame
    bend: float
    wavelength: float
    phase: float

    def world(
        self, s: float | NDArray[np.float64], t: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Street coordinates as scene coordinates (N, 2)."""
        s, t = np.broadcast_arrays(np.atleast_1d(s), np.atleast_1d(t))
        sway = self.bend * np.sin(2 * np.pi * s / self.wavelength + self.phase)
        return self.frame.world(np.stack([s, t + sway], axis=1))

    def at(self, s: float, t: float, turn: float = 0.0) -> Frame:
        """The place (s, t), facing along the street, turned further by ``turn`` radians."""
        (x0, y0), (x, y), (x1, y1) = self.world(np.array([s - 0.5, s, s + 0.5]), t)
        return Frame(float(x), float(y), float(np.arctan2(y1 - y0, x1 - x0)) + turn)

    def strip(self, s0: float, s1: float, t0: float, t1: float) -> NDArray[np.float64]:
        """The outline of an area between two places along and two across the streets."""
        s = np.linspace(s0, s1, max(2, int(abs(s1 - s0))))
        return np.concatenate([self.world(s, t0), self.world(s[::-1], t1)])


@dataclass(frozen=True)
class Road:
    """A straight stretch in street coordinates; ``along`` says whether it follows s or t."""

    along: bool
    start: float
    stop: float
    middle: float
    width: float
    pavement: float

    def strip(self, streets: Streets, low: float, high: float) -> NDArray[np.float64]:
        """The area between two distances from the middle line."""
        if self.along:
            return streets.strip(self.start, self.stop, self.middle + low, self.middle + high)
        return streets.strip(self.middle + low, self.middle + high, self.start, self.stop)

    def at(self, streets: Streets, distance: float, aside: float, turn: float = 0.0) -> Frame:
        """The place so far along the road and to its side, facing along it."""
        if self.along:
            return streets.at(distance, self.middle + aside, turn)
        return streets.at(self.middle + aside, distance, turn + np.pi / 2)

    @property
    def corridor(self) -> float:
        """Metres from the middle line to the outer edge of the pavement."""
        return self.width / 2 + self.pavement


def lanes_between(canvas: Canvas, below: Road, above: Road, reach: float) -> list[Road]:
    """The side streets between two main ones."""
    rng = canvas.rng
    lanes = []
    s = -reach + rng.uniform(0, 60)
    while s < reach:
        width = rng.uniform(4.5, 5.5)
        lanes.append(Road(False, below.middle, above.middle, s, width, rng.uniform(1.2, 1.6)))
        s += rng.uniform(45, 80)
    return lanes


def draw_roads(canvas: Canvas, streets: Streets, roads: list[Road]) -> None:
    """Pavements, kerbs, asphalt with its wear, and markings."""
    rng = canvas.rng
    asphalt, slabs = ASPHALT.tinted(rng, 0.15), PAVINGS[rng.integers(len(PAVINGS))].tinted(rng)
    kerb = Material((0.60, 0.59, 0.57), (0.52, 0.51, 0.50), 0.05)
    for material, beyond in ((slabs, None), (kerb, 0.16), (asphalt, 0.0)):
        for road in roads:
            edge = road.corridor if beyond is None else road.width / 2 + beyond
            canvas.paint(canvas.polygon(road.strip(streets, -edge, edge)), material, IMPERVIOUS)
    for road in roads:
        _wear(canvas, streets, road, asphalt)
        if road.along:
            _mark(canvas, streets, road)


def _wear(canvas: Canvas, streets: Streets, road: Road, asphalt: Material) -> None:
    """Repaired patches, cracks and manholes."""
    rng = canvas.rng
    stretch = road.stop - road.start

    def anywhere() -> Frame:
        aside = rng.uniform(-0.35, 0.35) * road.width
        return road.at(streets, rng.uniform(road.start, road.stop), aside)

    for _ in range(int(stretch / 9)):
        u, v = rng.uniform(0.4, 3.0), rng.uniform(0.3, 0.9)
        outline = canvas.polygon(anywhere().rectangle(-u, -v, u, v))
        canvas.paint(outline, asphalt.tinted(rng, 0.2), None)
    for _ in range(int(stretch / 7)):
        steps = rng.normal((0.5, 0), (0.2, 0.22), (int(rng.integers(4, 12)), 2))
        path = np.cumsum(steps, axis=0)
        crack = np.concatenate([path, path[::-1] + np.array((0, 0.07))])
        canvas.paint(canvas.polygon(anywhere().world(crack)), (0.29, 0.29, 0.29), None)
    for _ in range(int(stretch / 20)):
        canvas.paint(canvas.polygon(anywhere().circle(0.33)), (0.26, 0.25, 0.25), None)


def _mark(canvas: Canvas, streets: Streets, road: Road) -> None:
    """A dashed middle line and, here and there, a zebra crossing."""
    rng = canvas.rng
    for s in np.arange(road.start, road.stop, 6.0):
        dash = streets.strip(s, s + 3, road.middle - 0.07, road.middle + 0.07)
        canvas.paint(canvas.polygon(dash), PAINT, None)
    for s in np.arange(road.start + rng.uniform(0, 50), road.stop, 50):
        for t in np.arange(-road.width / 2 + 0.3, road.width / 2 - 0.5, 1.0):
            bar = streets.strip(s, s + 3, road.middle + t, road.middle + t + 0.5)
            canvas.paint(canvas.polygon(bar), PAINT, None)


def furnish_roads(canvas: Canvas, streets: Streets, roads: list[Road]) -> None:
    """Parked and driving cars, and trees along the pavements of the main streets."""
    rng = canvas.rng
    lanes = [road for road in roads if not road.along]
    for road in roads:
        planted = road.along and rng.random() < 0.6
        for side in (-1.0, 1.0):
            _park_cars(canvas, streets, road, side)
            if planted:
                _plant_trees(canvas, streets, road, side, lanes)


def _park_cars(canvas: Canvas, streets: Streets, road: Road, side: float) -> None:
    rng = canvas.rng
    clear, share = (0.0, 0.24) if road.along else (9.0, 0.16)
    distance = road.start + clear + rng.uniform(0, 8)
    while distance < road.stop - clear:
        if rng.random() < share:
            turn = rng.normal(0, 0.03) + (0 if side > 0 else np.pi)
            car(canvas, road.at(streets, distance, side * (road.width / 2 - 1.05), turn))
        distance += rng.uniform(5.5, 8.0)


def _plant_trees(
    canvas: Canvas, streets: Streets, road: Road, side: float, lanes: list[Road]
) -> None:
    rng = canvas.rng
    distance = road.start + rng.uniform(0, 8)
    while distance < road.stop:
        place = road.at(streets, distance, side * (road.width / 2 + road.pavement * 0.75))
        free = all(abs(lane.middle - distance) > lane.corridor + 1 for lane in lanes)
        if rng.random() < 0.65 and free:
            tree(canvas, place.x, place.y, rng.uniform(1.5, 3.2))
        distance += rng.uniform(8, 13)
