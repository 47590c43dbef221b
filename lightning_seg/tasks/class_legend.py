"""Names and colours of a task's classes."""

from typing import Any

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
