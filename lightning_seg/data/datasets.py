"""Reads pairs of files into samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from lightning_seg.data.labels import LabelDecoder
from lightning_seg.data.pairs import Pair
from lightning_seg.data.reading import read_image, read_label
from lightning_seg.data.transforms import TransformPipeline, draw_seed
from lightning_seg.errors import InputError

Sample = dict[str, torch.Tensor | str]


class PairDataset(Dataset[Sample]):
    """Whole images with their masks.

    A sample is a dict: ``image`` float32 (C, H, W) in [0, 1], ``mask`` int64 (H, W) of 0..K-1 and
    255 for ignored (only where the pair has a label), ``name`` str, and without a label ``size``
    int64 (2,): height and width of the image before transforms, to which predictions belong.

    Args:
        pairs: The files.
        decoder: Decodes label files.
        in_channels: Channels of every image.
        pipeline: Transforms of image and mask.
        training: Draws new random transforms at every visit; otherwise a sample's random
            transforms are always the same.
        value_range: Lowest and highest value of the images, for float images or where integers do
            not use their type's full range.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        decoder: LabelDecoder,
        in_channels: int,
        pipeline: TransformPipeline,
        training: bool = False,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.pairs = tuple(pairs)
        self.decoder = decoder
        self.in_channels = in_channels
        self.pipeline = pipeline
        self.training = training
        self.value_range = value_range

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        image = read_image(pair.image, self.in_channels)
        image = scale_values(image, self.value_range, pair.image)
        mask = None
        if pair.label is not None:
            mask = self.decoder(read_label(pair.label, self.decoder.colors), pair.label)
        seed = draw_seed(index) if self.training else index
        sample = make_sample(*self.pipeline(image, mask, seed), pair.name)
        if mask is None:
            sample["size"] = torch.tensor(image.shape[:2])
        return sample


def scale_values(
    image: np.ndarray, value_range: tuple[float, float] | None, path: Path
) -> np.ndarray:
    """Brings an image to what transforms work on: uint8 as it is, all else float32 in [0, 1].

    With ``value_range``, values beyond it become 0 or 1, and NaN (no data) 0.

    Raises:
        InputError: Without ``value_range``, a float image leaves [0, 1] or holds NaN, or integers
            are signed or of more than 16 bits, whose full range no image uses.
    """
    if value_range is not None:
        low, high = value_range
        image = (image.astype(np.float32) - low) / (high - low)
        return np.nan_to_num(image).clip(0.0, 1.0)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.iinfo(np.uint16).max
    if np.issubdtype(image.dtype, np.integer):
        raise InputError(
            f"{path} holds numbers of type {image.dtype}, from {image.min()} to {image.max()}, "
            "whose range is unknown. Set value_range to the lowest and highest value of the images."
        )
    if not (image.min() >= 0.0 and image.max() <= 1.0):
        raise InputError(
            f"{path} holds decimal numbers from {image.min():g} to {image.max():g}, but 0 to 1 is "
            "expected. Set value_range to the lowest and highest value of the images."
        )
    return image.astype(np.float32)


def make_sample(image: np.ndarray, mask: np.ndarray | None, name: str) -> Sample:
    """An image (H, W, C) uint8 or float32 in [0, 1] and a mask (H, W) as tensors of a sample."""
    # What transforms return may be a view that torch cannot take over.
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    scaled = tensor.float().div_(255.0) if tensor.dtype == torch.uint8 else tensor.float()
    sample: Sample = {"image": scaled, "name": name}
    if mask is not None:
        sample["mask"] = torch.from_numpy(np.ascontiguousarray(mask)).long()
    return sample


def collate(samples: list[Sample]) -> dict[str, torch.Tensor | list[str]]:
    """Stacks samples into a batch.

    Raises:
        InputError: The images differ in size.
    """
    sizes = {tuple(sample["image"].shape[-2:]): sample["name"] for sample in samples}  # type: ignore[union-attr]
    if len(sizes) > 1:
        (first, first_name), (second, second_name) = list(sizes.items())[:2]
        raise InputError(
            f"Images of different sizes cannot share a batch: {first_name} is {first[1]} x "
            f"{first[0]} pixels, {second_name} is {second[1]} x {second[0]}. Add a crop or Resize "
            "to the transforms, or set batch_size (eval_batch_size for evaluation) to 1."
        )
    return default_collate(samples)
