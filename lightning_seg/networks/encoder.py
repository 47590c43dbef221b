"""Feature pyramid of any timm model that supports ``features_only``."""

import difflib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError, needs
from lightning_seg.networks.network import Network
from lightning_seg.networks.pretrained import pretrained_weights_wanted
from lightning_seg.networks.recomputation import recomputed

OUTPUT_STRIDES = (8, 16, 32)


class Encoder(nn.Module):
    """Feature pyramid of a timm model, finest map first.

    Args:
        name: Name of a timm model (``resnet18``, ``convnext_tiny``, ``vgg16_bn``, ...).
        in_channels: Number of image channels; pretrained first layers are adapted to it.
        pretrained: Load timm's pretrained weights (needs internet access or timm's cache).
        weights: File with a state dict of this timm model (``.safetensors``, ``.pth``), loaded
            instead of timm's own pretrained weights.
        output_stride: Stride of the last map, 8, 16 or 32: later stages dilate their convolutions
            instead of striding. None leaves the model as it is.
        checkpointing: Recompute the activations of the blocks in the backward pass instead of
            keeping them: less memory, a third more time.
        last_convolution: Apply the 1 x 1 convolution after the last stage of a MobileNet or
            EfficientNet to the last map (1,280 channels in MobileNetV2).
        dilate_first: With ``output_stride``, use one dilation for all convolutions of a stage.
            Otherwise, as in DeepLab, the convolution whose stride is removed keeps the dilation of
            the previous stage.

    Attributes:
        channels: Channels of each map.
        strides: Stride of each map relative to the image.
        mean, std: Normalisation that the weights were trained with.
        normalized_stride: Stride of the last map if the model has batch normalisation, else 1.

    Raises:
        InputError: An unknown model, a model without feature maps, an unsupported stride, weights
            that cannot be loaded or do not fit, a model without blocks to checkpoint, or without
            a convolution after the last stage.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int | None = None,
        checkpointing: bool = False,
        last_convolution: bool = False,
        dilate_first: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        check_name(name)
        wanted = pretrained_weights_wanted()
        source = pretrained and wanted, weights if wanted else None
        options: dict[str, Any] = {"in_chans": in_channels}
        self.model = _create(
            name, *source, options | {"features_only": True} | _striding(name, output_stride)
        )
        info: Any = self.model.feature_info
        self.channels: list[int] = info.channels()
        self.last: nn.Module | None = None
        if last_convolution:
            self.last = _last_convolution(name, _create(name, *source, options))
            self.channels[-1] = self.last[0].out_channels
        if dilate_first:
            _unify_dilation(self.model)
        self.strides: list[int] = info.reduction()
        self.mean, self.std = normalization(name)
        normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.modules())
        self.normalized_stride = self.strides[-1] if normed else 1
        self.checkpointing = checkpointing
        if checkpointing and not any(_has_blocks(m) for m in self._stages().values()):
            raise InputError(
                f"checkpointing: true, but the encoder {name!r} does not support it; set "
                "checkpointing: false, or choose one whose stages are lists of blocks: resnet50"
            )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map a normalised image (B, C, H, W) to maps (B, channels[i], H/strides[i], W/strides[i]).

        If H or W is not a multiple of a stride, some models round up and others down.
        """
        try:
            maps: list[Tensor] = (
                self._recomputed(image) if self.checkpointing else self.model(image)
            )
        except AssertionError as error:  # timm models assert on unsupported sizes
            raise InputError(
                f"the encoder {self.name!r} cannot take an image of {image.shape[-2]} x "
                f"{image.shape[-1]} pixels ({error}). Train and predict with windows of a size it "
                "accepts, or choose an encoder for any size, such as resnet34 or convnext_tiny"
            ) from error
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":  # Swin, MambaOut
            maps = [m.permute(0, 3, 1, 2).contiguous() for m in maps]
        if self.last is not None:
            maps[-1] = self.last(maps[-1])
        return maps

    def index_of_stride(self, stride: int) -> int:
        """Return the index of the first map with this stride, or raise InputError."""
        if stride not in self.strides:
            raise InputError(
                f"the encoder {self.name!r} has maps at strides {self.strides}, but one at "
                f"{stride} is needed; choose an encoder such as resnet50 or mobilenetv2_100"
            )
        return self.strides.index(stride)

    def _stages(self) -> dict[str, nn.Module]:
        """Return the modules in call order if timm stores the model as a list, else nothing."""
        from timm.models import FeatureHookNet, FeatureListNet

        if isinstance(self.model, FeatureListNet | FeatureHookNet) and "body" not in self.model:
            return dict(self.model.items())
        return {}

    def _recomputed(self, image: Tensor) -> list[Tensor]:
        taps: Any = getattr(self.model, "return_layers", {})
        x: Any = image
        maps = []
        for name, stage in self._stages().items():
            for block in stage if isinstance(stage, nn.Sequential) else [stage]:
                x = recomputed(block, x) if _has_blocks(block) else block(x)
            if name in taps:
                maps.append(x[0] if isinstance(x, tuple | list) else x)  # as timm does
        hooks: Any = getattr(self.model, "hooks", None)  # Xception's maps are inside its blocks
        return maps if hooks is None else list(hooks.get_output(image.device).values())


