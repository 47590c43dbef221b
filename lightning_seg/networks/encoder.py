"""Any timm model with ``features_only`` as a pyramid of feature maps."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn

from lightning_seg.errors import InputError

_downloads_allowed: ContextVar[bool] = ContextVar("downloads_allowed", default=True)


@contextmanager
def no_pretrained_weights() -> Iterator[None]:
    """Within it encoders ignore ``pretrained``: a checkpoint is about to fill them anyway."""
    token = _downloads_allowed.set(False)
    try:
        yield
    finally:
        _downloads_allowed.reset(token)


class Encoder(nn.Module):
    """Feature pyramid of a timm model, finest map first.

    Args:
        name: A timm model name (``resnet18``, ``convnext_tiny``, ``vgg16_bn``, ...).
        in_channels: Number of image channels; timm adapts pretrained first layers to it.
        pretrained: Load timm's pretrained weights (needs the network or timm's cache).

    Attributes:
        channels: Channels of each map.
        strides: Stride of each map relative to the image.
        mean, std: The normalisation that the weights were trained with.

    Raises:
        InputError: Unknown model name, a model without feature maps, or weights that cannot be
            had.
    """

    def __init__(self, name: str, in_channels: int, pretrained: bool = False) -> None:
        super().__init__()
        self.model = _create(name, in_channels, pretrained and _downloads_allowed.get())
        info: Any = self.model.feature_info
        self.channels: list[int] = info.channels()
        self.strides: list[int] = info.reduction()
        self.mean, self.std = _normalization(name)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image (B, C, H, W), normalised, to maps (B, channels[i], H/strides[i], W/strides[i])."""
        maps: list[Tensor] = self.model(image)
        # Some transformers (Swin) put channels last.
        return [
            m if m.shape[1] == c or m.shape[-1] != c else m.permute(0, 3, 1, 2).contiguous()
            for m, c in zip(maps, self.channels, strict=True)
        ]


def _create(name: str, in_channels: int, pretrained: bool) -> nn.Module:
    import timm  # slow to import, and only needed here

    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise InputError(f"timm {timm.__version__} has no encoder named {name!r}.{hint}")
    try:
        return timm.create_model(
            name, features_only=True, in_chans=in_channels, pretrained=pretrained
        )
    except Exception as error:
        if not pretrained:
            raise InputError(
                f"timm's {name!r} gives no pyramid of feature maps ({error}); choose an encoder "
                "that supports features_only, such as resnet34 or convnext_tiny."
            ) from error
        raise InputError(
            f"the pretrained weights of the encoder {name!r} could not be loaded ({error}). "
            "Without a network connection set pretrained: false, or fill timm's cache first."
        ) from error


def _normalization(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None:
        config = timm.models.PretrainedCfg()
    return tuple(config.mean), tuple(config.std)
