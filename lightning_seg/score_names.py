"""What the names of logged values tell about them."""

import re

_SMALL_IS_GOOD = re.compile(r"loss|error|distance|hausdorff|mae\b|mse\b|entropy")


def mode_of(name: str) -> str:
    """Return whether the largest or the smallest value of this name is best: ``max``, ``min``."""
    return "min" if _SMALL_IS_GOOD.search(name) else "max"
