"""Number, names and colours of the classes, from whoever knows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_seg.errors import InputError
from lightning_seg.palette import Color, distinct_colors


def find_num_classes(trainer: Trainer, pl_module: LightningModule, given: int | None = None) -> int:
    """Number of classes: as given, else the datamodule's, the module's or its hyper-parameters'.

    A module with one output class is a binary one: 2.

    Raises:
        InputError: It is nowhere to be found, or not a number of classes.
    """
    known = _first(_sources(trainer, pl_module), "num_classes")
    found = given if given is not None else known
    if found is None:
        raise InputError(
            f"The number of classes is not known: neither the datamodule nor "
            f"{type(pl_module).__name__} has num_classes. Pass num_classes to the callback."
        )
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise InputError(f"num_classes is {found!r}, expected a whole number from 2 on")
    return max(found, 2)


def find_class_names(
    trainer: Trainer, pl_module: LightningModule, num_classes: int, given: Sequence[str] | None
) -> list[str]:
    """Names of the classes: as given, else the datamodule's or the module's, else numbers.

    Raises:
        InputError: Given names are not as many as the classes.
    """
    if given is not None and len(given) != num_classes:
        raise InputError(
            f"class_names holds {len(given)} names, but there are {num_classes} classes"
        )
    return class_names_of(_sources(trainer, pl_module), num_classes, given)


def class_names_of(
    sources: Iterable[object], num_classes: int, given: Sequence[str] | None = None
) -> list[str]:
    """Names of the classes: as given, else those of the first source that has any, else numbers."""
    names = given or _first(sources, "class_names")
    if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == num_classes:
        return [str(name) for name in names]
    return [f"class {k}" for k in range(num_classes)]


def find_classes(chosen: Sequence[str], class_names: Sequence[str], setting: str) -> list[int]:
    """Numbers of the classes of these names.

    Raises:
        InputError: There is no such class, or no other is left; names ``setting``.
    """
    unknown = [name for name in chosen if name not in class_names]
    if unknown:
        raise InputError(
            f"{setting} names {unknown[0]!r}, which is no class. The classes are: "
            f"{', '.join(class_names)}."
        )
    if len(set(chosen)) == len(class_names):
        raise InputError(f"{setting} names all classes; leave at least one out of it.")
    return [class_names.index(name) for name in chosen]


def find_class_colors(
    trainer: Trainer, pl_module: LightningModule, num_classes: int
) -> list[Color]:
    """RGB colours (0 to 255): the datamodule's or the module's, else PASCAL VOC's."""
    return class_colors_of(_sources(trainer, pl_module), num_classes)


def class_colors_of(sources: Iterable[object], num_classes: int) -> list[Color]:
    """RGB colours (0 to 255) of the first source that has any, else PASCAL VOC's."""
    colors = _first(sources, "class_colors")
    if isinstance(colors, Sequence) and len(colors) == num_classes:
        return [(int(r), int(g), int(b)) for r, g, b in colors]
    return list(distinct_colors(num_classes))


def find_channel_names(trainer: Trainer, pl_module: LightningModule, channels: int) -> list[str]:
    """Names of an image's channels: the datamodule's or the module's, else numbers from 1."""
    names = _first(_sources(trainer, pl_module), "channel_names")
    if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == channels:
        return [str(name) for name in names]
    return [f"channel {number}" for number in range(1, channels + 1)]


def _sources(trainer: Trainer, pl_module: LightningModule) -> tuple[object, ...]:
    datamodule = getattr(trainer, "datamodule", None)
    return datamodule, pl_module, getattr(pl_module, "hparams", None)


def _first(sources: Iterable[object], name: str) -> Any:
    for source in sources:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        if value is not None:
            return value
    return None
