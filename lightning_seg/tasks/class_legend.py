"""A task's classes, taken from the DataModule or compared with it."""

from typing import Any

from lightning.pytorch import LightningModule

from lightning_seg.errors import InputError
from lightning_seg.losses import SemedaLoss
from lightning_seg.networks.edge_network import RECIPE

LEGEND = ("class_names", "class_colors")


def take_class_legend(module: Any) -> None:
    """Copy ``class_names`` and ``class_colors`` from the trainer's DataModule to ``module``.

    An attribute is kept as it is if the DataModule lacks it or has another number of classes.
    """
    for name in LEGEND:
        legend = legend_of_data(module, name, module.num_classes)
        if legend is not None:
            setattr(module, name, legend)


def legend_of_data(module: Any, name: str, num_classes: int) -> tuple[Any, ...] | None:
    """Return an attribute of `LEGEND` of the trainer's DataModule, or None if it does not fit."""
    legend = getattr(getattr(module.trainer, "datamodule", None), name, None)
    return tuple(legend) if legend is not None and len(legend) == num_classes else None


def check_labels_per_pixel(module: Any) -> None:
    """Raise InputError if either masks or predictions alone have several labels per pixel."""
    several = getattr(getattr(module.trainer, "datamodule", None), "multi_label", None)
    if several in (None, module.multi_label) or module.trainer.predicting:
        return
    whose, others = ("masks", "predictions") if several else ("predictions", "masks")
    raise InputError(
        f"the {whose} have several labels per pixel, but the {others} have one. Give the task and "
        "the data the same multi_label; the command line takes the task's from the data."
    )


def check_edge_networks(module: LightningModule) -> None:
    """Raise InputError if a loss has an edge network trained on other classes or another order.

    `SemedaLoss` checks their number. With several labels per pixel they know absent and present.
    """
    if getattr(module, "multi_label", False):
        return
    names = getattr(getattr(module.trainer, "datamodule", None), "class_names", None)
    for loss in module.modules():
        network = loss.edge_network if isinstance(loss, SemedaLoss) else None
        if network is None or names is None or network.class_names in (None, tuple(names)):
            continue
        raise InputError(
            f"the edge network was trained on the classes {', '.join(network.class_names or ())}, "
            f"but the data have {', '.join(names)}, in this order. {RECIPE}"
        )
