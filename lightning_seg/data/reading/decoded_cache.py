"""Decoded copies of images whose format cannot be read by window."""

import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from lightning_seg.data.reading.image_files import read_image
from lightning_seg.files import atomic_file

_CHECKSUM_BYTES = 4

# Inode, size and modification time of each copy whose checksum was right.
_compared: dict[Path, tuple[int, int, int]] = {}


def decoded_image(path: Path, in_channels: int, folder: Path) -> np.ndarray:
    """Return `read_image` as a memory-mapped array; only accessed pages are read from disk.

    A copy in ``folder`` is valid as long as the image's path, size and modification time stay the
    same; a damaged copy is replaced. Its checksum is compared before its first use in this process,
    and again whenever its file has changed. Several processes may do this at once. If
    ``folder`` is not writable, the image is decoded every time.

    Args:
        path: An image file such as PNG or JPEG.
        in_channels: Number of channels.
        folder: Folder of the decoded copies.
    """
    copy = folder / f"{path.stem}-{_key(path, in_channels)}.npy"
    with suppress(OSError, ValueError, EOFError):
        _compare_checksum(copy)
        return np.load(copy, mmap_mode="r")
    image = read_image(path, in_channels)
    with suppress(OSError), atomic_file(copy) as file:
        np.save(file, image)
        file.write(_checksum(image))  # behind the array, where NumPy does not look
    return image


def _compare_checksum(copy: Path) -> None:
    """Raise ValueError if a copy differs from what was written."""
    status = copy.stat()
    state = status.st_ino, status.st_size, status.st_mtime_ns
    if _compared.get(copy) == state:
        return
    with copy.open("rb") as file:
        file.seek(-_CHECKSUM_BYTES, os.SEEK_END)
        written = file.read()
    if _checksum(np.load(copy, mmap_mode="r")) != written:
        raise ValueError("damaged")
    _compared[copy] = state


def _checksum(image: np.ndarray) -> bytes:
    kind = repr((image.shape, image.dtype.str)).encode()
    pixels = np.ascontiguousarray(image).data
    return zlib.crc32(pixels, zlib.crc32(kind)).to_bytes(_CHECKSUM_BYTES)


def _key(path: Path, in_channels: int) -> str:
    if not os.path.isfile(path):
        return "missing"  # read_image says so
    status = path.stat()
    described = repr((str(path.resolve()), status.st_size, status.st_mtime_ns, in_channels))
    return hashlib.sha256(described.encode()).hexdigest()[:16]
