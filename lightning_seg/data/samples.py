"""Samples from pairs of image and label files."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from lightning_seg.data.reading.image_files import image_size
from lightning_seg.data.reading.pair_reader import PairReader, as_decimals
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.transforms import TransformPipeline, draw_seed
from lightning_seg.errors import InputError

Sample = dict[str, torch.Tensor | str | dict[str, torch.Tensor]]


class PairDataset(Dataset[Sample]):
    """Whole images with their masks.

    A sample is a dict: ``image`` float32 (C, H, W) in [0, 1], ``mask`` int64 (H, W) of 0..K-1 and
    255 for ignored pixels (only if the pair has a label), or (K, H, W) of 0, 1 and 255 with several
    labels per pixel, and ``name`` str. Without a label it also has ``size`` int64 (2,), the height
    and width of the image before transforms, and where transforms pad, ``content`` int64 (4,), the
    row, column, height and width of the image in its padding.

    Args:
        pairs: The files.
        reader: Reads them.
        pipeline: Transforms for image and mask.
        training: Draws new random transforms at every access; otherwise a sample's random
            transforms are always the same.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        reader: PairReader,
        pipeline: TransformPipeline,
        training: bool = False,
    ) -> None:
        self.pairs = tuple(pairs)
        self.reader = reader
        self.pipeline = pipeline
        self.training = training

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        image, mask = self.reader.image(pair), self.reader.mask(pair)
        seed = draw_seed(index) if self.training else index
        padded = mask is None and self.pipeline.pads
        content = self.pipeline.place_of(image, seed, pair.image) if padded else None
        image, mask, extra_channel = self.pipeline.apply(
            image, mask, self.reader.extra_channel(pair), seed, pair.image
        )
        sample = make_sample(image, mask, extra_channel, name=pair.name)
        if mask is None:
            sample["size"] = torch.tensor(image_size(pair.image))
        if content is not None:
            sample["content"] = torch.tensor(content)
        return sample


def make_sample(
    image: np.ndarray, mask: np.ndarray | None, extra_channel: np.ndarray | None, *, name: str
) -> Sample:
    """Return a sample's tensors from arrays.

    Args:
        image: (H, W, C) uint8 or float32 in [0, 1].
        mask: (H, W) uint8, or (H, W, K) with several labels per pixel.
        extra_channel: (H, W, 1) float32 in [0, 1], appended to the image's channels.
        name: The sample's name.
    """
    if extra_channel is not None:
        image = np.concatenate([as_decimals(image), extra_channel], axis=2)
    # Transforms may return views with strides that torch does not support.
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    scaled = tensor.float().div_(255.0) if tensor.dtype == torch.uint8 else tensor.float()
    sample: Sample = {"image": scaled, "name": name}
    if mask is not None:
        mask = mask if mask.ndim == 2 else mask.transpose(2, 0, 1)
        sample["mask"] = torch.from_numpy(np.ascontiguousarray(mask)).long()
    return sample


def collate(samples: list[Sample]) -> dict[str, torch.Tensor | list[str]]:
    """Stack samples into a batch."""
    sizes = {tuple(sample["image"].shape[-2:]): sample["name"] for sample in samples}  # type: ignore[union-attr]
    if len(sizes) > 1:
        (first, first_name), (second, second_name) = list(sizes.items())[:2]
        raise InputError(
            f"Images of different sizes cannot share a batch: {first_name} is {first[1]} x "
            f"{first[0]} pixels, {second_name} is {second[1]} x {second[0]}. Set crop_size, add a "
            "crop or Resize to the transforms, or set batch_size to 1."
        )
    return default_collate(samples)
