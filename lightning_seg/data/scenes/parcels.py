"""The land between the streets of the synthetic scenes: houses, gardens, flats, sites, parks."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.scenes.canvas import Canvas, Frame, Material
from lightning_seg.data.scenes.materials import ASPHALT, LAWNS, MEADOW, PAINT, PAVINGS, SOIL
from lightning_seg.data.scenes.objects import (
    IMPERVIOUS,
    LOW_VEGETATION,
    bins,
    car,
    container,
    flat_building,
    gabled_house,
    heap,
    hedge,
    pallets,
    playground,
    pool,
    trampoline,
    tree,
)
from lightning_seg.data.scenes.streets import Road, Streets


def draw_block(
    canvas: Canvas, streets: Streets, mains: tuple[Road, Road], lanes: list[Road], reach: float
) -> None:
    """Two rows of parcels back to back, cut by the side streets."""
    rng = canvas.rng
    below, above = mains
    front, back = below.middle + below.corridor, above.middle - above.corridor
    depth = (back - front) / 2
    cuts = [
        -reach,
        *(s for e in lanes for s in (e.middle - e.corridor, e.middle + e.corridor)),
        reach,
    ]
    for start, stop in zip(cuts[::2], cuts[1::2]):
        if stop - start < 8:
            continue
        for t, turn in ((front, 0.0), (back, np.pi)):
            count = max(1, round((stop - start) / rng.uniform(13, 18)))
            edges = np.linspace(start, stop, count + 1)
            for s0, s1 in pairwise(edges):
                parcel = Parcel(streets.at((s0 + s1) / 2, t, turn), float(s1 - s0), depth)
                ground = streets.strip(s0, s1, t, t + (depth if turn == 0 else -depth))
                _draw_parcel(canvas, parcel, ground)


@dataclass(frozen=True)
class Parcel:
    """A piece of land: u along the street, v from the pavement inwards, in metres."""

    frame: Frame
    width: float
    depth: float


def _draw_parcel(canvas: Canvas, parcel: Parcel, ground: NDArray[np.float64]) -> None:
    rng = canvas.rng
    kinds = (_house_and_garden, _flats_and_parking, _building_site, _park)
    kind = kinds[rng.choice(4, p=(0.70, 0.14, 0.07, 0.09))]
    near = parcel.frame.at(0, parcel.depth / 2)
    beyond = np.hypot(parcel.width, parcel.depth) / 2 + 4
    if min(near.x, near.y) < -beyond or max(near.x, near.y) > canvas.extent + beyond:
        return
    lawn = LAWNS[rng.integers(len(LAWNS))].tinted(rng, 0.12)
    canvas.paint(canvas.polygon(ground), lawn, LOW_VEGETATION)
    kind(canvas, parcel)


def _house_and_garden(canvas: Canvas, parcel: Parcel) -> None:
    rng = canvas.rng
    frame, half, depth = parcel.frame, parcel.width / 2, parcel.depth
    paving = PAVINGS[rng.integers(len(PAVINGS))].tinted(rng)
    mirror = rng.choice([-1.0, 1.0])
    setback, deep = rng.uniform(2.5, 5.0), rng.uniform(7.5, 10.0)
    long = min(2 * half - 4.0, rng.uniform(9.0, 14.0))
    house = frame.at(mirror * (half - long / 2 - 0.8), setback + deep / 2, rng.normal(0, 0.02))
    drive = sorted((-mirror * half, -mirror * (half - 3.0)))
    length = setback + deep * rng.uniform(0.3, 1.0)
    _ground(canvas, frame.rectangle(drive[0], -0.4, drive[1], length), paving)
    _ground(canvas, house.rectangle(-0.6, -deep / 2 - setback, 0.6, 0), paving)
    terrace = rng.uniform(2.0, 3.5)
    _ground(canvas, house.rectangle(-long / 3, 0, long / 3, deep / 2 + terrace), paving)
    behind = setback + deep + terrace
    _garden(canvas, parcel, behind)
    wing = (
        rng.choice([-1.0, 1.0]) * (deep / 2 + rng.uniform(2.0, 4.0)) if rng.random() < 0.6 else None
    )
    if rng.random() < 0.14:
        flat_building(canvas, house, long, deep, rng.uniform(3, 7))
    elif rng.random() < 0.2:
        gabled_house(canvas, house.at(0, 0, np.pi / 2), deep, long)
    else:
        gabled_house(canvas, house, long, deep, wing)
    garage = frame.at(-mirror * (half - 1.6), length + 2.8, np.pi / 2)
    if rng.random() < 0.6:
        flat_building(canvas, garage, 5.6, 2.9, 2.5)
    if rng.random() < 0.6:
        spot = frame.at(
            -mirror * (half - 1.5), min(3.0, length / 2), np.pi / 2 + rng.normal(0, 0.04)
        )
        car(canvas, spot)
    if rng.random() < 0.5:
        bins(canvas, frame.at(rng.uniform(-0.3, 0.3) * half, 0.6))
    for side in (-1, 1):
        if rng.random() < 0.45:
            hedge(canvas, frame.at(side * half, depth * 0.6, np.pi / 2), depth * 0.75)
    if rng.random() < 0.4:
        hedge(canvas, frame.at(mirror * half * 0.6, 0.6), half * 0.7)


def _garden(canvas: Canvas, parcel: Parcel, start: float) -> None:
    """The garden behind the house: beds, a pool or trampoline, shrubs and trees."""
    rng = canvas.rng
    frame, half, depth = parcel.frame, parcel.width / 2, parcel.depth
    if rng.random() < 0.5:
        u = rng.uniform(-half + 1, half - 4)
        _ground(
            canvas,
            frame.rectangle(u, depth - 3, u + 3, depth - 1),
            SOIL.tinted(rng),
            LOW_VEGETATION,
        )
    spot = frame.at(rng.uniform(-half + 3, half - 3), (start + depth) / 2, rng.uniform(-0.2, 0.2))
    feature = rng.random()
    if feature < 0.25:
        pool(canvas, spot)
    elif feature < 0.42:
        trampoline(canvas, spot)
    elif feature < 0.54:
        playground(canvas, spot)
    elif feature < 0.64:
        heap(canvas, spot.x, spot.y, rng.uniform(0.8, 1.5))
    elif feature < 0.75:
        pallets(canvas, spot)
    if rng.random() < 0.3:
        shed = frame.at(rng.choice([-1.0, 1.0]) * (half - 2), depth - 1.8)
        flat_building(canvas, shed, 3.0, 2.4, 2.2)
    for _ in range(int(rng.integers(1, 5))):
        place = frame.at(rng.uniform(-half, half), rng.uniform(start, depth))
        tree(canvas, place.x, place.y, rng.uniform(1.4, 4.0))
    if rng.random() < 0.5:
        place = frame.at(rng.uniform(-half, half), rng.uniform(0.5, 3.0))
        tree(canvas, place.x, place.y, rng.uniform(1.0, 2.2))
    for _ in range(int(rng.integers(1, 5))):
        place = frame.at(rng.uniform(-half, half), rng.choice([rng.uniform(0.6, 2.5), depth - 0.8]))
        length = rng.uniform(0.8, 2.0)
        hedge(canvas, Frame(place.x, place.y, rng.uniform(0, np.pi)), length, length * 0.8)


def _flats_and_parking(canvas: Canvas, parcel: Parcel) -> None:
    """A larger flat-roofed building behind its parking bays."""
    rng = canvas.rng
    frame, half = parcel.frame, parcel.width / 2
    asphalt = (ASPHALT, *PAVINGS)[rng.integers(3)].tinted(rng, 0.12)
    _ground(canvas, frame.rectangle(-half, -0.4, half, 9.5), asphalt)
    for u in np.arange(-half + 0.8, half - 2.2, 2.6):
        for edge in (u, u + 2.6):
            _ground(canvas, frame.rectangle(edge - 0.05, 4.4, edge + 0.05, 9.3), PAINT, None)
        if rng.random() < 0.6:
            car(
                canvas,
                frame.at(u + 1.3, 6.9, rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.03)),
            )
    deep = max(4.0, parcel.depth - 12.0)
    centre = frame.at(0, 10.5 + deep / 2)
    flat_building(canvas, centre, parcel.width - 2.4, deep, rng.uniform(4, 9))
    if rng.random() < 0.5:
        container(canvas, frame.at(rng.uniform(-half + 3, half - 3), 1.8))


def _building_site(canvas: Canvas, parcel: Parcel) -> None:
    """Bare ground with heaps, containers and stacked material."""
    rng = canvas.rng
    frame, half, depth = parcel.frame, parcel.width / 2, parcel.depth
    _ground(canvas, frame.rectangle(-half, 0, half, depth), SOIL.tinted(rng, 0.15), LOW_VEGETATION)
    _ground(canvas, frame.rectangle(-2.5, -0.4, 2.5, depth * 0.6), PAVINGS[2].tinted(rng))
    for _ in range(int(rng.integers(2, 4))):
        place = frame.at(rng.uniform(-half + 2, half - 2), rng.uniform(3, depth - 2))
        heap(canvas, place.x, place.y, rng.uniform(1.2, 2.6))
    container(
        canvas, frame.at(-half + 2, rng.uniform(4, depth - 4), np.pi / 2 + rng.normal(0, 0.1))
    )
    container(canvas, frame.at(half - 4, depth - 2.5, rng.normal(0, 0.1)))
    pallets(canvas, frame.at(half - 6, 4, rng.normal(0, 0.2)))


def _park(canvas: Canvas, parcel: Parcel) -> None:
    """Trees in groups over rough grass, with a path across."""
    rng = canvas.rng
    frame, half, depth = parcel.frame, parcel.width / 2, parcel.depth
    _ground(canvas, frame.rectangle(-half, 0, half, depth), MEADOW.tinted(rng), LOW_VEGETATION)
    side = rng.choice([-1.0, 1.0])
    path = frame.at(side * rng.uniform(0, 2), depth / 2, np.pi / 2 + rng.normal(0, 0.15))
    _ground(canvas, path.rectangle(-depth / 2, -0.8, depth / 2, 0.8), PAVINGS[2].tinted(rng))
    playground(canvas, frame.at(-side * half / 2, depth / 2, rng.uniform(0, np.pi)))
    for _ in range(int(rng.integers(6, 13))):
        place = frame.at(rng.uniform(-half, half), rng.uniform(1, depth))
        tree(canvas, place.x, place.y, rng.uniform(1.6, 4.2))


def _ground(
    canvas: Canvas, outline: NDArray[np.float64], material: Material, label: int | None = IMPERVIOUS
) -> None:
    canvas.paint(canvas.polygon(outline), material, label)
