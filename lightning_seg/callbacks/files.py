"""File names of samples."""

import re


def file_stem(name: str) -> str:
    """Return a sample's name as a file name; path separators become underscores.

    Example:
        >>> file_stem("val/frame 01")
        'val_frame 01'
    """
    return re.sub(r"[^\w.+ -]+", "_", name).strip("._ ") or "sample"
