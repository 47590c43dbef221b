"""Objects of the synthetic scenes: buildings, cars, plants and clutter, one function each."""

import math

import numpy as np

from lightning_seg.data.scenes.canvas import (
    GROUND_SAMPLING,
    Canvas,
    FloatArray,
    Frame,
    Material,
    Patch,
)
from lightning_seg.data.scenes.materials import CAR_PAINTS, FLAT_ROOFS, GLASS, LEAVES, TILES

IMPERVIOUS, BUILDING, LOW_VEGETATION, TREE, CAR, CLUTTER = range(6)


def gabled_house(
    canvas: Canvas, frame: Frame, length: float, width: float, wing: float | None = None
) -> None:
    """A house with a pitched, tiled roof, its ridge along u; L-shaped with a wing.

    Args:
        canvas: where to paint.
        frame: the middle of the main part.
        length: along the ridge in metres.
        width: across the ridge in metres.
        wing: how far a second ridge along v reaches from the middle, in metres; negative is -v.
    """
    rng = canvas.rng
    tiles = TILES[rng.integers(len(TILES))].tinted(rng)
    eaves, pitch, hipped = rng.uniform(3.0, 5.5), rng.uniform(0.45, 0.85), bool(rng.random() < 0.3)
    parts = [(frame, length, width)]
    if wing is not None:
        across = min(width, length) * rng.uniform(0.6, 0.8)
        side = rng.choice([-1.0, 1.0]) * (length - across) / 2
        parts.append((frame.at(side, wing / 2, np.pi / 2), abs(wing), across))
    for part, long, wide in parts:
        outline = part.rectangle(-long / 2, -wide / 2, long / 2, wide / 2)
        _pitched_roof(
            canvas, canvas.polygon(outline), part, (long, wide), eaves, (pitch, hipped), tiles
        )
    ridge = eaves + pitch * width / 2
    _chimney(canvas, frame.at(rng.uniform(-0.25, 0.25) * length, rng.uniform(-0.8, 0.8)), ridge)
    if rng.random() < 0.45:
        _roof_windows(canvas, frame, (length, width), eaves, pitch)
    elif rng.random() < 0.4:
        _solar_panels(canvas, frame, (length, width), ridge)


def _pitched_roof(
    canvas: Canvas,
    patch: Patch | None,
    frame: Frame,
    size: tuple[float, float],
    eaves: float,
    shape: tuple[float, bool],
    tiles: Material,
) -> None:
    if patch is None:
        return
    pitch, hipped = shape
    u, v = frame.local(patch.x, patch.y)
    rise = size[1] / 2 - np.abs(v)
    slope_u, slope_v = np.zeros_like(u), -np.sign(v) * pitch
    downhill = np.abs(v)
    ridge = np.abs(v) < 0.14
    if hipped:
        end = size[0] / 2 - np.abs(u)
        ridge = (ridge & (end > rise)) | (np.abs(end - rise) < 0.14)
        at_end = end < rise
        slope_u = np.where(at_end, -np.sign(u) * pitch, 0)
        slope_v = np.where(at_end, 0, slope_v)
        downhill = np.where(at_end, np.abs(u), downhill)
        rise = np.minimum(rise, end)
    cos, sin = math.cos(frame.angle), math.sin(frame.angle)
    light = canvas.lit(slope_u * cos - slope_v * sin, slope_u * sin + slope_v * cos)
    rows = 1 + 0.05 * np.sin(downhill * 2 * np.pi / 0.36)
    worn = 1 + 0.05 * canvas.medium[patch.window]
    brightness = light * rows * worn * np.where(ridge, 1.12, 1) * np.where(rise < 0.15, 0.8, 1)
    colour = canvas.texture(patch, tiles) * brightness[..., None]
    canvas.paint(patch, colour, BUILDING, eaves + pitch * np.maximum(rise, 0))


def _chimney(canvas: Canvas, frame: Frame, ridge: float) -> None:
    size = canvas.rng.uniform(0.3, 0.5)
    brick = canvas.rng.uniform(0.4, 0.6)
    outline = frame.rectangle(-size, -size * 0.7, size, size * 0.7)
    canvas.paint(canvas.polygon(outline), (brick, brick * 0.8, brick * 0.7), BUILDING, ridge + 0.9)
    flue = frame.rectangle(-size / 2, -size / 3, size / 2, size / 3)
    canvas.paint(canvas.polygon(flue), (0.1, 0.1, 0.1), BUILDING, ridge + 0.9)


