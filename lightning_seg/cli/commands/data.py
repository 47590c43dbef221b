"""``lightning-seg data check|show``: inspect a dataset before training."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lightning_seg.errors import InputError

if TYPE_CHECKING:  # help needs neither Lightning nor torch
    from jsonargparse import ArgumentParser

    from lightning_seg.data import SegmentationDataModule

# Each has a module, imported on demand, with `add_arguments(parser: ArgumentParser) -> None` and
# `run(data: SegmentationDataModule, options: Namespace) -> int`, which returns the exit status.
SUBCOMMANDS = {
    "check": "Read every file of a dataset, count its classes and report all problems.",
    "show": "Draw samples with their labels, distances, boundaries and colours on one sheet.",
}

_USAGE = "lightning-seg data {} --config FILE.yaml [--data.OPTION VALUE ...]"


def run(argv: list[str]) -> None:
    """Run one subcommand on the data of an experiment's configuration."""
    name = argv[0] if argv else None
    if name in ("-h", "--help"):
        print(_help())
        return
    if name not in SUBCOMMANDS:
        problem = f"data has no subcommand {name}." if name else "data needs a subcommand."
        raise InputError(f"{problem} Choose one of {', '.join(SUBCOMMANDS)}.")
    command = import_module(f"lightning_seg.cli.commands.data_{name}")
    parser = _parser(name, SUBCOMMANDS[name], argv[1:])
    command.add_arguments(parser)
    data, options = _parse(parser, argv[1:])
    if status := command.run(data, options):
        sys.exit(status)


def _help() -> str:
    lines = [f"usage: {_USAGE.format('{' + ','.join(SUBCOMMANDS) + '}')}", ""]
    lines += [f"  {name:8}{about}" for name, about in SUBCOMMANDS.items()]
    return "\n".join(lines)


def _parser(name: str, about: str, argv: Sequence[str]) -> "ArgumentParser":
    """Return a parser for experiment files, which uses only their section ``data``."""
    from jsonargparse import ArgumentParser

    from lightning_seg.data import SegmentationDataModule

    parser = ArgumentParser(
        prog=f"lightning-seg data {name}",
        usage=_USAGE.format(name),
        description=f"{about} Only the section `data` of an experiment file is used.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="A YAML file with a section `data`.")
    parser.add_subclass_arguments(SegmentationDataModule, "data", required=True)
    for key in _other_keys(argv):
        parser.add_argument(f"--{key}", type=Any, help="Not used here.")
    return parser


def _other_keys(argv: Sequence[str]) -> list[str]:
    """Return the other top-level keys of the configuration files, such as model and trainer."""
    words = [word for word in argv if not word.startswith("--config=")]
    paths = [word for option, word in pairwise(words) if option == "--config"]
    paths += [word.removeprefix("--config=") for word in argv if word.startswith("--config=")]
    keys: dict[str, None] = {}
    for path in paths:
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # the parser reports the error
        if isinstance(content, dict):
            keys |= dict.fromkeys(map(str, content))
    return [key for key in keys if key != "data"]


def _parse(
    parser: "ArgumentParser", argv: Sequence[str]
) -> tuple["SegmentationDataModule", Namespace]:
    """Return the configured DataModule and the subcommand's own options."""
    from jsonargparse import ArgumentError

    from lightning_seg.cli.config_errors import explain, first_cause
    from lightning_seg.cli.config_parsing import faithful_parsing
    from lightning_seg.networks import no_pretrained_weights
    from lightning_seg.tasks import EdgeDetectionTask

    try:
        with faithful_parsing():
            config = parser.parse_args(list(argv))
            with no_pretrained_weights():
                made = parser.instantiate_classes(config)
        model = getattr(made, "model", None) or {}
        if model.get("class_path", "").rpartition(".")[2] == EdgeDetectionTask.__name__:
            made.data.read_masks_alone()
        return made.data, made
    except (ArgumentError, UnicodeDecodeError) as error:
        types = {
            o: getattr(a, "_typehint", None) for a in parser._actions for o in a.option_strings
        }
        raise InputError(explain(str(error), argv, types)) from error
    except ValueError as error:
        raise InputError(first_cause(error)) from error


def data_of_run(config: Path, options: Sequence[str] = ()) -> "SegmentationDataModule":
    """Return the DataModule of a run's ``config.yaml``.

    Args:
        config: The file.
        options: Options that override it, such as ``--data.root FOLDER``.
    """
    argv = ["--config", str(config), *options]
    return _parse(_parser("show", "", argv), argv)[0]
