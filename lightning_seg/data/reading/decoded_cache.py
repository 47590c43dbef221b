"""Decoded copies of images whose format cannot be read by window."""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from lightning_seg.data.reading.image_files import read_image
from lightning_seg.files import atomic_file


def decoded_image(path: Path, in_channels: int, folder: Path) -> np.ndarray:
    """Return `read_image` as a memory-mapped array; only accessed pages are read from disk.

    A copy in ``folder`` is valid as long as the image's path, size and modification time stay the
    same; a damaged copy is replaced. Several processes may do this at once. If ``folder`` is not
    writable, the image is decoded every time.

    Args:
        path: An image file such as PNG or JPEG.
        in_channels: Number of channels.
        folder: Folder of the decoded copies.
    """
    copy = folder / f"{path.stem}-{_key(path, in_channels)}.npy"
    with suppress(OSError, ValueError, EOFError):
        return np.load(copy, mmap_mode="r")
    image = read_image(path, in_channels)
    with suppress(OSError), atomic_file(copy) as file:
        np.save(file, image)
    return image


def _key(path: Path, in_channels: int) -> str:
    if not path.is_file():
        return "missing"  # read_image says so
    status = path.stat()
    described = repr((str(path.resolve()), status.st_size, status.st_mtime_ns, in_channels))
    return hashlib.sha256(described.encode()).hexdigest()[:16]