def _roof_windows(
    canvas: Canvas, frame: Frame, size: tuple[float, float], eaves: float, pitch: float
) -> None:
    rng = canvas.rng
    side = rng.choice([-1.0, 1.0])
    v = side * size[1] * 0.27
    height = eaves + pitch * (size[1] / 2 - abs(v)) + 0.45
    for u in np.linspace(-0.3, 0.3, int(rng.integers(2, 4))) * size[0]:
        window = frame.at(u, v)
        rim, glass = (
            window.rectangle(-0.5, -0.65, 0.5, 0.65),
            window.rectangle(-0.4, -0.5, 0.4, 0.5),
        )
        canvas.paint(canvas.polygon(rim), (0.6, 0.6, 0.6), BUILDING, height)
        canvas.paint(canvas.polygon(glass), (0.22, 0.27, 0.33), BUILDING, height)


def _solar_panels(canvas: Canvas, frame: Frame, size: tuple[float, float], ridge: float) -> None:
    rng = canvas.rng
    across = np.array([-np.sin(frame.angle), np.cos(frame.angle)])
    side = 1.0 if across @ canvas.sun[:2] > 0 else -1.0
    first, last = sorted((side * 0.12 * size[1], side * 0.4 * size[1]))
    columns = int(rng.integers(3, 1 + max(4, int(size[0] * 0.6))))
    start = -columns / 2 + rng.uniform(-0.1, 0.1) * size[0]
    for column in range(columns):
        for low, high in ((first, (first + last) / 2), ((first + last) / 2, last)):
            u = start + column
            panel = frame.rectangle(u + 0.04, low + 0.04, u + 0.96, high - 0.04)
            canvas.paint(canvas.polygon(panel), (0.13, 0.17, 0.27), BUILDING, ridge)


def flat_building(canvas: Canvas, frame: Frame, length: float, width: float, height: float) -> None:
    """A building with a flat roof: parapet, gravel, felt or sedum, vents and roof lights."""
    rng = canvas.rng
    roof = FLAT_ROOFS[rng.integers(len(FLAT_ROOFS))].tinted(rng)
    u, v = length / 2, width / 2
    rim = float(rng.uniform(0.45, 0.75))
    canvas.paint(
        canvas.polygon(frame.rectangle(-u, -v, u, v)), (rim, rim, rim), BUILDING, height + 0.3
    )
    edge = 0.25
    inner = canvas.polygon(frame.rectangle(edge - u, edge - v, u - edge, v - edge))
    if inner is None:
        return
    local_u, _ = frame.local(inner.x, inner.y)
    seams = 1 - 0.08 * (np.abs(local_u % 2.0 - 1) < 0.07)
    canvas.paint(inner, canvas.texture(inner, roof) * seams[..., None], BUILDING, height + 0.3)
    for _ in range(int(length * width / 22)):
        box = frame.at(rng.uniform(0.7 - u, u - 0.7), rng.uniform(0.7 - v, v - 0.7))
        half, grey = rng.uniform(0.2, 0.6, 2), float(rng.uniform(0.35, 0.85))
        outline = canvas.polygon(box.rectangle(-half[0], -half[1], half[0], half[1]))
        canvas.paint(outline, (grey, grey, grey), BUILDING, height + rng.uniform(0.4, 1.1))


def car(canvas: Canvas, frame: Frame) -> None:
    """A car heading along u: body, windscreens, side windows; every tenth a van."""
    rng = canvas.rng
    van = rng.random() < 0.1
    length, width = (5.4, 2.0) if van else (rng.uniform(3.8, 4.7), rng.uniform(1.65, 1.85))
    height, u, v = (2.2 if van else 1.3), length / 2, width / 2
    paint = np.array(CAR_PAINTS[rng.integers(len(CAR_PAINTS))]) * rng.uniform(0.85, 1.1)
    body = [(-u, -0.7 * v), (-0.9 * u, -v), (0.75 * u, -v), (u, -0.6 * v)]
    outline = frame.world(body + [(a, -b) for a, b in reversed(body)])
    canvas.paint(canvas.polygon(outline), paint, CAR, height)
    front, back = (0.72 * u, -0.9 * u) if van else (0.38 * u, -0.72 * u)
    cabin = frame.rectangle(back, -0.84 * v, front, 0.84 * v)
    canvas.paint(canvas.polygon(cabin), GLASS, CAR, height)
    roof = frame.rectangle(back + (0.1 if van else 0.38), -0.68 * v, front - 0.62, 0.68 * v)
    canvas.paint(canvas.polygon(roof), np.minimum(paint * 1.08 + 0.03, 1), CAR, height)


