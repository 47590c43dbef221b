"""Leaves out what libraries say that the person at the keyboard can do nothing about."""

import logging
import warnings


def filter_warnings() -> None:
    """Drops advertisements, and warnings that are Lightning's own affair.

    Each is named by its words and its source: all others come through.
    """
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    warnings.filterwarnings(
        "ignore",
        message=r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        category=FutureWarning,
        module=r"lightning\.pytorch\.utilities\._pytree",
    )
    # A resumed run goes on in its folder; a second one there is refused.
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
    # Windows say themselves where they belong, and predictions may all be there already.
    warnings.filterwarnings("ignore", message="Couldn't infer the batch indices fetched")
    warnings.filterwarnings("ignore", message="Total length of `DataLoader` across ranks is zero")


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    told = record.getMessage()
    return not told.startswith(("\N{ELECTRIC LIGHT BULB} Tip:", "TPU available: False"))
