"""GSCNN (Takikawa et al. 2019) on any timm encoder that supports dilation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.networks.atrous_pyramid import AtrousPyramid
from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import BatchNorm, ConvNormReLU, he_initialization, resized_as


class GSCNN(EncoderNetwork):
    """Gated-SCNN: a gated shape stream at full resolution predicts the edges of classes.

    The shape stream starts from the finest encoder map; deeper maps gate it in three steps. Its
    edges and the gradients of the image are fused into the atrous pyramid of a DeepLab. The paper
    uses WideResNet-38; here any timm encoder takes its place (layers 3, 4 and 7 become the maps at
    strides 4 and 8 and the last one). The paper uses Canny edges; image gradients replace them,
    because they can be exported.

    The feature ``edge`` (B, 1, H, W) is the logit of an edge; `EdgeHead` supervises it.

    Args:
        output_stride: Stride of the atrous pyramid; 8 in the paper.
        rates: Dilations of the pyramid; by default 6, 12 and 18 at stride 16, doubled at stride 8
            and halved at stride 32.
        channels: Channels of the pyramid and of the decoder.
        low_level_channels: Channels of the reduced features at stride 4.
        shape_channels: Initial channels of the shape stream; each step halves them.
        dropout: Dropout rate after the pyramid.

    Raises:
        InputError: See `Encoder`; an encoder without features at strides 4 and 8.
    """

    stride = 4
    edge_channels = 1

    def __init__(
        self,
        in_channels: int,
        encoder: str = "wide_resnet50_2",
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int = 8,
        rates: Sequence[int] | None = None,
        channels: int = 256,
        low_level_channels: int = 48,
        shape_channels: int = 64,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(in_channels, encoder, pretrained, weights, output_stride, checkpointing)
        pyramid = self.encoder
        self.low_level = pyramid.index_of_stride(4)
        self.gating = (self.low_level, pyramid.index_of_stride(8), len(pyramid.channels) - 1)
        self.out_channels = channels
        self.feature_strides = {**self.feature_strides, "edge": 1}
        self.shape_stream = _ShapeStream(
            pyramid.channels[0], [pyramid.channels[i] for i in self.gating], shape_channels
        )
        self.edges = nn.Conv2d(2, 1, 1)
        self.edge_features = ConvNormReLU(1, channels, kernel_size=1)
        rates = rates or [rate * 16 // output_stride for rate in (6, 12, 18)]
        self.atrous_pyramid = AtrousPyramid(
            pyramid.channels[-1], channels, rates, dropout, extra_channels=channels
        )
        self.reduce = nn.Conv2d(pyramid.channels[self.low_level], low_level_channels, 1, bias=False)
        self.decoder = nn.Sequential(
            ConvNormReLU(channels + low_level_channels, channels), ConvNormReLU(channels, channels)
        )
        for module in (self.edge_features, self.atrous_pyramid, self.decoder):
            module.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder``, ``edge`` and ``auxiliary``."""
        maps = self.encoder(image)
        edge = self.shape_stream(resized_as(maps[0], image), [maps[i] for i in self.gating])
        gradients = gradient_magnitude(image * self.std)
        edges = self.edges(torch.cat([edge.sigmoid(), gradients], dim=1)).sigmoid()
        extra = self.edge_features(resized_as(edges, maps[-1]))
        low = self.reduce(maps[self.low_level])
        context = resized_as(self.atrous_pyramid(maps[-1], extra), low)
        decoder = self.decoder(torch.cat([low, context], dim=1))
        return {"decoder": decoder, "edge": edge, "auxiliary": maps[-2]}


class _ShapeStream(nn.Module):
    """Residual blocks with decreasing width, each followed by a gate (section 3.1)."""

    def __init__(self, in_channels: int, gating_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(in_channels, channels, 1)
        self.steps = nn.ModuleList()
        for gating in gating_channels:
            self.steps.append(_Step(channels, gating))
            channels //= 2
        self.leave = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return edge logits (B, 1, H, W) of the upsampled finest map and the gating maps."""
        x = self.enter(x)
        for step, gating in zip(self.steps, maps, strict=True):
            x = step(x, gating)
        edge: Tensor = self.leave(x)
        return edge


class _Step(nn.Module):
    """Residual block, reduction to half the channels, and a gate driven by an encoder map."""

    def __init__(self, channels: int, gating_channels: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.block = nn.Sequential(
            ConvNormReLU(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            BatchNorm(channels),
        )
        self.narrow = nn.Conv2d(channels, narrow, 1)
        self.gating = nn.Conv2d(gating_channels, 1, 1)
        self.gate = nn.Sequential(
            BatchNorm(narrow + 1),
            nn.Conv2d(narrow + 1, narrow + 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow + 1, 1, 1),
            BatchNorm(1),
            nn.Sigmoid(),
        )
        self.leave = nn.Conv2d(narrow, narrow, 1, bias=False)

    def forward(self, x: Tensor, gating: Tensor) -> Tensor:
        """Map (B, C, H, W) and a gating map (B, C', h, w) to (B, C / 2, H, W)."""
        x = self.narrow(F.relu(x + self.block(x)))
        openness = self.gate(torch.cat([x, resized_as(self.gating(gating), x)], dim=1))
        gated: Tensor = self.leave(x * (1 + openness))
        return gated


def gradient_magnitude(image: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient of the channel mean.

    Args:
        image: (B, C, H, W) floating point; borders are replicated.

    Returns:
        (B, 1, H, W), in image units per pixel: a straight edge from 0 to 1 gives 1/2 on both sides.
    """
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([sobel, sobel.T]).unsqueeze(1).to(image)
    grey = F.pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    squared = F.conv2d(grey, kernels).square().sum(dim=1, keepdim=True)
    return (squared + 1e-12).sqrt()  # the gradient of the root is infinite at 0