class EncoderNetwork(Network):
    """Network on a timm encoder, with the normalisation of the encoder.

    Images are padded to a multiple of the encoder's last stride, so that maps of all strides align
    exactly.

    Args:
        in_channels: Number of image channels.
        encoder: Name of a timm model.
        pretrained: Load timm's pretrained encoder weights.
        weights: File with encoder weights to load instead, see `Encoder`.
        output_stride: Stride of the encoder's last map; None leaves the model as it is.
        checkpointing: Recompute the encoder's activations in the backward pass to save memory.
        last_convolution: See `Encoder`.
        dilate_first: See `Encoder`.
        auxiliary: Offer the encoder's second-to-last map, the third stage of a ResNet, as the
            feature ``auxiliary``.

    Raises:
        InputError: See `Encoder`.
    """

    def __init__(
        self,
        in_channels: int,
        encoder: str,
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int | None = None,
        checkpointing: bool = False,
        last_convolution: bool = False,
        dilate_first: bool = False,
        auxiliary: bool = True,
    ) -> None:
        pyramid = Encoder(
            encoder, in_channels, pretrained, weights, output_stride, checkpointing,
            last_convolution, dilate_first,
        )  # fmt: skip
        super().__init__(in_channels, pyramid.mean, pyramid.std)
        self.encoder = pyramid
        self.size_multiple = pyramid.strides[-1]
        self.normalized_stride = pyramid.normalized_stride
        if auxiliary:
            self.auxiliary_channels = pyramid.channels[-2]
            self.feature_strides = {"auxiliary": pyramid.strides[-2]}


