"""Filters for library warnings that users cannot act on."""

import logging
import warnings


def filter_warnings() -> None:
    """Suppress advertisements and warnings about Lightning's internals.

    Each filter matches a specific message; all other warnings pass.
    """
    # Lightning logs under either name once both of its packages are imported.
    for package in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(f"{package}.utilities.rank_zero").addFilter(_is_no_advertisement)
    warnings.filterwarnings(
        "ignore",
        message=r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        category=FutureWarning,
        module=r"lightning\.pytorch\.utilities\._pytree",
    )
    # A resumed run continues in its folder; a second run there is an error.
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
    # `data check` names these labels, and a fit counts them.
    warnings.filterwarnings("ignore", message=r"(?s).+ of the pixels just read have nearly a class")
    # Once validation has run, this is an error.
    warnings.filterwarnings("ignore", message=r".*could not find the monitored key")
    # Windows carry their own positions, and all predictions may already exist.
    warnings.filterwarnings("ignore", message="Couldn't infer the batch indices fetched")
    warnings.filterwarnings("ignore", message="Total length of `.+` across ranks is zero")


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not message.startswith(
        (
            "\N{ELECTRIC LIGHT BULB} Tip:",
            "TPU available: False",
            "Trainer already configured with model summary",  # our own
        )
    )