def tree(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A broad-leaved tree with a ragged crown, or a dark, pointed conifer."""
    rng = canvas.rng
    conifer = rng.random() < 0.15
    leaves = LEAVES[2 if conifer else rng.integers(len(LEAVES))].tinted(rng, 0.1)
    patch = canvas.area(np.array([(x, y)]), margin=1.4 * radius)
    waves = rng.uniform(0, 2 * np.pi, 4)
    if patch is None:
        return
    dx, dy = patch.x - x, patch.y - y
    angle = np.arctan2(dy, dx)
    lobes, sway = ((9, 14, 19, 23), 0.035) if conifer else ((2, 3, 5, 7), 0.07)
    rim = 1 + sum(sway * np.cos(n * angle + p) for n, p in zip(lobes, waves))
    distance = np.hypot(dx, dy) / (radius * rim)
    top = radius * (2.8 if conifer else 1.2) + 2.5
    foliage(canvas, patch, distance, radius, (2.0, top), leaves, TREE)


def hedge(canvas: Canvas, frame: Frame, length: float, width: float = 0.9) -> None:
    """A clipped hedge along u: plants too low to be trees."""
    rng = canvas.rng
    leaves = LEAVES[rng.integers(len(LEAVES) - 1)].tinted(rng, 0.1)
    patch = canvas.area(frame.rectangle(-length / 2, -width, length / 2, width), margin=0.3)
    if patch is None:
        return
    u, v = frame.local(patch.x, patch.y)
    distance = np.maximum(np.abs(v) / (width / 2), (np.abs(u) - length / 2) / (width / 2) + 1)
    foliage(canvas, patch, distance, width / 2, (0.8, 1.6), leaves, LOW_VEGETATION)


def foliage(
    canvas: Canvas,
    patch: Patch,
    distance: FloatArray,
    radius: float,
    heights: tuple[float, float],
    leaves: Material,
    label: int,
) -> None:
    """Leaves over a dome: ragged at the rim, in clumps, each lit from the sun's side.

    Args:
        canvas: where to paint.
        patch: the box around the plant.
        distance: 0 at the middle, 1 at the rim, one value per pixel.
        radius: metres from the middle to the rim.
        heights: of the rim and of the top in metres.
        leaves: their colour.
        label: class of the plant.
    """
    clumps = canvas.medium[patch.window]
    ragged = distance + min(0.16, 0.13 / radius) * (clumps + 0.5 * canvas.fine[patch.window])
    alpha = np.clip((1 - ragged) * radius / GROUND_SAMPLING + 0.5, 0, 1)
    dome = np.sqrt(np.clip(1 - ragged * ragged, 0, 1))
    height = heights[0] + (heights[1] - heights[0]) * dome + 0.22 * clumps
    surface = min(radius, 1.5) * dome + 0.24 * clumps
    slope_y, slope_x = np.gradient(surface, GROUND_SAMPLING)
    light = canvas.lit(slope_x, slope_y) * (0.72 + 0.28 * dome + 0.09 * canvas.fine[patch.window])
    colour = canvas.texture(patch, leaves) * light[..., None]
    canvas.paint(Patch(patch.window, alpha, patch.x, patch.y), colour, label, height)


def pool(canvas: Canvas, frame: Frame) -> None:
    """A garden pool with a paved rim."""
    rng = canvas.rng
    u, v = rng.uniform(1.8, 3.2), rng.uniform(1.2, 1.8)
    stone = Material((0.66, 0.63, 0.57), (0.56, 0.54, 0.50), 0.04)
    water = Material((0.35, 0.60, 0.66), (0.24, 0.47, 0.53), 0.03, 0.4).tinted(rng, 0.15)
    rim = frame.rectangle(-u - 0.5, -v - 0.5, u + 0.5, v + 0.5)
    canvas.paint(canvas.polygon(rim), stone, IMPERVIOUS)
    canvas.paint(canvas.polygon(frame.rectangle(-u, -v, u, v)), water, CLUTTER)


def trampoline(canvas: Canvas, frame: Frame) -> None:
    """A round trampoline: black mat, coloured rim."""
    rng = canvas.rng
    rim = np.array([(0.20, 0.32, 0.48), (0.28, 0.40, 0.24), (0.40, 0.40, 0.42)][rng.integers(3)])
    radius = rng.uniform(1.2, 1.7)
    canvas.paint(canvas.polygon(frame.circle(radius)), rim, CLUTTER, 0.8)
    canvas.paint(canvas.polygon(frame.circle(0.78 * radius)), (0.14, 0.14, 0.15), CLUTTER, 0.8)


def container(canvas: Canvas, frame: Frame) -> None:
    """A shipping container or open skip, ribbed and rusty."""
    rng = canvas.rng
    colours = ((0.24, 0.33, 0.45), (0.48, 0.27, 0.20), (0.32, 0.40, 0.32), (0.58, 0.57, 0.55))
    base = colours[rng.integers(len(colours))]
    steel = Material(base, (base[0] * 0.8, base[1] * 0.75, base[2] * 0.75), 0.04, 0.4)
    length = float(rng.choice([3.2, 6.0]))
    patch = canvas.polygon(frame.rectangle(-length / 2, -1.2, length / 2, 1.2))
    if patch is None:
        return
    u, v = frame.local(patch.x, patch.y)
    ribs = 1 + 0.09 * np.sin(u * 2 * np.pi / 0.4)
    ribs = np.where((np.abs(v) > 1.05) | (np.abs(u) > length / 2 - 0.15), 0.8, ribs)
    colour = canvas.texture(patch, steel) * ribs[..., None]
    if length < 4:
        load = (np.abs(v) < 0.95) & (np.abs(u) < length / 2 - 0.25)
        rubble = canvas.texture(patch, Material((0.40, 0.36, 0.32), (0.62, 0.60, 0.57), 0.2, 0.6))
        colour = np.where(load[..., None], rubble, colour)
    canvas.paint(patch, colour, CLUTTER, 1.4 if length < 4 else 2.5)


def heap(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A heap of soil, sand or rubble."""
    rng = canvas.rng
    kinds = (
        Material((0.47, 0.37, 0.28), (0.38, 0.29, 0.22), 0.09),
        Material((0.66, 0.58, 0.45), (0.58, 0.50, 0.39), 0.05),
        Material((0.52, 0.51, 0.49), (0.42, 0.41, 0.40), 0.16),
    )
    material = kinds[rng.integers(len(kinds))]
    patch = canvas.area(np.array([(x, y)]), margin=1.5 * radius)
    if patch is None:
        return
    distance = np.hypot(patch.x - x, patch.y - y) / radius
    distance = distance + 0.12 * canvas.medium[patch.window]
    alpha = np.clip((1 - distance) * radius / GROUND_SAMPLING + 0.5, 0, 1)
    cone = 0.55 * radius * np.clip(1 - distance, 0, 1)
    slope_y, slope_x = np.gradient(cone + 0.05 * canvas.medium[patch.window], GROUND_SAMPLING)
    colour = canvas.texture(patch, material) * canvas.lit(slope_x, slope_y)[..., None]
    canvas.paint(Patch(patch.window, alpha, patch.x, patch.y), colour, CLUTTER, cone)


def pallets(canvas: Canvas, frame: Frame) -> None:
    """Pallets, boards and tarpaulins standing in rows."""
    rng = canvas.rng
    colours = ((0.60, 0.50, 0.36), (0.25, 0.35, 0.50), (0.75, 0.74, 0.70), (0.35, 0.32, 0.30))
    for row in range(int(rng.integers(2, 4))):
        for column in range(int(rng.integers(2, 5))):
            spot = frame.at(column * 1.5, row * 1.3, rng.uniform(-0.12, 0.12))
            shade = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.85, 1.1)
            box = spot.rectangle(-0.6, -0.45, 0.6, 0.45)
            canvas.paint(canvas.polygon(box), shade, CLUTTER, rng.uniform(0.3, 1.2))


