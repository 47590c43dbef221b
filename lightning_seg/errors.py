"""The error for invalid user input."""

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
