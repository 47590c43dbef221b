"""The one error that speaks to the person at the keyboard."""


class InputError(ValueError):
    """Something the person gave (a file, a value, a setting) cannot be used.

    The message says what was found and where (file, value), what was expected and what to do.
    The command line prints it without a traceback and exits with a non-zero status.
    """
