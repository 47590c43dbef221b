"""Seeded and checked albumentations pipelines that never turn padding into a class."""

import difflib
import inspect
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

# On import, albumentations asks the package index for updates; training must not.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.core.composition import BaseCompose

from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.errors import InputError

Transform: TypeAlias = A.BasicTransform | BaseCompose

_EXTRA = "extra_channel"
_RESIZING = (A.Resize, A.LongestMaxSize, A.SmallestMaxSize)
_PADDING = (A.Pad, A.PadIfNeeded)


class TransformPipeline:
    """Apply the same transforms to an image and its mask.

    An albumentations pipeline keeps its own random state, so every epoch and worker would repeat
    the same numbers. Here the caller seeds each call.

    Args:
        transforms: albumentations transforms, applied in order; none for no change.

    Raises:
        InputError: A transform has an unknown argument, duplicates a step done elsewhere, or would
            pad masks with a class or interpolate between classes.
    """

    def __init__(self, transforms: Sequence[Transform] | None = None) -> None:
        self._compose = A.Compose(list(transforms or ()), additional_targets={_EXTRA: "mask"})
        for transform in _leaves(self._compose):
            _check_arguments(transform)
            _check_not_done_elsewhere(transform)
            _check_mask_padding(transform)
            _check_mask_interpolation(transform)

    @property
    def changes_nothing(self) -> bool:
        """True if there is no transform."""
        return not self._compose.transforms

    @property
    def pads(self) -> bool:
        """True if a transform adds a border."""
        return any(isinstance(transform, _PADDING) for transform in _leaves(self._compose))

    def refuse_for_predictions(self) -> None:
        """Raise unless predictions can be mapped back to the original image by resizing."""
        for transform in _leaves(self._compose):
            padding = isinstance(transform, _PADDING) and _pads_with_constant(transform)
            allowed = padding or isinstance(transform, _RESIZING)
            if _changes_masks(transform) and not allowed:
                raise InputError(
                    f"With the transform {type(transform).__name__}, predictions would not match "
                    "the original images. Remove it from eval_transforms to predict (networks take "
                    "images of any size). Transforms that resize whole images or pad them with a "
                    "constant may stay."
                )

    def place_of(
        self, image: np.ndarray, seed: int, path: Path | None = None
    ) -> tuple[int, int, int, int]:
        """Return the row, column, height and width of an image (H, W, C) within its padding."""
        inside = self.apply(image, np.zeros(image.shape[:2], np.uint8), None, seed, path)[1]
        assert inside is not None, "a mask was given"
        rows, columns = (np.flatnonzero((inside != IGNORE_INDEX).any(axis=axis)) for axis in (1, 0))
        return int(rows[0]), int(columns[0]), len(rows), len(columns)

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width to which images of this height and width are transformed."""
        if self.changes_nothing:
            return size
        height, width = self(np.zeros((*size, 3), np.uint8), None, 0)[0].shape[:2]
        return height, width

    def __call__(
        self, image: np.ndarray, mask: np.ndarray | None, seed: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Transform an image (H, W, C) uint8 or float32 in [0, 1] and a mask (H, W) uint8."""
        image, mask, _ = self.apply(image, mask, None, seed)
        return image, mask

    def apply(
        self,
        image: np.ndarray,
        mask: np.ndarray | None,
        extra_channel: np.ndarray | None,
        seed: int,
        path: Path | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Transform image, mask and an extra channel, such as depth, together.

        Args:
            image: (H, W, C) uint8 or float32 in [0, 1].
            mask: (H, W) or (H, W, K) uint8.
            extra_channel: (H, W, 1) float32 in [0, 1]. It follows the image's geometric transforms
                by nearest neighbour and keeps its values; it is 0 where the image is padded with a
                constant.
            seed: Seed of the random transforms.
            path: The image's file, for the error message.

        Raises:
            InputError: A transform fails on this image.
        """
        if not self._compose.transforms:
            return image, mask, extra_channel
        self._compose.set_random_seed(seed)
        given: dict[str, Any] = {"image": image, "mask": mask, _EXTRA: extra_channel}
        if mask is not None and mask.ndim == 3:
            # OpenCV would fill the padding of the first band alone.
            del given["mask"]
            given["masks"] = [np.ascontiguousarray(mask[..., k]) for k in range(mask.shape[2])]
        try:
            result = self._compose(**{n: part for n, part in given.items() if part is not None})
        except Exception as error:  # what a transform raises is not documented
            raise InputError(_failure(error, image, path)) from error
        if extra_channel is not None:
            # Padding gets the ignore index 255, which is outside the channel's range.
            moved = result[_EXTRA].reshape(*result["image"].shape[:2], -1)
            result[_EXTRA] = np.where(moved > 1, np.float32(0), moved)
        if "masks" in result:
            result["mask"] = np.stack(result["masks"], axis=2)
        return result["image"], result.get("mask"), result.get(_EXTRA)


def draw_seed(index: int) -> int:
    """Draw the seed of one training sample from torch's random state and the sample's index.

    Processes may share the state, but never an index.
    """
    drawn = int(torch.randint(2**31, ()))
    return int(np.random.SeedSequence((drawn, index)).generate_state(1)[0])


def _failure(error: Exception, image: np.ndarray, path: Path | None) -> str:
    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    failed = [type(it).__name__ for it in frames if isinstance(it, A.BasicTransform)]
    name = f"the transform {failed[0]}" if failed else "a transform"
    (height, width, channels), reason = image.shape, " ".join(str(error).split())[:200].rstrip(".")
    return (
        f"{path or 'An image'}: {name} fails on this image of {width} x {height} pixels and "
        f"{channels} channel(s): {reason}. Change the transform's arguments, or remove it."
    )


def _leaves(compose: BaseCompose) -> Iterator[A.BasicTransform]:
    for transform in compose.transforms:
        if isinstance(transform, BaseCompose):
            yield from _leaves(transform)
        else:
            yield transform


def _changes_masks(transform: A.BasicTransform) -> bool:
    # A.Lambda, which calls any function, derives from A.NoOp.
    return isinstance(transform, A.DualTransform) and type(transform) is not A.NoOp


def _check_arguments(transform: A.BasicTransform) -> None:
    # albumentations only warns, and runs with the default.
    if not transform.invalid_args:
        return
    name, wrong = type(transform).__name__, transform.invalid_args[0]
    known = [p for p in inspect.signature(type(transform).__init__).parameters if p != "self"]
    near = difflib.get_close_matches(wrong, known, n=1)
    suggestion = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(known)}."
    raise InputError(f"The transform {name} has no argument {wrong}. {suggestion}")


def _check_not_done_elsewhere(transform: A.BasicTransform) -> None:
    if isinstance(transform, A.Normalize):
        where = "the network normalises its images itself"
    elif isinstance(transform, A.ToTensorV2 | A.ToTensor3D):
        where = "images and masks become tensors after the transforms"
    else:
        return
    raise InputError(f"The transform {type(transform).__name__} must be removed: {where}.")


def _check_mask_interpolation(transform: A.BasicTransform) -> None:
    nearest = (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)
    if getattr(transform, "mask_interpolation", nearest[0]) in nearest:
        return
    raise InputError(
        f"The transform {type(transform).__name__} would mix classes when it resizes masks. "
        f"Give it mask_interpolation={cv2.INTER_NEAREST} (nearest neighbour)."
    )


def _check_mask_padding(transform: A.BasicTransform) -> None:
    fill = getattr(transform, "fill_mask", None)
    if fill is None or fill == IGNORE_INDEX or not _pads_with_constant(transform):
        return
    raise InputError(
        f"The transform {type(transform).__name__} would label its padding as class {fill}. "
        f"Give it fill_mask={IGNORE_INDEX}, so that padding is ignored."
    )


def _pads_with_constant(transform: A.BasicTransform) -> bool:
    if not getattr(transform, "pad_if_needed", True):
        return False
    return getattr(transform, "border_mode", cv2.BORDER_CONSTANT) == cv2.BORDER_CONSTANT
