"""Text files that list the names of images, as any editor saves them."""

import codecs
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from lightning_seg.errors import InputError

_LONGEST_NAME = 255
_SHOWN = 60


def read_lines(path: Path, hint: str) -> list[str]:
    """Return the lines of a text file in UTF-8 or, with a byte-order mark, UTF-16.

    Args:
        path: The file.
        hint: Advice for the error message if the file is missing.

    Raises:
        InputError: The file cannot be read. The message names a wrong byte and its line.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"The list {path.absolute()} does not exist. {hint}") from None
    except OSError as error:
        raise InputError(f"The list {path} cannot be read: {error.strerror}. {hint}") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.decode("utf-16", "ignore").count("\n") if wide else before.count(b"\n")
        raise _no_text(path, line, content[error.start]) from None
    if "\0" in text:
        raise _no_text(path, text[: text.index("\0")].count("\n"), 0)
    return re.split(r"\r\n|\n|\r", text)


def plain_name(name: str, source: str) -> str:
    """Return a listed name with forward slashes, stripped.

    Args:
        name: The name, a path relative to the data folder.
        source: The list and the line, for the error message.

    Raises:
        InputError: The name leads out of the data folder, or is too long for a file.
    """
    name = name.strip().replace("\\", "/")
    shown = repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in name.split("/"):
        raise InputError(
            f"{source} names {shown}, which is outside the data folder. Name files inside it."
        )
    if any(len(part.encode()) > _LONGEST_NAME for part in name.split("/")):
        raise InputError(f"{source} names {shown}, which is too long for a file. Correct the list.")
    return name


def _no_text(path: Path, lines_before: int, byte: int) -> InputError:
    return InputError(
        f"{path}, line {lines_before + 1}, holds the byte 0x{byte:02X}, which is not valid UTF-8. "
        "Save the list as UTF-8."
    )
