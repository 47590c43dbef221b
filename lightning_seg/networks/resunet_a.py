"""ResUNet-a (Diakogiannis et al. 2020)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import InputError, check_choice
from lightning_seg.networks.layers import BatchNorm, ConvNorm
from lightning_seg.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network
from lightning_seg.networks.psp_pooling import PSPPooling
from lightning_seg.networks.recomputation import recomputed

Model = Literal["d6", "d7v1", "d7v2"]
Variant = Literal["paper", "code"]
Middle = Literal["psp", "max_pool", "none"]

_WIDE, _MEDIUM, _NARROW = (1, 3, 15, 31), (1, 3, 15), (1, 3, 5)
_MIDDLES: dict[Model, Middle] = {"d6": "psp", "d7v1": "max_pool", "d7v2": "psp"}
_DECODER_DILATIONS = {
    6: (_NARROW, _MEDIUM, _WIDE, _WIDE, _WIDE),
    7: ((1,), _MEDIUM, _WIDE, _WIDE, _WIDE, _WIDE),
}


class ResUNetA(Network):
    """ResUNet-a: a U-Net of residual blocks with parallel atrous convolutions.

    Layers 1 to 29 of Diakogiannis et al. (2020), tables 1 to 3. The second pyramid pooling and the
    outputs are heads (`PyramidPoolingHead`, `MultiTaskHead`, `ConditionedMultiTaskHead`). Table 1
    gives the decoder blocks a single branch, which contradicts the stated 52 million parameters.
    The authors' code has several branches there, and so does this network (52.9 million parameters
    with five bands, six classes and the single-task head; 164.2 million for d7v2).

    Args:
        in_channels: Number of image channels.
        model: ``d6`` halves the map five times, ``d7v1`` and ``d7v2`` six times. Between encoder
            and decoder ``d6`` and ``d7v2`` have pyramid pooling, ``d7v1`` max-pooling.
        initial_filters: Channels at full resolution, doubled at each halving; 32 in the paper.
        decoder_dilations: Dilations of the decoder's blocks, deepest first, one convolution branch
            each; by default those of the authors' code. ``[[1], [1], [1], [1], [1]]`` is table 1.
        down_kernel: Kernel size of the downsampling convolutions: 1 in the paper, 3 in the code.
        variant: ``code`` follows the authors' code: the first convolution has batch normalisation,
            the fourth block has dilation 5 instead of 15, upsampling halves the channels once more,
            and layer 29 concatenates without a convolution (``out_channels`` is twice
            ``initial_filters``).
        checkpointing: Recompute the activations of the blocks in the backward pass instead of
            keeping them: less memory, a third more time.
        mean: Per-channel mean of the images in [0, 1].
        std: Per-channel standard deviation of the images.
        encoder_dilations: Dilations of the encoder's blocks, finest first, one convolution branch
            each; by default table 1's, ``[[1, 3, 15, 31], [1, 3, 15, 31], [1, 3, 15], [1, 3, 15],
            [1], [1]]`` for d6. Dilations of 1 in as many branches give a network of the same
            size without atrous convolutions.
        middle: Pooling between encoder and decoder: ``psp``, ``max_pool`` or ``none``; by default
            that of ``model``.

    Raises:
        InputError: An unknown model, variant, kernel or middle, or dilations for another depth.
    """

    stride = 1

    def __init__(
        self,
        in_channels: int,
        model: Model = "d6",
        initial_filters: int = 32,
        decoder_dilations: Sequence[Sequence[int]] | None = None,
        down_kernel: Literal[1, 3] = 1,
        variant: Variant = "paper",
        checkpointing: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        encoder_dilations: Sequence[Sequence[int]] | None = None,
        middle: Middle | None = None,
    ) -> None:
        super().__init__(in_channels, mean, std)
        check_choice("model", model, Model)
        check_choice("variant", variant, Variant)
        check_choice("down_kernel", down_kernel, Literal[1, 3])
        middle = middle or _MIDDLES[model]
        check_choice("middle", middle, Middle)
        code = variant == "code"
        depth = 6 if model == "d6" else 7
        of_encoder = encoder_dilations or [
            *(_WIDE, _WIDE, _MEDIUM, _NARROW if code else _MEDIUM),
            *[(1,)] * (depth - 4),
        ]
        of_decoder = decoder_dilations or _DECODER_DILATIONS[depth]
        _check_dilations("encoder", of_encoder, model, depth, "finest")
        _check_dilations("decoder", of_decoder, model, depth - 1, "deepest")
        self.size_multiple = self.normalized_stride = 2 ** (depth - 1)
        self.checkpointing = checkpointing
        widths = [initial_filters * 2**level for level in range(depth)]

        self.stem: nn.Module = nn.Conv2d(in_channels, initial_filters, 1)
        if code:
            self.stem = nn.Sequential(ConvNorm(in_channels, initial_filters), nn.ReLU())
        self.encoder = nn.ModuleList(
            ResBlockA(width, rates) for width, rates in zip(widths, of_encoder, strict=True)
        )
        self.down = nn.ModuleList(_Down(width, down_kernel, bias=not code) for width in widths[:-1])
        self.middle = _middle(middle, widths[-1], depth)
        self.up = nn.ModuleList()
        self.combine = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for width, rates in zip(widths[-2::-1], of_decoder, strict=True):
            raised = width // 2 if code else width
            self.up.append(_UpSample(2 * width, raised))
            self.combine.append(_Combine(raised + width, width))
            self.decoder.append(ResBlockA(width, rates))
        self.last = _Concat() if code else _Combine(2 * initial_filters, initial_filters)
        self.out_channels = 2 * initial_filters if code else initial_filters

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` (B, out_channels, H, W), layer 29."""
        stem = self.stem(image)
        skips = [recomputed(self.encoder[0], stem, self.checkpointing)]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            skips.append(recomputed(block, down(skips[-1]), self.checkpointing))
        x = self.middle(skips.pop())
        for up, combine, block in zip(self.up, self.combine, self.decoder, strict=True):
            x = recomputed(block, combine(up(x), skips.pop()), self.checkpointing)
        return {"decoder": self.last(x, stem)}


