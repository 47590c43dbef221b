"""The error for invalid user input."""


class InputError(ValueError):
    """User input (a file, a value, a setting) that cannot be used.

    The message names the offending file or value, what was expected, and what to do.
    The command line prints it without a traceback and exits with a non-zero status.
    """
