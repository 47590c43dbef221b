"""Limits on what a file may have decoded at once, checked before any memory is allocated."""

import os
from pathlib import Path

from lightning_seg.errors import InputError

LIMIT_VARIABLE = "LIGHTNING_SEG_MAX_IMAGE_PIXELS"

# OpenCV's default, too.
_MAX_PIXELS = 2**30
# Photographs compress 5 to 100 times, large label maps about 200 times, and Deflate at most 1032
# times. Small empty label maps come near that, so only larger arrays are suspicious.
_MAX_COMPRESSION = 500
_UNSUSPICIOUS = 2**28


def refuse_too_large(path: Path, height: int, width: int, bytes_per_pixel: int) -> None:
    """Raise InputError if an array of this size must not be decoded from the file at once.

    An array may have 2^30 pixels, or what the environment variable LIGHTNING_SEG_MAX_IMAGE_PIXELS
    says. Without this variable, one of more than 256 MiB may also be no more than 500 times as
    large as its file: what is larger is a decompression bomb.

    Args:
        path: The file.
        height: Rows decoded at once.
        width: Columns decoded at once.
        bytes_per_pixel: Bytes of a decoded pixel.
    """
    limit = _pixel_limit()
    pixels, size = height * width, height * width * bytes_per_pixel
    stored = path.stat().st_size
    compressed = path.suffix.lower() != ".vrt"  # which names the files that hold the pixels
    bomb = limit is None and compressed and size > max(_UNSUSPICIOUS, _MAX_COMPRESSION * stored)
    if pixels <= (limit or _MAX_PIXELS) and not bomb:
        return
    if bomb:
        cause = f"{size // max(stored, 1):,} times the size of the file, like a decompression bomb"
    else:
        cause = f"more than the limit of {limit or _MAX_PIXELS:,} pixels"
    raise InputError(
        f"{path} would be decoded to {width} x {height} pixels, {_megabytes(size)}: {cause}. "
        f"If the file is right, set the environment variable {LIMIT_VARIABLE} to {pixels} or more; "
        "otherwise remove it."
    )


def _pixel_limit() -> int | None:
    given = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not given:
        return None
    if not given.isdecimal() or not int(given):
        raise InputError(f"{LIMIT_VARIABLE} is {given[:40]!r}. Set it to a number of pixels.")
    return int(given)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
