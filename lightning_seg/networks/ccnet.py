"""CCNet (Huang et al. 2019) over any timm encoder that dilates."""

import torch
from torch import Tensor, nn

from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import ConvNormReLU, he_initialization

EXCLUDED = -1e4  # acts as minus infinity for a score, and is finite in half precision


class CCNet(EncoderNetwork):
    """CCNet: recurrent attention of each position to its row and column, and so to the whole map.

    Args:
        output_stride: Stride of the attention and of the features; 8 in the paper.
        channels: Channels of the attention and of the features.
        recurrence: Number of applications of the attention, with shared weights; 2 connects all
            positions.
        dropout: Share of feature channels dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        encoder: str = "resnet101",
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int = 8,
        channels: int = 512,
        recurrence: int = 2,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(in_channels, encoder, pretrained, weights, output_stride, checkpointing)
        pyramid = self.encoder
        self.out_channels, self.stride = channels, output_stride
        self.recurrence = recurrence
        self.reduce = ConvNormReLU(pyramid.channels[-1], channels)
        self.attention = CrissCrossAttention(channels)
        self.after = ConvNormReLU(channels, channels)
        self.decoder = nn.Sequential(
            ConvNormReLU(pyramid.channels[-1] + channels, channels), nn.Dropout2d(dropout)
        )
        for module in (self.reduce, self.after, self.decoder):
            module.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` and ``auxiliary``."""
        maps = self.encoder(image)
        x = self.reduce(maps[-1])
        for _ in range(self.recurrence):
            x = self.attention(x)
        joined = torch.cat([maps[-1], self.after(x)], dim=1)
        return {"decoder": self.decoder(joined), "auxiliary": maps[-2]}


class CrissCrossAttention(nn.Module):
    """Attention of each position to its row and column (section 3.2).

    Memory grows with h w (h + w) instead of (h w)^2.

    Args:
        channels: Channels of the map; queries and keys have an eighth of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 8, 1)
        self.query = nn.Conv2d(channels, narrow, 1)
        self.key = nn.Conv2d(channels, narrow, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape; the identity at the start of training."""
        # As (B, h, w, C) for rows, and as (B, w, h, C) for columns.
        query, key, value = (
            convolution(x).permute(0, 2, 3, 1) for convolution in (self.query, self.key, self.value)
        )
        of_row, row_weight = _attention(query @ key.transpose(2, 3), value)
        query, key, value = (maps.transpose(1, 2) for maps in (query, key, value))
        # The row already contains the position itself, so exclude it from the column. (A single
        # baddbmm, because the export of dynamic heights cannot prove the strides of other forms.)
        itself = torch.eye(x.shape[2], dtype=query.dtype, device=x.device) * EXCLUDED
        scores = torch.baddbmm(itself, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2))
        scores = scores.unflatten(0, (x.shape[0], x.shape[3]))
        of_column, column_weight = _attention(scores, value)
        # A softmax over both equals two, weighted by the softmax of their log-sum-exps.
        share = (row_weight - column_weight.transpose(1, 2)).sigmoid()
        seen = share * of_row + (1 - share) * of_column.transpose(1, 2)
        return x + self.scale * seen.permute(0, 3, 1, 2)


def _attention(scores: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attend to values (..., n, C) by scores (..., m, n); also return the log-sum-exp."""
    mean = scores.softmax(dim=3).to(value.dtype) @ value
    return mean, scores.logsumexp(dim=3, keepdim=True)
