"""Lookup of the number, names and colours of the classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

from lightning_seg.errors import InputError
from lightning_seg.palette import Color, distinct_colors, layer_colors

IGNORE_INDEX = 255

IgnoreIndex = int | Literal["auto"] | None


def find_multi_label(trainer: Trainer, pl_module: LightningModule, given: bool | None) -> bool:
    """Return whether pixels have several labels.

    As given, or the datamodule's or module's ``multi_label``, or for ``task: multilabel``.
    """
    if given is not None:
        return given
    sources = _sources(trainer, pl_module)
    return bool(_first(sources, "multi_label")) or _first(sources, "task") == "multilabel"


def find_num_classes(
    trainer: Trainer,
    pl_module: LightningModule,
    given: int | None = None,
    multi_label: bool = False,
) -> int:
    """Return the number of classes: as given, or the datamodule's, module's or hyperparameters'.

    One class means a binary model and counts as two, and so does ``task: binary``. With several
    labels per pixel it is ``num_labels``, or else ``num_classes``, as it is.
    """
    sources = _sources(trainer, pl_module)
    num_classes = given
    if num_classes is None and multi_label:
        num_classes = _first(sources, "num_labels")
    if num_classes is None:
        num_classes = _first(sources, "num_classes")
    if num_classes is None and _first(sources, "task") == "binary":
        num_classes = 2
    if num_classes is None:
        raise InputError(
            f"The number of classes is unknown: neither the datamodule nor "
            f"{type(pl_module).__name__} has num_classes. Pass num_classes to the callback."
        )
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise InputError(f"num_classes is {num_classes!r}, expected an integer of 2 or more")
    return num_classes if multi_label else max(num_classes, 2)


def find_class_names(
    trainer: Trainer, pl_module: LightningModule, num_classes: int, given: Sequence[str] | None
) -> list[str]:
    """Return the class names: as given, or the datamodule's or module's, or ``class 0`` etc."""
    if given is not None and len(given) != num_classes:
        raise InputError(
            f"class_names has {len(given)} names, but there are {num_classes} classes. Give one "
            "name per class."
        )
    return class_names_of(_sources(trainer, pl_module), num_classes, given)


def class_names_of(
    sources: Iterable[object], num_classes: int, given: Sequence[str] | None = None
) -> list[str]:
    """Return the class names: as given, or of the first source that has any, or ``class 0`` etc."""
    sources = tuple(sources)
    for names in (given, _first(sources, "class_names"), _first(sources, "labels")):
        if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == num_classes:
            return [str(name) for name in names]
    return [f"class {k}" for k in range(num_classes)]


def find_ignore_index(
    trainer: Trainer, pl_module: LightningModule, given: IgnoreIndex
) -> int | None:
    """Return the label of ignored pixels, None for none.

    ``auto`` takes that of the datamodule, module or hyperparameters, whichever has one first, or
    else 255.
    """
    if given != "auto":
        return given
    for source in _sources(trainer, pl_module):
        found = _value(source, "ignore_index", "missing")
        if found is None or isinstance(found, int):
            return found
    return IGNORE_INDEX


def find_classes(chosen: Sequence[str], class_names: Sequence[str], setting: str) -> list[int]:
    """Return the indices of the chosen classes.

    Example:
        >>> find_classes(["car"], ["road", "car"], "positive_class")
        [1]
    """
    unknown = [name for name in chosen if name not in class_names]
    if unknown:
        raise InputError(
            f"{setting} names {unknown[0]!r}, which is not a class. The classes are: "
            f"{', '.join(class_names)}."
        )
    if len(set(chosen)) == len(class_names):
        raise InputError(f"{setting} names all classes. Leave out at least one.")
    return [class_names.index(name) for name in chosen]


def find_class_colors(
    trainer: Trainer, pl_module: LightningModule, num_classes: int, multi_label: bool = False
) -> list[Color]:
    """Return the RGB class colours (0 to 255): the datamodule's, module's or PASCAL VOC's."""
    return class_colors_of(_sources(trainer, pl_module), num_classes, multi_label)


def class_colors_of(
    sources: Iterable[object], num_classes: int, multi_label: bool = False
) -> list[Color]:
    """Return RGB class colours (0 to 255) of the first source that has any, or PASCAL VOC's.

    Those of several labels per pixel have no black, which is PASCAL VOC's background.
    """
    colors = _first(sources, "class_colors")
    if isinstance(colors, Sequence) and len(colors) == num_classes:
        return [(int(r), int(g), int(b)) for r, g, b in colors]
    return list((layer_colors if multi_label else distinct_colors)(num_classes))


def find_channel_names(trainer: Trainer, pl_module: LightningModule, channels: int) -> list[str]:
    """Return the channel names: the datamodule's or module's, or ``channel 1`` etc."""
    names = _first(_sources(trainer, pl_module), "channel_names")
    if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == channels:
        return [str(name) for name in names]
    return [f"channel {number}" for number in range(1, channels + 1)]


def _sources(trainer: Trainer, pl_module: LightningModule) -> tuple[object, ...]:
    hparams = getattr(pl_module, "hparams", None)
    nested = _value(hparams, "model_args", None)  # as in terratorch
    return getattr(trainer, "datamodule", None), pl_module, hparams, nested


def _first(sources: Iterable[object], name: str) -> Any:
    values = (_value(source, name, None) for source in sources)
    return next((value for value in values if value is not None), None)


def _value(source: object, name: str, default: object) -> Any:
    if isinstance(source, Mapping):
        return source.get(name, default)
    return getattr(source, name, default)
