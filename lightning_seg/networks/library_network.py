"""Base class of networks that are whole models of another library."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lightning_seg.errors import InputError
from lightning_seg.networks.layers import BatchNorm
from lightning_seg.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network


class LibraryNetwork(Network):
    """Network whose feature is what a segmentation model of another library classifies.

    Args:
        in_channels: Number of image channels.
        model: Maps a normalised image (B, C, H, W) to the feature (B, out_channels, h, w).
        out_channels: Channels of the feature.
        size_multiple: See `Network`.
        size: Height and width of an image that the model accepts.
        normalized_stride: See `Network`.
        mean, std: See `Network`.

    Raises:
        InputError: The model does not run on an image of that size.
    """

    def __init__(
        self,
        in_channels: int,
        model: nn.Module,
        out_channels: int,
        size_multiple: int,
        size: tuple[int, int],
        normalized_stride: int = 1,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__(in_channels, mean, std)
        self.model = model
        self.out_channels = out_channels
        self.size_multiple = size_multiple
        self.normalized_stride = normalized_stride
        for module in model.modules():
            if type(module) is nn.BatchNorm2d:  # global pooling leaves one value for each image
                module.__class__ = BatchNorm
        self.stride = self._measured_stride(size)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``{"decoder": (B, out_channels, h, w)}``."""
        try:
            return {"decoder": self.model(image)}
        except (AssertionError, ValueError, RuntimeError) as error:
            # Models for images of one size, and pooling that leaves nothing of a small image.
            if isinstance(error, RuntimeError) and "too small" not in str(error):
                raise
            raise InputError(
                f"{type(self).__name__} cannot take an image of {image.shape[-2]} x "
                f"{image.shape[-1]} pixels ({one_line(error)}). Train and predict with windows of "
                "a size that its model accepts, or choose a model for any size"
            ) from error

    def _measured_stride(self, size: tuple[int, int]) -> int:
        """Return the stride of the feature, and freeze parameters that it does not depend on.

        Such parameters, for example a transformer's last norm, never get a gradient, for which
        training on several devices would wait. On the meta device nothing is computed but shapes.
        """
        named = dict(self.model.named_parameters())
        parameters = {
            name: torch.empty_like(p, device="meta").requires_grad_() for name, p in named.items()
        }
        buffers = {name: buffer.to("meta") for name, buffer in self.model.named_buffers()}
        with torch.device("meta"), torch.enable_grad():
            image = torch.empty(1, self.in_channels, *size)
            self.eval()
            maps = functional_call(self.model, parameters | buffers, (image,))
            self.train()
            reached: Any = torch.autograd.grad(
                maps.sum(), [*parameters.values()], allow_unused=True
            )
        for parameter, gradient in zip(named.values(), reached, strict=True):
            if gradient is None:
                parameter.requires_grad_(False)
        return size[0] // int(maps.shape[-2])


def check_options(options: Mapping[str, Any], known: Collection[str], model: str) -> None:
    """Raise InputError unless every option of a model is a known one."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
            hint = f"Did you mean {', '.join(near)}?" if near else f"It has {', '.join(known)}."
            raise InputError(f"{model} has no option {str(name)!r}. {hint}")


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks, at most 200 characters."""
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
