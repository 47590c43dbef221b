"""Images whose format cannot be read by window, decoded once into a file that can."""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from lightning_seg.data.reading.image_files import read_image
from lightning_seg.files import atomic_file


def decoded_image(path: Path, in_channels: int, folder: Path) -> np.ndarray:
    """`read_image` as a memory-mapped array, of which only what is looked at is read from disk.

    The decoded pixels are kept in ``folder`` for as long as the image's path, size and time stay; a
    damaged copy is made anew. Several processes may do this at once. Where ``folder`` cannot be
    written to, the image is decoded every time.

    Args:
        path: A PNG, JPEG or the like.
        in_channels: Number of its channels.
        folder: Where the decoded pixels are kept.

    Raises:
        InputError: The file is missing, damaged, or has another number of channels.
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
