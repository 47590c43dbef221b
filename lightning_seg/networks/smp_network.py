"""Any architecture of segmentation-models-pytorch."""

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from lightning_seg.errors import InputError, needs
from lightning_seg.networks.encoder import check_name, normalization
from lightning_seg.networks.library_network import LibraryNetwork, check_options, one_line
from lightning_seg.networks.network import IMAGENET_MEAN, IMAGENET_STD
from lightning_seg.networks.pretrained import pretrained_weights_wanted

# Set by this class, or of the classifier, which a head replaces.
_OWN = {
    "self", "kwargs", "in_channels", "encoder_name", "encoder_weights", "classes", "activation",
    "upsampling", "aux_params",
}  # fmt: skip
_OF_TIMM = ("dynamic_img_size", "img_size", "drop_rate", "drop_path_rate")


class SMPNetwork(LibraryNetwork):
    """Encoder and decoder of segmentation-models-pytorch (smp); a head replaces the classifier.

    Requires ``pip install 'lightning_seg[smp]'``.

    Args:
        in_channels: Number of image channels; pretrained first layers are adapted to it.
        architecture: Name of a class of smp: ``UnetPlusPlus``, ``MAnet``, ``FPN``, ``UPerNet``,
            ``Segformer``, ``DPT``, ``DeepLabV3Plus``, ...
        encoder: Name of an encoder of smp, or ``tu-NAME`` for a model of timm.
        pretrained: Load the encoder's weights (needs internet access or a cache): those of
            ImageNet, or of another name that smp has for this encoder.
        options: Further arguments of the architecture by name, such as ``decoder_channels``; of
            timm's models also ``dynamic_img_size``, ``img_size``, ``drop_rate`` and
            ``drop_path_rate``. A ViT takes images of any size with ``dynamic_img_size: true``.
        mean: Mean of the normalisation; by default timm's for ``tu-NAME``, else ImageNet's.
        std: Standard deviation of the normalisation; the same.

    Raises:
        InputError: smp is not installed; an unknown architecture, encoder or option; weights that
            cannot be loaded.
    """

    def __init__(
        self,
        in_channels: int,
        architecture: str = "UnetPlusPlus",
        encoder: str = "resnet34",
        pretrained: bool | str = False,
        options: dict[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        made = _create(in_channels, architecture, encoder, pretrained, options or {})
        classifier = made.segmentation_head
        made.segmentation_head = nn.Identity()
        first = next(module for module in classifier.modules() if isinstance(module, nn.Conv2d))
        # DPT halves the resolution of the patches once more.
        multiple = made.encoder.output_stride * (2 if architecture == "DPT" else 1)
        usual: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGENET_MEAN, IMAGENET_STD)
        if encoder.startswith("tu-"):
            usual = normalization(encoder.removeprefix("tu-"))
        side = 8 * multiple
        fixed = getattr(made.encoder, "input_size", None)
        size = tuple(fixed[1:]) if fixed else (side, side)
        normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in made.encoder.modules())
        super().__init__(
            in_channels, made, first.in_channels, multiple, size, multiple if normed else 1,
            mean or usual[0], std or usual[1],
        )  # fmt: skip


def _create(
    in_channels: int, name: str, encoder: str, pretrained: bool | str, options: dict[str, Any]
) -> Any:
    with needs("smp", "SMPNetwork"):
        import segmentation_models_pytorch as smp
    kinds = smp.MODEL_ARCHITECTURES_MAPPING
    kind = {kind.__name__: kind for kind in kinds.values()}.get(name)
    if kind is None:
        names = ", ".join(kind.__name__ for kind in kinds.values())
        raise InputError(
            f"architecture: segmentation-models-pytorch has no {name!r}; it has {names}"
        )
    _check_encoder(encoder, smp.encoders.get_encoder_names())
    known = [option for option in inspect.signature(kind.__init__).parameters if option not in _OWN]
    check_options(options, [*known, *(_OF_TIMM if encoder.startswith("tu-") else ())], name)
    weights = ("imagenet" if pretrained is True else pretrained) or None
    try:
        return kind(
            encoder_name=encoder,
            encoder_weights=weights if pretrained_weights_wanted() else None,
            in_channels=in_channels,
            **options,
        )
    except Exception as error:
        hint = ""
        if weights is not None:
            hint = ". Without a network connection set pretrained: false"
        raise InputError(
            f"segmentation-models-pytorch cannot make {name} with the encoder {encoder!r}: "
            f"{one_line(error)}{hint}"
        ) from error


def _check_encoder(encoder: str, known: Sequence[str]) -> None:
    if encoder.startswith("tu-"):
        check_name(encoder.removeprefix("tu-"))
    elif encoder not in known:
        near = difflib.get_close_matches(encoder, known, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise InputError(
            f"segmentation-models-pytorch has no encoder named {encoder!r}.{hint} Models of timm "
            "are named tu-NAME"
        )
