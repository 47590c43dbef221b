"""What the classes of a task are called, and how they are painted."""

from typing import Any

LEGEND = ("class_names", "class_colors")


def take_class_legend(module: Any) -> None:
    """Gives ``module`` the ``class_names`` and ``class_colors`` of its trainer's DataModule.

    Those that the DataModule has not, or has for another number of classes, stay as they are.
    """
    for name in LEGEND:
        legend = told_by_data(module, name, module.num_classes)
        if legend is not None:
            setattr(module, name, legend)


def told_by_data(module: Any, name: str, num_classes: int) -> tuple[Any, ...] | None:
    """One of `LEGEND` as the trainer's DataModule has it for this number of classes, or None."""
    legend = getattr(getattr(module.trainer, "datamodule", None), name, None)
    return tuple(legend) if legend is not None and len(legend) == num_classes else None