def _has_blocks(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _last_convolution(name: str, whole: nn.Module) -> nn.Sequential:
    """Return convolution, norm and activation between the last stage and the classifier."""
    conv, norm = getattr(whole, "conv_head", None), getattr(whole, "bn2", None)
    if not isinstance(conv, nn.Conv2d) or norm is None:
        raise InputError(
            f"last_convolution: true, but the encoder {name!r} has no convolution after its last "
            "stage; set last_convolution: false, or choose a MobileNetV2 or an EfficientNet, such "
            "as mobilenetv2_100"
        )
    return nn.Sequential(conv, norm)


def _unify_dilation(model: nn.Module) -> None:
    """Give all convolutions of a stage, except 1 x 1, the largest dilation among them."""
    for name, stage in model.named_modules():
        if not re.fullmatch(r"layer\d+|blocks\.\d+", name):
            continue
        convs = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and max(m.kernel_size) > 1]
        dilation = max((conv.dilation[0] for conv in convs), default=1)
        for conv in convs:
            if conv.dilation[0] != dilation:
                conv.dilation = (dilation, dilation)
                if isinstance(conv.padding, tuple) and any(conv.padding):
                    conv.padding = tuple(dilation * (side // 2) for side in conv.kernel_size)


def _timm() -> Any:
    with needs("train", "An encoder"):
        import timm  # slow to import, and only needed here
    return timm


def _create(
    name: str, pretrained: bool, weights: str | Path | None, options: dict[str, Any]
) -> nn.Module:
    timm = _timm()

    if weights is not None:
        return _with_weights(name, Path(weights), options)
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:
        if not pretrained:
            raise _no_pyramid(name, error) from error
        raise InputError(
            f"the pretrained weights of the encoder {name!r} could not be loaded ({error}). "
            "Without a network connection set pretrained: false, fill timm's cache first, or give "
            "a file as weights: /path/to/file.safetensors."
        ) from error


def check_name(name: str) -> None:
    """Raise InputError unless timm has a model of this name."""
    timm = _timm()

    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise InputError(f"timm {timm.__version__} has no encoder named {name!r}.{hint}")


def _striding(name: str, output_stride: int | None) -> dict[str, int]:
    """Return the timm option for the output stride, if one is needed."""
    if output_stride is None:
        return {}
    if _stride_of(name) == output_stride:
        return {}
    if _stride_of(name, output_stride=output_stride) == output_stride:
        return {"output_stride": output_stride}
    strides = {_stride_of(name), *(_stride_of(name, output_stride=s) for s in OUTPUT_STRIDES)}
    choices = sorted(stride for stride in strides if stride is not None)
    nearest = min(choices, key=lambda stride: abs(stride - output_stride))
    raise InputError(
        f"the encoder {name!r} has no output_stride {output_stride}; it has "
        f"{', '.join(map(str, choices))}. Choose {nearest}, the nearest, or an encoder that "
        "dilates, such as resnet50, mobilenetv2_100 or xception71."
    )


def _stride_of(name: str, **options: Any) -> int | None:
    """Return the stride of the last map, or None if the model rejects the options."""
    timm = _timm()

    try:
        with torch.device("meta"):  # costs no memory
            model: Any = timm.create_model(name, features_only=True, **options)
    except (AssertionError, TypeError):
        return None
    except Exception as error:
        raise _no_pyramid(name, error) from error
    stride: int = model.feature_info.reduction()[-1]
    return stride


def _no_pyramid(name: str, error: Exception) -> InputError:
    return InputError(
        f"timm's {name!r} gives no pyramid of feature maps ({error}); choose an encoder "
        "that supports features_only, such as resnet34 or convnext_tiny."
    )


def _with_weights(name: str, path: Path, options: dict[str, Any]) -> nn.Module:
    timm = _timm()

    state = _read(path)
    try:
        model = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=_source(name, state), **options
        )
    except Exception as error:
        first = "".join(str(error).splitlines(keepends=True)[:2])  # the rest repeats it
        raise InputError(
            f"the weights {path} do not fit the encoder {name!r}: {first}\n"
            f"Give a state dict of timm's {name!r}, or name the encoder that the file is of"
        ) from error
    # timm ignores missing tensors, and its names depend on how deep modules are nested.
    given = {_flat(key) for key in state}
    wanted = [key for key, value in model.state_dict().items() if value.is_floating_point()]
    missing = [key for key in wanted if _flat(key) not in given]
    if missing:
        raise InputError(
            f"the weights {path} lack {len(missing)} of the {len(wanted)} tensors of the encoder "
            f"{name!r}, {missing[0]!r} for one; the file starts with {next(iter(state), None)!r}. "
            f"Give a state dict of timm's {name!r}"
        )
    return model


def _read(path: Path) -> dict[str, Tensor]:
    from timm.models import load_state_dict

    if not path.is_file():
        raise InputError(f"weights: {path} is not a file; give a .safetensors or .pth file")
    try:
        state: dict[str, Tensor] = load_state_dict(str(path))
    except Exception as error:
        raise InputError(
            f"the weights {path} cannot be read ({error}); give a .safetensors file, or a .pth "
            "file with nothing but a state dict"
        ) from error
    return state


def _source(name: str, state: dict[str, Tensor]) -> dict[str, Any]:
    """Return timm's configuration to load this state dict, with its number of image channels."""
    config = _config(name)
    source: dict[str, Any] = {"state_dict": dict(state)}
    first = state.get(f"{config.first_conv}.weight")
    if first is not None and first.ndim == 4 and first.shape[1] % config.input_size[0]:
        source["input_size"] = (first.shape[1], *config.input_size[1:])
    return source


def _flat(key: str) -> str:
    return key.removeprefix("model.").replace("_", ".")


def _config(name: str) -> Any:
    timm = _timm()

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return timm.models.PretrainedCfg() if config is None else config


def normalization(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the images that a timm model was trained on."""
    config = _config(name)
    return tuple(config.mean), tuple(config.std)
