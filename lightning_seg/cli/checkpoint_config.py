"""Configuration of ``validate``, ``test`` and ``predict`` from a checkpoint alone."""

import atexit
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_seg.checkpoints import CHECKPOINTS, find_checkpoints, read_checkpoint
from lightning_seg.tasks.safe_classes import check_class_paths

_COMMANDS = ("validate", "test", "predict")
# From the data; and a checkpoint has all weights.
_LEFT_OUT = ("_class_path", "_instantiator", "num_classes", "in_channels", "multi_label", "weights")


def with_checkpoint_config(args: Sequence[str]) -> list[str]:
    """Add a configuration to a command line that has a checkpoint and none.

    The model is that of the checkpoint, of several the first. Data are a folder of images and masks
    with its classes and channels; their place is given by ``--data.root`` or
    ``--data.predict_root``, and any other setting by its option.

    Raises:
        InputError: The checkpoint does not exist, or is not one.
    """
    options = _options(args)
    path = options.get("--ckpt_path")
    if not args or args[0] not in _COMMANDS or path is None:
        return list(args)
    if options.keys() & {"--config", "-c", "--model", "--help", "-h", "--print_config"}:
        return list(args)
    paths = find_checkpoints(path, Path(options.get("--run_dir", "runs/unnamed")))
    if not paths:
        return list(args)
    path = paths[0]
    content = read_checkpoint(path, options.get("--weights_only", "true").lower() != "false")
    settings: dict[str, Any] = content.get("hyper_parameters", {})
    # Tasks that were made in Python, or that are not built for a number of channels.
    if not {"_class_path", "in_channels", "num_classes"} <= settings.keys():
        return list(args)
    if options.get("--weights_only", "true").lower() != "false":
        check_class_paths(settings, path)
    init_args = {name: value for name, value in settings.items() if name not in _LEFT_OUT}
    classes, folder = content.get("class_names"), Path(path).resolve().parent
    data = {
        "root": ".",
        "in_channels": settings["in_channels"],
        **({"multi_label": True} if settings.get("multi_label") else {}),
        **({"class_names": list(classes)} if classes else {"num_classes": settings["num_classes"]}),
    }
    config: dict[str, Any] = {
        "model": {"class_path": settings["_class_path"], "init_args": init_args}
    }
    if "--data" not in options:
        config["data"] = {"class_path": "FolderDataModule", "init_args": data}
    if folder.name == CHECKPOINTS and len(paths) == 1:
        config["run_dir"] = str(folder.parent)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
        yaml.safe_dump(config, file, sort_keys=False)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return [args[0], "--config", file.name, *args[1:]]


def _options(args: Sequence[str]) -> dict[str, str]:
    """Return the options of a command line with their values, ``""`` for none."""
    options = {}
    for position, word in enumerate(args):
        following = args[position + 1] if position + 1 < len(args) else ""
        name, equals, value = word.partition("=")
        if name.startswith("-"):
            options[name] = value if equals or following.startswith("-") else following
    return options
