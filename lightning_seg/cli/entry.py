"""The command line: ``lightning-seg COMMAND``. A command imports only what it needs."""

import difflib
import signal
import sys
from importlib import import_module
from pathlib import Path

from lightning_seg.cli.warnings import filter_warnings
from lightning_seg.config_files import resolve_short_names
from lightning_seg.errors import InputError, needs
from lightning_seg.files import UNWRITABLE

COMMANDS = {
    "init": "Look at a folder of images and masks, and write a configuration for it.",
    "data": "Check a dataset, or draw its samples.",
    "fit": "Train a model and evaluate it on the validation images.",
    "validate": "Evaluate a checkpoint on the validation images.",
    "test": "Evaluate a checkpoint on the test images.",
    "predict": "Write a checkpoint's label maps for images without labels.",
    "export": "Export a checkpoint to an ONNX or torch.export file or a folder.",
    "sweep": "Train and evaluate many combinations of settings and seeds.",
    "compare": "Compare runs in tables and charts.",
    "frames": "Draw the predictions of several runs for the same frames.",
}
_LIGHTNING = ("fit", "validate", "test", "predict")
# Modules of other names than their commands.
_MODULES = {"frames": "same_frames"}


def main() -> None:
    """Run the command line; user errors end with one message and status 2."""
    sys.path.append(str(Path.cwd()))  # finds the user's own classes in the working directory
    filter_warnings()
    sys.argv[1:] = resolve_short_names(sys.argv[1:])
    try:
        _run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except InputError as error:
        # Errors from a data worker have the worker's traceback in front.
        _fail(str(error).rsplit("InputError: ", 1)[-1].strip())
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is None:
            raise
        _fail(
            f"{error.filename}: {error.strerror}. Files that were complete are unchanged. Free "
            "space or correct the rights there, or name another folder; a stopped run can be "
            "resumed (--ckpt_path auto)."
        )


def _run(argv: list[str]) -> None:
    if not argv:
        print(_overview(), file=sys.stderr)
        sys.exit(2)
    name = argv[0]
    if name in ("-h", "--help"):
        print(_overview())
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise InputError(f"there is no command {name}. {meant}Commands: {', '.join(COMMANDS)}.")
    inner = "segmentation_cli" if name in _LIGHTNING else f"commands.{_MODULES.get(name, name)}"
    with needs("train", "lightning-seg"):
        command = import_module(f"lightning_seg.cli.{inner}")
    command.run(argv if name in _LIGHTNING else argv[1:])


def _overview() -> str:
    lines = ["usage: lightning-seg COMMAND [--OPTION VALUE ...]", ""]
    lines += ["Boundary-aware semantic segmentation.", ""]
    lines += [f"  {name:10}{about}" for name, about in COMMANDS.items()]
    return "\n".join([*lines, "", "Options of a command: lightning-seg COMMAND --help"])


def _fail(message: str) -> None:
    lines = [line if len(line) < 800 else f"{line[:800]} ..." for line in message.splitlines()]
    lines = lines if len(lines) < 40 else [*lines[:40], "..."]
    print("lightning-seg: error: " + "\n".join(lines), file=sys.stderr)
    sys.exit(2)
