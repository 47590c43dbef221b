"""The configurations that come with the package, and the short names that they go by."""

from collections.abc import Sequence
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
    """The folder of the configurations: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def with_found_configs(args: Sequence[str]) -> list[str]:
    """A command line whose short names and missing files are those of the package.

    ``--config camvid/unet`` is ``configs/experiment/camvid/unet.yaml``, ``--config method/epl`` and
    ``--data data/voc`` are files of these folders. A path that starts with ``configs`` names the
    package's file, too. Files that exist where the command is run come first.
    """
    found = list(args)
    for place, word in enumerate(args):
        option, equals, value = word.partition("=")
        if option in _OPTIONS and equals:
            found[place] = f"{option}={_found(value)}"
        elif place and args[place - 1] in _OPTIONS:
            found[place] = _found(word)
    return found


def _found(value: str) -> str:
    if not value or Path(value).is_file():
        return value
    path = Path(value)
    parts = path.parts[1:] if path.parts[0] == "configs" else path.parts
    if not parts or path.is_absolute() or ".." in parts:
        return value
    name = Path(*parts)
    name = name if name.suffix == _SUFFIX else name.with_name(name.name + _SUFFIX)
    for candidate in (name, Path(_EXPERIMENTS, name)):
        if (configs_folder() / candidate).is_file():
            return str(configs_folder() / candidate)
    return value
