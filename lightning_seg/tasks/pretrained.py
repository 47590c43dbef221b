"""Models as folders in the Hugging Face hub's convention: weights, configuration, model card."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lightning_seg.checkpoints import check_finite, read_tensors
from lightning_seg.errors import InputError
from lightning_seg.own_files import refuse_foreign, write_own
from lightning_seg.tasks.safe_classes import check_class_paths

if TYPE_CHECKING:
    from lightning_seg.tasks.segmentation import SegmentationTask

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
PARTS = ("network", "head", "inference")
_LABELS = {False: ".argmax(dim=1)  # (B, H, W)", True: " > 0  # (B, K, H, W), several per pixel"}
_TRUST = "load it with trust_classes=True"


def save_pretrained(
    task: "SegmentationTask",
    folder: str | Path,
    figures: Mapping[str, float] | None = None,
    picture: str | Path | None = None,
) -> None:
    """Write a task's network and head, see `SegmentationTask.save_pretrained`."""
    from safetensors.torch import save

    folder = Path(folder)
    state = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in task.state_dict().items()
        if name.split(".")[0] in PARTS
    }
    check_finite(state, folder)
    hparams = dict(task.hparams)
    parts = {name: described(hparams.get(name), name) for name in ("network", "head")}
    for name, part in parts.items():
        if not isinstance(part, dict) or "class_path" not in part:
            raise InputError(
                f"The task does not say how its {name} was built. Call save_hyperparameters() in "
                f"{type(task).__name__}.__init__, with {name} as an argument."
            )
    parts["network"].get("init_args", {}).pop("weights", None)  # a file on this machine
    config = {
        "lightning_seg": version("lightning_seg"),
        "num_classes": task.num_classes,
        "in_channels": task.in_channels,
        "multi_label": task.multi_label,
        **parts,
        "inference": described(task.inference, "inference"),
        "class_names": described(task.class_names, "class_names"),
        "class_colors": described(task.class_colors, "class_colors"),
    }
    content: dict[str, bytes | str] = {
        WEIGHTS: save(state, metadata={"format": "pt"}),
        CONFIG: json.dumps(config, indent=2) + "\n",
    }
    shown = None
    if picture is not None:
        shown = f"example{Path(picture).suffix}"
        content[shown] = _bytes(Path(picture))
    content[CARD] = _card(config, figures or {}, shown)
    refuse_foreign(folder / name for name in content)
    for name, written in content.items():
        write_own(folder / name, written)


def read_pretrained(
    folder: str | Path, trust_classes: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """Return the settings of a task, its classes and the weights in a folder; runs no code in it.

    Raises:
        InputError: A file is missing, damaged or names classes that are not this package's.
    """
    folder = Path(folder)
    try:
        config = json.loads(_bytes(folder / CONFIG))
        settings = {name: config[name] for name in ("num_classes", "in_channels", *PARTS)}
        settings["multi_label"] = config.get("multi_label", False)  # missing in older folders
        legend = {name: config[name] for name in ("class_names", "class_colors")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / CONFIG} does not describe a model of lightning_seg ({error!r}). Give a "
            "folder written by save_pretrained."
        ) from error
    for name in PARTS:
        # A text would be taken for the path of a YAML file.
        if not isinstance(settings[name], dict) and (name, settings[name]) != ("inference", None):
            raise InputError(f"{folder / CONFIG}: {name} is no class with its settings.")
    for name, values in legend.items():
        if values is not None and not _fits(values, settings["num_classes"], name):
            raise InputError(
                f"{folder / CONFIG}: {name} is {str(values)[:100]}, expected one for each of "
                f"{settings['num_classes']} classes, or null."
            )
    if not trust_classes:
        check_class_paths(settings, folder / CONFIG, _TRUST)
    state: dict[str, Tensor] = read_tensors(folder / WEIGHTS)
    check_finite(state, folder / WEIGHTS)
    return settings, legend, state


def _fits(values: Any, num_classes: Any, name: str) -> bool:
    if not isinstance(values, list) or len(values) != num_classes:
        return False
    if name == "class_names":
        return all(isinstance(value, str) for value in values)
    return all(
        isinstance(color, list)
        and len(color) == 3
        and all(isinstance(c, int) and 0 <= c <= 255 for c in color)
        for color in values
    )


def described(value: Any, name: str) -> Any:
    """Return a setting as plain data: classes, partials and dataclasses by their class path.

    Raises:
        InputError: The value is an object or a function that its arguments cannot be read from.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: described(part, f"{name}.{key}") for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [described(part, name) for part in value]
    if isinstance(value, type):
        return {"class_path": f"{value.__module__}.{value.__qualname__}"}
    if isinstance(value, partial):
        # jsonargparse's partials are of a function that is given functions and the class.
        *functions, kind = value.func, *value.args
        if isinstance(kind, type) and not any(isinstance(part, type) for part in functions):
            return described(kind, name) | {"init_args": described(value.keywords, name)}
    if is_dataclass(value):
        given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return described(type(value), name) | {"init_args": described(given, name)}
    raise InputError(
        f"{name} is {str(value)[:100]}, which cannot be written as plain data. Give the task a "
        "class, or functools.partial(CLASS, ...) with plain arguments."
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). A model's folder has {WEIGHTS} and {CONFIG}"
        ) from error


def _card(config: dict[str, Any], figures: Mapping[str, float], picture: str | None) -> str:
    network, head = (config[part]["class_path"].split(".")[-1] for part in ("network", "head"))
    encoder = config["network"].get("init_args", {}).get("encoder")
    names = config["class_names"] or [f"class {k}" for k in range(config["num_classes"])]
    colors = config["class_colors"] or [None] * len(names)
    lines = [
        "---",
        "library_name: lightning_seg",
        "pipeline_tag: image-segmentation",
        "tags: [semantic-segmentation, lightning_seg, pytorch]",
        "---",
        f"# {network}{f' on {encoder}' if encoder else ''}, {len(names)} classes",
        "",
        f"Semantic segmentation with `{network}` and `{head}` of lightning_seg "
        f"{config['lightning_seg']}. Takes images (B, {config['in_channels']}, H, W), float32 in "
        "[0, 1].",
        "",
    ]
    if picture is not None:
        lines += [f"![Example]({picture})", ""]
    lines += [
        "```python",
        "from lightning_seg.tasks import SegmentationTask",
        "",
        'task = SegmentationTask.from_pretrained("this/folder").eval()',
        f'labels = task.infer(images)["logits"]{_LABELS[config["multi_label"]]}',
        "```",
        "",
        "| label | class | colour |",
        "|---|---|---|",
    ]
    for label, (name, color) in enumerate(zip(names, colors, strict=True)):
        shade = "" if color is None else "#{:02x}{:02x}{:02x}".format(*color)
        lines.append(f"| {label} | {str(name).replace('|', '/')} | {shade} |")
    if figures:
        lines += ["", "| figure | value |", "|---|---|"]
        lines += [f"| {name} | {value:.4f} |" for name, value in figures.items()]
    return "\n".join(lines) + "\n"
