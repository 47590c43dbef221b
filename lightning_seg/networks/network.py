"""Base class of the networks."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# True while torch.export traces. In torch 2.6 also true in torch.compile.
is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", torch.compiler.is_compiling
)


class Network(nn.Module):
    """Maps an image to features for a head.

    `forward` accepts any height and width. It normalises the image, pads it at the bottom and on
    the right to a multiple of ``size_multiple``, calls `features`, and crops every feature to the
    size of the image divided by the stride of the feature, rounded up. Subclasses implement
    `features`.

    Args:
        in_channels: Number of image channels.
        mean: Per-channel mean of the images in [0, 1]; repeated cyclically for more channels.
        std: Per-channel standard deviation; repeated cyclically for more channels.

    Attributes:
        out_channels: Channels of the feature ``decoder``.
        stride: Stride of the features relative to the image.
        feature_strides: Strides by name of the features with another stride.
        auxiliary_channels: Channels of the feature ``auxiliary``; 0 if there is none.
        edge_channels: Channels of the feature ``edge``; 0 if there is none.
        size_multiple: Height and width passed to `features` are multiples of this, a multiple of
            every feature's stride; 1 if any size works.
        normalized_stride: Stride of the coarsest batch-normalised map. In training that map must
            have more than one value per channel.
    """

    out_channels: int
    stride: int
    feature_strides: Mapping[str, int] = MappingProxyType({})
    auxiliary_channels: int = 0
    edge_channels: int = 0
    size_multiple: int = 1
    normalized_stride: int = 1
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        in_channels: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.register_buffer("mean", _per_channel(mean, in_channels), persistent=False)
        self.register_buffer("std", _per_channel(std, in_channels), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map an image (B, C, H, W) in [0, 1] to features (B, C', ceil(H / stride), ...)."""
        x = self.normalize(image)
        self._check_size(x)
        if self.size_multiple == 1:
            return self.features(x)
        height, width = x.shape[-2:]
        x = _extend(_extend(x, -2, self._padded(height)), -1, self._padded(width))
        cropped = {}
        for name, maps in self.features(x).items():
            stride = self.feature_strides.get(name, self.stride)
            maps = _shorten(maps, -2, _quotient(height, stride))
            cropped[name] = _shorten(maps, -1, _quotient(width, stride))
        return cropped

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return the features of a normalised image whose size is a multiple of ``size_multiple``.

        Args:
            image: (B, C, H, W); H and W are multiples of ``size_multiple``.

        Returns:
            Dict with at least ``decoder`` (B, out_channels, H / stride, W / stride), rounded up;
            some networks add ``auxiliary`` or ``edge``.
        """
        raise NotImplementedError

    def normalize(self, image: Tensor) -> Tensor:
        """Return ``(image - mean) / std`` per channel; image (B, C, H, W) in [0, 1]."""
        if image.shape[1] != self.in_channels:
            raise InputError(
                f"the image has {image.shape[1]} channels but the network was built for "
                f"{self.in_channels}; set in_channels to the data's number of bands"
            )
        return (image - self.mean) / self.std

    def _padded(self, length: int) -> int:
        return _quotient(length, self.size_multiple) * self.size_multiple

    def _check_size(self, image: Tensor) -> None:
        batch, _, height, width = image.shape
        if height < 1 or width < 1:
            raise InputError(
                f"the image is {height} x {width} pixels, but the minimum is 1 x 1; "
                "check the crop that it comes from"
            )
        least = self.normalized_stride + 1
        if self.training and batch == 1 and max(self._padded(height), self._padded(width)) < least:
            raise InputError(
                f"a single image of {height} x {width} pixels cannot be trained on: batch "
                f"normalisation at stride {self.normalized_stride} has a single value per channel. "
                f"Give images of at least {least} pixels on one side, or a batch of two"
            )


def _quotient(length: int, divisor: int) -> int:
    """Divide positive integers, rounding up; ONNX rounds negative ones differently."""
    return (length + divisor - 1) // divisor


def _extend(image: Tensor, dim: int, length: int) -> Tensor:
    """Pad the end of a dimension by reflection to a length; repeat once the image is exhausted."""
    # Index instead of F.pad: without size-dependent branches one export serves every size.
    last = image.shape[dim] - 1
    index = torch.arange(length, device=image.device)
    return image.index_select(dim, (last - (index - last).abs()).clamp(min=0))


def _shorten(maps: Tensor, dim: int, length: int) -> Tensor:
    """Crop a dimension to a length."""
    if is_exporting():  # which would have to prove the bounds of a slice
        return maps.index_select(dim, torch.arange(length, device=maps.device))
    return maps.narrow(dim, 0, length)


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    cycled = [values[i % len(values)] for i in range(channels)]
    return torch.tensor(cycled, dtype=torch.float32).view(1, -1, 1, 1)