class ResBlockA(nn.Module):
    """Residual block with one branch per dilation (figure 1b).

    Each branch has batch normalisation, ReLU and a dilated 3 x 3 convolution, twice.

    Args:
        channels: Channels of input and output.
        dilations: Dilation of each branch.
    """

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(channels, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        total = x
        for branch in self.branches:
            total = total + branch(x)
        return total


def _branch(channels: int, dilation: int) -> nn.Module:
    def conv(bias: bool) -> nn.Module:
        return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=bias)

    return nn.Sequential(
        BatchNorm(channels), nn.ReLU(), conv(bias=False),
        BatchNorm(channels), nn.ReLU(), conv(bias=True),
    )  # fmt: skip


class _Down(nn.Module):
    """Convolution that halves the map and doubles its channels."""

    def __init__(self, channels: int, kernel_size: int, bias: bool) -> None:
        super().__init__()
        self.pointwise = kernel_size == 1
        stride = 1 if self.pointwise else 2
        self.conv = nn.Conv2d(
            channels, 2 * channels, kernel_size, stride, padding=kernel_size // 2, bias=bias
        )

    def forward(self, x: Tensor) -> Tensor:
        # Equals a stride of 2, for which oneDNN 3.13 writes out of bounds in the gradient of 1 x 1
        # convolutions with fewer than 16 channels in channels-last layout.
        x = x[..., ::2, ::2] if self.pointwise else x
        halved: Tensor = self.conv(x)
        return halved


class _UpSample(nn.Module):
    """Nearest-neighbour upsampling by 2 and a 1 x 1 convolution with batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        # Convolving the small map first gives the same result at a quarter of the cost.
        return F.interpolate(self.conv(x), scale_factor=2, mode="nearest")


class _Combine(nn.Module):
    """Fusion of two maps by a convolution, the first after a ReLU (table 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        combined: Tensor = self.conv(torch.cat([F.relu(x), skip], dim=1))
        return combined


class _Concat(nn.Module):
    """Concatenation of two maps."""

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([skip, x], dim=1)


class _MaxPooledContext(nn.Module):
    """Fusion of a map with its maxima over 2 x 2 pixels (table 3, layers C to F)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = _pair_maxima(_pair_maxima(x, 2), 3)
        joined: Tensor = self.conv(F.relu(torch.cat([pooled, x], dim=1)))
        return joined


def _pair_maxima(x: Tensor, dim: int) -> Tensor:
    """Replace each value by the maximum of its pair: pooling by 2 and nearest upsampling."""
    index = torch.arange(x.shape[dim], device=x.device)
    other = (index + 1 - 2 * (index % 2)).clamp(max=x.shape[dim] - 1)
    return torch.maximum(x, x.index_select(dim, other))


def _middle(middle: Middle, channels: int, depth: int) -> nn.Module:
    if middle == "none":
        return nn.Identity()
    if middle == "max_pool":
        return _MaxPooledContext(channels)
    grids = (1, 2, 4, 8) if depth == 6 else (1, 2, 4)
    return nn.Sequential(PSPPooling(channels, channels, grids), nn.ReLU())


def _check_dilations(
    part: str, dilations: Sequence[Sequence[int]], model: Model, blocks: int, first: str
) -> None:
    if len(dilations) != blocks:
        raise InputError(
            f"{part}_dilations has {len(dilations)} lists, but {model} has {blocks} blocks in its "
            f"{part}; give each the list of its dilations, {first} first"
        )
    if any(not rates or min(rates) < 1 for rates in dilations):
        raise InputError(
            f"{part}_dilations is {[list(rates) for rates in dilations]}, but every block needs a "
            "list of one or more dilations of 1 or more"
        )
