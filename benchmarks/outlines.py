"""Outlines of a drawn town against the true ones.

    python benchmarks/outlines.py [--picture docs/images/outlines.png]

Buildings with right angles (boxes, L shapes, row houses with common walls, courtyards) are turned,
drawn as a label map, and a share of all pixels gets the label of a random neighbour, which frays
their borders. `Polygons` outlines them along pixel edges, simplified, and regular. Each true
building is compared with the outline of the largest IoU; PoLiS is in pixels.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pyogrio.raw import read
from rasterio.features import rasterize
from shapely import affinity

from lightning_seg.prediction.geotiff import georeference_optional
from lightning_seg.prediction.polygon_measures import corner_count_ratio, polis, polygon_iou
from lightning_seg.prediction.polygons import Polygons

SIZE = 400
ANGLES = (0, 10, 27, 45)
NOISE = (0.0, 0.3)
METHODS = {
    "pixel edges": Polygons(tolerance=0, min_pixels=40),
    "simplified": Polygons(min_pixels=40),
    "regular": Polygons(regular=True, min_pixels=40),
}
MEASURES = {"PoLiS": polis, "corners": corner_count_ratio, "IoU": polygon_iou}


def draw_town(angle: float, size: int = SIZE) -> list[shapely.Polygon]:
    """Return the true buildings of a town that is turned by an angle in degrees, in pixels."""
    middle = size / 2
    buildings = []
    for row in range(-3, 9):
        for column in range(-3, 9):
            x, y = 75.0 * column, 65.0 * row
            kind = (column + 3 * row) % 4
            if kind == 0:
                buildings.append(shapely.box(x, y, x + 40, y + 28))
            elif kind == 1:
                wing = shapely.box(x, y, x + 20, y + 40)
                buildings.append(shapely.union(shapely.box(x, y, x + 44, y + 18), wing))
            elif kind == 2:
                buildings += [
                    shapely.box(x + 18 * k, y, x + 18 * (k + 1), y + 30 + 6 * (k % 2))
                    for k in range(3)
                ]
            else:
                yard = shapely.box(x + 14, y + 12, x + 32, y + 30)
                buildings.append(shapely.difference(shapely.box(x, y, x + 46, y + 42), yard))
    # Walls that lie on pixel edges would be too easy.
    turned = [
        affinity.translate(affinity.rotate(one, angle, origin=(middle, middle)), 0.3, 0.4)
        for one in buildings
    ]
    inside = shapely.box(6, 6, size - 6, size - 6)
    return [one for one in turned if shapely.contains(inside, one)]


def draw_labels(
    buildings: list[shapely.Polygon], noise: float, size: int = SIZE, seed: int = 0
) -> np.ndarray:
    """Return a label map with a class for each building, as neighbours in a row have common walls.

    A share ``noise`` of all pixels has the label of one of its 8 neighbours, or its own.
    """
    labels = rasterize(
        [(one, number + 1) for number, one in enumerate(buildings)], (size, size), dtype="uint8"
    )
    random = np.random.default_rng(seed)
    rows, columns = np.indices(labels.shape)
    frayed = random.random(labels.shape) < noise
    down, right = (np.where(frayed, random.integers(-1, 2, labels.shape), 0) for _ in range(2))
    return labels[(rows + down).clip(0, size - 1), (columns + right).clip(0, size - 1)]


def outlined(labels: np.ndarray, polygons: Polygons) -> np.ndarray:
    """Return the outlines that `Polygons` writes."""
    names = ["ground", *(f"building {number}" for number in range(1, int(labels.max()) + 1))]
    wanted = Polygons(**(vars(polygons) | {"classes": names[1:]}))
    with tempfile.TemporaryDirectory() as folder, georeference_optional():
        confidence, path = Path(folder, "confidence.tif"), Path(folder, "town.gpkg")
        with rasterio.open(confidence, "w", "GTiff", *labels.shape[::-1], 1, dtype="uint8") as file:
            file.write(np.full((1, *labels.shape), 255, np.uint8))
        wanted.write(labels, names, path, confidence)
        return shapely.from_wkb(read(path)[2])


def scores(outlines: np.ndarray, buildings: list[shapely.Polygon]) -> dict[str, float]:
    """Return the mean measures over all buildings."""
    best = [max(outlines, key=lambda one: polygon_iou(one, true)) for true in buildings]
    return {
        name: float(np.mean([measure(*pair) for pair in zip(best, buildings, strict=True)]))
        for name, measure in MEASURES.items()
    }


def table() -> None:
    print(f"| noise | angle | outlines | {' | '.join(MEASURES)} |")
    print("|---|---|---|" + "---|" * len(MEASURES))
    for noise in NOISE:
        for angle in ANGLES:
            buildings = draw_town(angle)
            labels = draw_labels(buildings, noise)
            for name, polygons in METHODS.items():
                measured = scores(outlined(labels, polygons), buildings).values()
                cells = " | ".join(f"{value:.3f}" for value in measured)
                print(f"| {noise:.0%} | {angle}° | {name} | {cells} |", flush=True)


def draw_picture(path: Path, angle: float = 27, noise: float = 0.3) -> None:
    import matplotlib.pyplot as plt

    buildings = draw_town(angle)
    labels = draw_labels(buildings, noise)
    figure, axes = plt.subplots(1, len(METHODS), figsize=(12, 4.3), layout="constrained")
    for axis, (name, polygons) in zip(axes, METHODS.items(), strict=True):
        axis.imshow(labels > 0, cmap="gray_r", alpha=0.25, extent=(0, SIZE, SIZE, 0))
        for shapes, style in ((buildings, "g-"), (outlined(labels, polygons), "r.-")):
            for ring in shapely.get_rings(shapes):
                axis.plot(*shapely.get_coordinates(ring).T, style, linewidth=1, markersize=4)
        axis.set(xlim=(85, 225), ylim=(280, 140), title=name, xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    table()
    if options.picture:
        draw_picture(options.picture)
