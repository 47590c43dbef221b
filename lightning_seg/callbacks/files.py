"""Names of files that callbacks write."""

import re


def file_stem(name: str) -> str:
    """A sample's name as one file name: folders become part of it."""
    return re.sub(r"[^\w.+ -]+", "_", name).strip("._ ") or "sample"
