"""PSANet (Zhao et al. 2018) on any timm encoder that supports dilation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import ConvNormReLU, he_initialization, resized_as


class PSANet(EncoderNetwork):
    """PSANet: each position learns from which others to collect and to which to distribute.

    A convolution predicts one score per position and relative offset. In the paper the offsets
    cover exactly one training crop, which restricts the network to that size. Here positions
    farther apart than the offsets reach do not attend to each other, so any image size works; on
    crops within reach it is the paper's network.

    Args:
        output_stride: Stride of the features; 8 in the paper.
        mask_size: Odd side of the square of relative offsets; by default just large enough for
            ``crop_size`` to connect all positions.
        channels: Channels of the attention and of the features.
        shrink: Downscaling factor of the map for the attention.
        dropout: Share of feature channels dropped in training.
        crop_size: Longer side in pixels of the training crops and of the test windows. The
            attention map has n = (crop_size - 1) // (output_stride * shrink) + 1 positions per
            side and so 2 n - 1 offsets: 59 for the 465 pixels of the paper and of Yin et al.
            (2022).

    Raises:
        InputError: An even ``mask_size``, a ``crop_size`` below 1; see `Encoder`.
    """

    def __init__(
        self,
        in_channels: int,
        encoder: str = "resnet50",
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int = 8,
        mask_size: int | None = None,
        channels: int = 512,
        shrink: int = 2,
        dropout: float = 0.1,
        checkpointing: bool = False,
        crop_size: int = 465,
    ) -> None:
        if mask_size is None:
            mask_size = _mask_size(crop_size, output_stride * shrink)
        if mask_size % 2 == 0 or mask_size < 1:
            raise InputError(
                f"mask_size is {mask_size}, but must be odd and positive: choose "
                f"{max(mask_size - 1, 1)} or {max(mask_size, 0) + 1}"
            )
        super().__init__(in_channels, encoder, pretrained, weights, output_stride, checkpointing)
        pyramid = self.encoder
        self.out_channels, self.stride = channels, output_stride
        self.shrink = shrink
        self.collect = _Branch(pyramid.channels[-1], channels, mask_size, distributes=False)
        self.distribute = _Branch(pyramid.channels[-1], channels, mask_size, distributes=True)
        self.project = ConvNormReLU(2 * channels, pyramid.channels[-1], kernel_size=1)
        self.decoder = nn.Sequential(
            ConvNormReLU(2 * pyramid.channels[-1], channels), nn.Dropout2d(dropout)
        )
        self.project.apply(he_initialization)
        self.decoder.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` and ``auxiliary``."""
        maps = self.encoder(image)
        x = maps[-1]
        attended = torch.cat([self.collect(x, self.shrink), self.distribute(x, self.shrink)], dim=1)
        joined = torch.cat([x, resized_as(self.project(attended), x)], dim=1)
        return {"decoder": self.decoder(joined), "auxiliary": maps[-2]}


class _Branch(nn.Module):
    """Collect or distribute branch, attention between all pairs of positions (section 3.3)."""

    def __init__(self, in_channels: int, channels: int, mask_size: int, distributes: bool) -> None:
        super().__init__()
        self.mask_size = mask_size
        self.distributes = distributes
        self.reduce = ConvNormReLU(in_channels, channels, kernel_size=1)
        self.scores = nn.Sequential(
            ConvNormReLU(channels, channels, kernel_size=1),
            nn.Conv2d(channels, mask_size**2, 1, bias=False),
        )

    def forward(self, x: Tensor, shrink: int) -> Tensor:
        """Map (B, in_channels, h, w) to (B, channels, h / shrink, w / shrink), rounded up."""
        x = self.reduce(x)
        if shrink > 1:
            size = [(side + shrink - 1) // shrink for side in x.shape[-2:]]
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        scores = between_positions(self.scores(x), self.mask_size)
        if self.distributes:  # scores at a position refer to targets, not sources
            scores = scores.transpose(1, 2)
        attention = scores.softmax(dim=1).to(x.dtype)
        return (x.flatten(2) @ attention).view_as(x)


def _mask_size(crop_size: int, stride: int) -> int:
    if crop_size < 1:
        raise InputError(f"crop_size is {crop_size}, but must be at least 1")
    positions = (crop_size - 1) // stride + 1
    return 2 * positions - 1


def between_positions(scores: Tensor, mask_size: int) -> Tensor:
    """Turn scores of relative offsets into scores of pairs of positions.

    Args:
        scores: (B, mask_size ** 2, h, w), for each position and offset.
        mask_size: Odd side of the square of offsets; the centre is offset 0.

    Returns:
        (B, h w, h w) with the scores at position j for each position i in column j; minus infinity
        where i is out of reach of j.
    """
    height, width = scores.shape[-2:]
    reach = mask_size // 2
    row = torch.arange(height, device=scores.device)
    column = torch.arange(width, device=scores.device)
    # Offsets from position j (last two dimensions) to position i (first two).
    down = (row[:, None] - row)[:, None, :, None]
    right = (column[:, None] - column)[None, :, None, :]
    reached = (down.abs() <= reach) & (right.abs() <= reach)
    index = (down.clamp(-reach, reach) + reach) * mask_size + right.clamp(-reach, reach) + reach
    index = index.reshape(1, height * width, height * width).expand(scores.shape[0], -1, -1)
    reached = reached.reshape(height * width, height * width)
    return scores.flatten(2).gather(1, index).masked_fill(~reached, float("-inf"))
