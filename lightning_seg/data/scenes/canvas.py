"""The drawing board of the synthetic scenes: covered areas, materials, sunlight, camera.

All units are metres on the ground; only this file knows about pixels. The canvas stores a height
per pixel, so higher objects hide lower ones in any painting order, and shadows follow from the
heights at the end.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating]
Colour = tuple[float, float, float]

GROUND_SAMPLING = 0.09
"""Metres on the ground per pixel, as in ISPRS Vaihingen."""

_SUPERSAMPLING = 4
_OCTAVES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Frame:
    """A place and a direction on the ground: local axes u, v at (x, y), turned by ``angle``."""

    x: float
    y: float
    angle: float

    def world(self, points: ArrayLike) -> NDArray[np.float64]:
        """Local points (N, 2) in metres as scene coordinates (N, 2) in metres."""
        u, v = np.asarray(points, dtype=np.float64).T
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.stack([self.x + u * cos - v * sin, self.y + u * sin + v * cos], axis=1)

    def local(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scene coordinates as local ones, the inverse of `world`."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        dx, dy = x - self.x, y - self.y
        return dx * cos + dy * sin, dy * cos - dx * sin

    def at(self, u: float, v: float, turn: float = 0.0) -> "Frame":
        """The frame at a local place, turned further by ``turn`` radians."""
        x, y = self.world([(u, v)])[0]
        return Frame(float(x), float(y), self.angle + turn)

    def rectangle(self, u0: float, v0: float, u1: float, v1: float) -> NDArray[np.float64]:
        """The corners (4, 2) of an upright local rectangle in scene coordinates."""
        return self.world([(u0, v0), (u1, v0), (u1, v1), (u0, v1)])

    def circle(self, radius: float) -> NDArray[np.float64]:
        """A circle (32, 2) around the middle in scene coordinates."""
        angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        return self.world(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


@dataclass(frozen=True)
class Material:
    """Two colours that blend in blotches, with fine grain."""

    first: Colour
    second: Colour
    grain: float = 0.05
    blotches: float = 0.3

    def tinted(self, rng: np.random.Generator, amount: float = 0.06) -> "Material":
        """A random variant of the material, with slightly different brightness and hue."""
        factor = 1 + rng.uniform(-amount, amount) + rng.uniform(-amount, amount, 3) / 5
        first, second = (
            (float(c[0] * factor[0]), float(c[1] * factor[1]), float(c[2] * factor[2]))
            for c in (self.first, self.second)
        )
        return Material(first, second, self.grain, self.blotches)


@dataclass(frozen=True)
class Patch:
    """The part of the canvas that a shape touches.

    Attributes:
        window: rows and columns of the canvas.
        alpha: share of each pixel that the shape covers, float32 in [0, 1].
        x: scene coordinates of the pixel centres in metres, float32.
        y: the same, downwards.
    """

    window: tuple[slice, slice]
    alpha: FloatArray
    x: FloatArray
    y: FloatArray


class Canvas:
    """A square piece of ground that objects are painted on.

    Args:
        rng: source of every random choice of the scene.
        pixels: side length in pixels.
    """

    def __init__(self, rng: np.random.Generator, pixels: int) -> None:
        self.rng = rng
        self.pixels = pixels
        self.extent = pixels * GROUND_SAMPLING
        self.colour = np.zeros((pixels, pixels, 3), np.float32)
        self.labels = np.zeros((pixels, pixels), np.uint8)
        self.height = np.zeros((pixels, pixels), np.float32)
        octaves = [_smooth_noise(rng, pixels, wavelength) for wavelength in _OCTAVES]
        self.fine = _blend(octaves[:3], (0.5, 0.8, 0.6))
        self.medium = _blend(octaves[2:5], (0.5, 0.8, 0.8))
        self.coarse = _blend(octaves[4:], (0.5, 0.7, 1.0, 1.0))
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(36, 60))
        self.sun = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)], np.float32)

    def area(self, points: NDArray[np.float64], margin: float = 0.0) -> Patch | None:
        """The box around points (N, 2), fully covered; None off the canvas or on its last pixel."""
        scaled = points / GROUND_SAMPLING
        low = np.floor(scaled.min(axis=0) - margin / GROUND_SAMPLING).astype(int) - 1
        high = np.ceil(scaled.max(axis=0) + margin / GROUND_SAMPLING).astype(int) + 1
        left, top = np.maximum(low, 0)
        right, bottom = np.minimum(high, self.pixels)
        if right - left < 2 or bottom - top < 2:
            return None
        x, y = np.meshgrid(
            (np.arange(left, right, dtype=np.float32) + 0.5) * GROUND_SAMPLING,
            (np.arange(top, bottom, dtype=np.float32) + 0.5) * GROUND_SAMPLING,
        )
        return Patch((slice(top, bottom), slice(left, right)), np.ones_like(x), x, y)

    def polygon(self, points: NDArray[np.float64]) -> Patch | None:
        """The area covered by a polygon (N, 2) in metres; None off the canvas."""
        patch = self.area(points)
        if patch is None:
            return None
        rows, columns = patch.window
        height, width = patch.alpha.shape
        mask = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
        inside = (points / GROUND_SAMPLING - (columns.start, rows.start)) * _SUPERSAMPLING - 0.5
        cv2.fillPoly(mask, [np.round(inside * 256).astype(np.int32)], 255, shift=8)
        alpha = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        return Patch(patch.window, alpha.astype(np.float32) / 255, patch.x, patch.y)

    def texture(self, patch: Patch, material: Material) -> FloatArray:
        """The colour (H, W, 3) of a material over a patch."""
        blotches = self.coarse[patch.window] + self.medium[patch.window]
        mix = np.clip(0.5 + material.blotches * blotches, 0, 1)[..., None]
        first, second = np.array((material.first, material.second), np.float32)
        grain = 1 + material.grain * self.fine[patch.window][..., None]
        return (first + (second - first) * mix) * grain

    def paint(
        self,
        patch: Patch | None,
        colour: Material | FloatArray | Colour,
        label: int | None,
        height: FloatArray | float = 0.0,
    ) -> None:
        """Paint a patch except where something higher is; None keeps the labels below."""
        if patch is None:
            return
        below = self.height[patch.window]
        alpha = np.where(height >= below, patch.alpha, np.float32(0))
        paint = self.texture(patch, colour) if isinstance(colour, Material) else colour
        self.colour[patch.window] += (
            np.asarray(paint, np.float32) - self.colour[patch.window]
        ) * alpha[..., None]
        covered = alpha >= 0.5
        np.copyto(below, height, where=covered, casting="same_kind")
        if label is not None:
            self.labels[patch.window][covered] = label

    def lit(self, slope_x: FloatArray, slope_y: FloatArray) -> FloatArray:
        """Brightness of a sloping surface against level ground, from its slopes along x and y."""
        facing = self.sun[2] - slope_x * self.sun[0] - slope_y * self.sun[1]
        direct = np.maximum(facing, 0) / (self.sun[2] * np.sqrt(1 + slope_x**2 + slope_y**2))
        return np.clip(0.35 + 0.65 * direct, 0, 1.6)

    def photograph(self) -> NDArray[np.uint8]:
        """The canvas as the camera sees it: sun and shadow, haze, blur and noise."""
        rng = self.rng
        shadow = self._shadow()[..., None]
        shade = rng.uniform(0.36, 0.52) * np.array([0.92, 0.98, 1.12], np.float32)
        image = self.colour * (1 - shadow * (1 - shade)) * self._openness()[..., None]
        image *= (rng.uniform(1.08, 1.36) * rng.uniform(0.95, 1.05, 3)).astype(np.float32)
        image *= 1 + 0.03 * self.coarse[..., None]
        haze = rng.uniform(0.04, 0.16)
        image += haze * (np.array([0.62, 0.68, 0.75], np.float32) - image)
        image = np.clip(image, 0, 1) ** rng.uniform(0.8, 1.05)
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 0.85))
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image += noise * rng.uniform(0.008, 0.02) * np.sqrt(image + 0.1)
        return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)

    def _shadow(self) -> FloatArray:
        """Cast shadow at each pixel, 0 to 1.

        The highest object towards the sun, lowered by the sun's slope, is computed with doubling
        strides, so that 8 shifts reach 255 pixels.
        """
        reach = self.height
        for step in (1, 2, 4, 8, 16, 32, 64, 128):
            moved = np.array([[1, 0, -step * self.sun[0]], [0, 1, -step * self.sun[1]]], np.float32)
            shifted = cv2.warpAffine(reach, moved, reach.shape[::-1])
            reach = np.maximum(reach, shifted - step * GROUND_SAMPLING * self.sun[2])
        return np.clip((reach - self.height - 0.12) / 0.25, 0, 1)

    def _openness(self) -> FloatArray:
        """Share of the sky each pixel sees, roughly: the feet of walls and trees are darker."""
        surrounding = cv2.GaussianBlur(self.height, (0, 0), 0.7 / GROUND_SAMPLING)
        return 1 - 0.3 * np.clip((surrounding - self.height) / 3, 0, 1)


def _smooth_noise(rng: np.random.Generator, pixels: int, wavelength: int) -> FloatArray:
    """Noise (pixels, pixels) of about unit variance whose blobs are ``wavelength`` wide."""
    cells = pixels // wavelength + 3
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    side = cells * wavelength
    noise = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(noise[wavelength:, wavelength:][:pixels, :pixels])


def _blend(octaves: list[FloatArray], weights: tuple[float, ...]) -> FloatArray:
    total = sum(w * noise for w, noise in zip(weights, octaves, strict=True))
    return np.asarray(total / np.linalg.norm(weights), np.float32)