def bins(canvas: Canvas, frame: Frame) -> None:
    """Dustbins in a row along u."""
    rng = canvas.rng
    lids = ((0.16, 0.17, 0.18), (0.20, 0.28, 0.44), (0.36, 0.28, 0.20), (0.72, 0.62, 0.22))
    for position in range(int(rng.integers(2, 6))):
        spot = frame.at(position * 0.8, rng.normal(0, 0.05), rng.normal(0, 0.1))
        lid = canvas.polygon(spot.rectangle(-0.33, -0.38, 0.33, 0.38))
        canvas.paint(lid, lids[rng.integers(len(lids))], CLUTTER, 1.1)


def playground(canvas: Canvas, frame: Frame) -> None:
    """A sand pit with a rim of planks and a climbing frame."""
    rng = canvas.rng
    u, v = rng.uniform(1.6, 3.0), rng.uniform(1.4, 2.2)
    sand = Material((0.68, 0.61, 0.48), (0.60, 0.53, 0.41), 0.07, 0.4)
    rim = frame.rectangle(-u - 0.15, -v - 0.15, u + 0.15, v + 0.15)
    canvas.paint(canvas.polygon(rim), (0.42, 0.35, 0.27), CLUTTER)
    canvas.paint(canvas.polygon(frame.rectangle(-u, -v, u, v)), sand, CLUTTER)
    paint = np.array([(0.60, 0.22, 0.18), (0.24, 0.36, 0.52), (0.50, 0.42, 0.30)][rng.integers(3)])
    for offset in (-0.7, 0.0, 0.7):
        bar = frame.rectangle(offset - 0.08, -1.1, offset + 0.08, 1.1)
        canvas.paint(canvas.polygon(bar), paint, CLUTTER, 1.8)
