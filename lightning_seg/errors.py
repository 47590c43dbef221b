"""Errors for invalid user input, and for packages that are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import get_args


class InputError(ValueError):
    """User input (a file, a value, a setting) that cannot be used.

    The message names the offending file or value, what was expected, and what to do.
    The command line prints it without a traceback and exits with a non-zero status.
    """


def check_choice(name: str, value: object, choices: object) -> None:
    """Raise InputError unless ``value`` is one of ``choices``, a Literal."""
    if value not in get_args(choices):
        known = ", ".join(map(repr, get_args(choices)))
        raise InputError(f"{name} is {value!r}, expected one of: {known}")


class MissingPackageError(InputError, ImportError):
    """A package that is not installed; the message names the extra to install."""


@contextmanager
def needs(extra: str, user: str = "This part of lightning_seg") -> Iterator[None]:
    """Turn the failed import of another package into an error that names the extra to install.

    Args:
        extra: Name of the extra in `packages/core/pyproject.toml`.
        user: What needs the package, at the beginning of the sentence.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "lightning_seg").partition(".")[0] == "lightning_seg":
            raise
        raise MissingPackageError(
            f"{user} needs {error.name}, which is not installed. Run: {install(extra)}"
        ) from error


def install(extra: str) -> str:
    """Return the command that installs an extra of this distribution, the slim one or the whole."""
    try:
        version("lightning_seg_core")
    except PackageNotFoundError:
        # The whole distribution has the packages of the extra "train" itself.
        name = "lightning_seg" if extra in ("callbacks", "train") else f"lightning_seg[{extra}]"
    else:
        name = f"lightning_seg_core[{extra}]"
    return f"pip install '{name}'"
