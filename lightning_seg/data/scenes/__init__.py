"""Synthetic aerial scenes: streets, parcels and gardens, rendered from a seed with exact labels.

The scenes replace a benchmark when none is available. They resemble true orthophotos of a suburb at
9 cm. Colour alone is a weak cue: roofs and roads share greys, tiles and soil share browns, sedum
roofs and lawns share greens, and shadows fall on everything.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.scenes.canvas import Canvas, Frame
from lightning_seg.data.scenes.materials import MEADOW
from lightning_seg.data.scenes.objects import LOW_VEGETATION
from lightning_seg.data.scenes.parcels import draw_block
from lightning_seg.data.scenes.streets import (
    Road,
    Streets,
    draw_roads,
    furnish_roads,
    lanes_between,
)

SCENES_VERSION = 1
"""Incremented whenever the same seed gives a different scene."""

SMALLEST_SCENE = 32
"""Least side length in pixels."""

_MARGIN = 48


def render_scene(seed: int, size: int = 512) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one aerial scene with its labels.

    Args:
        seed: the scene; the same seed and size give the same scene.
        size: side length in pixels of 9 cm, at least 32.

    Returns:
        The image, RGB uint8 (size, size, 3), and the labels, uint8 (size, size), with the class
        ids of ISPRS: impervious 0, building 1, low vegetation 2, tree 3, car 4, clutter 5.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}; a scene's seed is 0 or above")
    if size < SMALLEST_SCENE:
        raise ValueError(f"size is {size}; a scene is at least {SMALLEST_SCENE} pixels wide")
    # Objects just outside the image still cast shadows into it.
    canvas = Canvas(np.random.default_rng(seed), size + 2 * _MARGIN)
    _draw_district(canvas)
    inside = slice(_MARGIN, _MARGIN + size)
    image = canvas.photograph()[inside, inside]
    return np.ascontiguousarray(image), np.ascontiguousarray(canvas.labels[inside, inside])


def _draw_district(canvas: Canvas) -> None:
    rng = canvas.rng
    half = canvas.extent / 2
    reach = half * 1.5
    streets = Streets(
        Frame(half, half, rng.uniform(0, 2 * np.pi)),
        rng.uniform(0, 3.5),
        rng.uniform(80, 140),
        rng.uniform(0, 2 * np.pi),
    )
    whole = canvas.area(np.array([(0, 0), (canvas.extent, canvas.extent)]))
    canvas.paint(whole, MEADOW, LOW_VEGETATION)
    spacing = rng.uniform(46, 56)
    middle = rng.uniform(-12, 12)
    count = int(np.ceil(reach / spacing)) + 1
    mains = [
        Road(
            True, -reach, reach, middle + k * spacing, rng.uniform(5.5, 7.0), rng.uniform(1.2, 1.9)
        )
        for k in range(-count, count + 1)
    ]
    lanes = [lanes_between(canvas, below, above, reach) for below, above in pairwise(mains)]
    roads = mains + [lane for row in lanes for lane in row]
    draw_roads(canvas, streets, roads)
    for pair, row in zip(pairwise(mains), lanes, strict=True):
        draw_block(canvas, streets, pair, row, reach)
    furnish_roads(canvas, streets, roads)
