"""What the classes of a task are called, and how they are painted."""

from typing import Any

LEGEND = ("class_names", "class_colors")


def take_class_legend(module: Any) -> None:
    """Gives ``module`` the ``class_names`` and ``class_colors`` of its trainer's DataModule.

    Those that the DataModule has not, or has for another number of classes, stay as they are.
    """
    datamodule = getattr(module.trainer, "datamodule", None)
    for name in LEGEND:
        legend = getattr(datamodule, name, None)
        if legend is not None and len(legend) == module.num_classes:
            setattr(module, name, tuple(legend))
