"""Configurations shipped with the package, and their short names."""

from collections.abc import Sequence
from os.path import isfile
from pathlib import Path

_SUFFIX = ".yaml"
_EXPERIMENTS = "experiment"
# Options whose value may be a configuration.
_OPTIONS = (
    "--config",
    "-c",
    "--data",
    "--trainer",
    "--model.network",
    "--model.auxiliary",
    "--model.optimization",
    "--model.inference",
)


def configs_folder() -> Path:
    """Return the folder of the configurations, in the installed package or a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def resolve_short_names(args: Sequence[str]) -> list[str]:
    """Replace short names of configurations in a command line by paths to the package's files.

    ``--config camvid/unet`` is ``configs/experiment/camvid/unet.yaml``. ``--config method/epl``
    and ``--data data/voc`` name files in those folders. Paths starting with ``configs`` are looked
    up in the package, too. Files that exist relative to the working directory take precedence.
    """
    replaced = list(args)
    for position, word in enumerate(args):
        option, equals, value = word.partition("=")
        if option in _OPTIONS and equals:
            replaced[position] = f"{option}={_resolved(value)}"
        elif position and args[position - 1] in _OPTIONS:
            replaced[position] = _resolved(word)
    return replaced


def _resolved(value: str) -> str:
    if not value or isfile(value):  # unlike `Path.is_file`, not an error for long values
        return value
    path = Path(value)
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    if not parts or path.is_absolute() or ".." in parts:
        return value
    name = Path(*parts)
    name = name if name.suffix == _SUFFIX else name.with_name(name.name + _SUFFIX)
    for candidate in (name, Path(_EXPERIMENTS, name)):
        if isfile(configs_folder() / candidate):
            return str(configs_folder() / candidate)
    return value
