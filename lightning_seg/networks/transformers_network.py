"""Any semantic-segmentation model of Hugging Face's transformers."""

import difflib
import inspect
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_seg.errors import InputError, needs
from lightning_seg.networks.library_network import LibraryNetwork, check_options, one_line
from lightning_seg.networks.network import IMAGENET_MEAN, IMAGENET_STD
from lightning_seg.networks.pretrained import pretrained_weights_wanted

_LABELS = 1009  # a prime that is no layer's width: the last convolution to it is the classifier


class TransformersNetwork(LibraryNetwork):
    """Model of transformers for semantic segmentation; a head replaces the classifier.

    Requires ``pip install 'lightning_seg[transformers]'``. Type and options describe the whole
    architecture, so a checkpoint needs neither hub nor cache.

    Args:
        in_channels: Number of image channels; pretrained first layers are adapted to it.
        model: Type of a model of ``AutoModelForSemanticSegmentation``: ``segformer``, ``beit``,
            ``upernet``, ``dpt``, ``mobilevit``, ...
        options: Options of its configuration, such as ``depths`` and ``hidden_sizes``; for
            ``upernet`` a ``backbone_config`` with ``model_type``.
        weights: Folder, or name on the hub, of a model of this type and these options, trained for
            segmentation or only its encoder (``nvidia/mit-b0``); its classifier is not used.
        checkpointing: Recompute activations in the backward pass to save memory.
        mean: Mean of the normalisation, see the ``preprocessor_config.json`` of the weights.
        std: Standard deviation of the normalisation.

    Raises:
        InputError: transformers is not installed; an unknown type or option; weights that cannot
            be loaded or do not fit; a model without ``checkpointing``.
    """

    def __init__(
        self,
        in_channels: int,
        model: str = "segformer",
        options: dict[str, Any] | None = None,
        weights: str | None = None,
        checkpointing: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        config = _config(model, options or {})
        made = _create(config, in_channels)
        if weights is not None and pretrained_weights_wanted():
            _load(made, weights)
        if checkpointing:
            _checkpoint(made, model)
        channels = _remove_classifier(made)
        patch = getattr(config, "patch_size", 1)
        multiple = math.lcm(32, patch if isinstance(patch, int) else 1)
        side = getattr(config, "image_size", None)
        side = side if isinstance(side, int) else 2 * multiple
        super().__init__(
            in_channels, _Logits(made), channels, multiple, (side, side), mean=mean, std=std
        )


class _Logits(nn.Module):
    """The model, called with an image and returning the logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        option = "interpolate_pos_encoding"  # of models that else take images of one size
        known = inspect.signature(model.forward).parameters
        self.options = {option: True} if option in known else {}

    def forward(self, image: Tensor) -> Tensor:
        output: Any = self.model(image, **self.options)
        logits: Tensor = output.logits
        return logits


def _config(model: str, options: dict[str, Any]) -> Any:
    with needs("transformers", "TransformersNetwork"):
        from transformers import CONFIG_MAPPING, MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING
    known = [kind.model_type for kind in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING]
    if model not in known:
        near = difflib.get_close_matches(model, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
        raise InputError(f"transformers segments with no model of type {model!r}. {hint}")
    _check(model, CONFIG_MAPPING[model], options)
    backbone = options.get("backbone_config")
    if isinstance(backbone, dict):
        kind = backbone.get("model_type")
        if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
            raise InputError(
                f"backbone_config: {kind!r} is no model_type of transformers; give swin, convnext "
                "or another"
            )
        _check(kind, CONFIG_MAPPING[kind], backbone)
    _refuse_addresses(options)
    try:
        config = CONFIG_MAPPING[model](**options)
    except Exception as error:
        raise InputError(f"the options of {model} do not fit: {one_line(error)}") from error
    config.num_labels = _LABELS
    if hasattr(config, "use_auxiliary_head"):
        config.use_auxiliary_head = False
    return config


def _refuse_addresses(options: dict[str, Any], nested: bool = False) -> None:
    """Raise InputError for names of the hub or of files, which would be loaded."""
    for name, value in options.items():
        if isinstance(value, str) and ("/" in value or ":" in value):
            raise InputError(f"{name}: {value!r} is an address; give the name of an architecture")
        if isinstance(value, dict):
            if nested:
                raise InputError(f"{name}: a configuration within {name} is not supported")
            _refuse_addresses(value, nested=True)


def _check(model: str, config_class: type, options: dict[str, Any]) -> None:
    """Raise InputError unless all options are the model's own.

    Options of every model could load code or weights from the hub, which a checkpoint must not.
    """
    from transformers import PreTrainedConfig

    of_every_model = inspect.signature(PreTrainedConfig.__init__).parameters
    own = [
        name
        for name in inspect.signature(config_class.__init__).parameters  # type: ignore[misc]
        if name not in of_every_model and name != "use_pretrained_backbone"
    ]
    check_options(options, [*own, "model_type", "out_features", "out_indices"], model)


def _create(config: Any, in_channels: int) -> Any:
    from transformers import AutoModelForSemanticSegmentation

    parts: list[Any] = [config, getattr(config, "backbone_config", None)]
    for part in parts:
        if hasattr(part, "num_channels"):
            part.num_channels = in_channels
    try:
        return AutoModelForSemanticSegmentation.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise InputError(
            f"transformers cannot make {config.model_type}: {one_line(error)}"
        ) from error


def _load(made: Any, weights: str) -> None:
    """Load the weights of all but the classifier; adapt the first convolution to the bands."""
    from timm.models import adapt_input_conv
    from transformers import AutoModelForSemanticSegmentation

    try:
        given, notes = AutoModelForSemanticSegmentation.from_pretrained(
            weights, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:
        raise InputError(
            f"weights: {weights} cannot be loaded ({one_line(error)}). Give a folder with "
            "config.json and model.safetensors, or a name on the hub and a network connection"
        ) from error
    absent = set(notes["missing_keys"])
    state = {name: t for name, t in given.state_dict().items() if name not in absent}
    own = made.state_dict()
    if type(given) is not type(made) or not state:
        raise InputError(
            f"weights: {weights} is a {given.config.model_type}, not a {made.config.model_type}; "
            "name its type as model"
        )
    fitting = {}
    for name, tensor in own.items():
        there = state.get(name)
        if there is None or _LABELS in tensor.shape:
            continue
        if there.ndim == 4 and there.shape[1] == 3 and tensor.shape[1] != 3:
            there = adapt_input_conv(tensor.shape[1], there)
        if there.shape != tensor.shape:
            raise InputError(
                f"weights: {name} is {tuple(there.shape)} in {weights}, but {tuple(tensor.shape)} "
                "here; give the options of its config.json"
            )
        fitting[name] = there
    made.load_state_dict(fitting, strict=False)


def _checkpoint(made: Any, model: str) -> None:
    from transformers.modeling_layers import GradientCheckpointingLayer

    blocks = [m for m in made.modules() if isinstance(m, GradientCheckpointingLayer)]
    normed = any(isinstance(m, nn.BatchNorm2d) for block in blocks for m in block.modules())
    if not blocks or normed:  # recomputing would count a batch twice in the running statistics
        raise InputError(f"checkpointing: true, but {model} has no blocks that can be recomputed")
    made.gradient_checkpointing_enable({"use_reentrant": False})


def _remove_classifier(made: Any) -> int:
    """Replace the classifier by nothing and return its number of input channels."""
    found = [
        (name, module)
        for name, module in made.named_modules()
        if isinstance(module, nn.Conv2d) and module.out_channels == _LABELS
    ]
    if not found:
        raise InputError(f"{type(made).__name__} does not end with a convolution, as needed here")
    name, classifier = found[-1]
    made.set_submodule(name, nn.Identity())
    return int(classifier.in_channels)
