"""Which files a prediction writes."""

from dataclasses import dataclass
from typing import Literal

from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.errors import InputError
from lightning_seg.prediction.polygons import Polygons

Probabilities = Literal["uint8", "float16"]


@dataclass(frozen=True)
class PredictionFiles:
    """Settings of the files that a prediction writes beside its label maps.

    Args:
        output_dir: Folder to write to; by default ``predictions`` in the run's folder.
        probabilities: Also write ``NAME_probabilities.tif``, a band for each class: ``uint8`` (255
            times the probability, the smaller file) or ``float16``.
        polygons: Also write the outlines of objects.
        label_values: The number from 0 to 255 that stands for each class in label files, which are
            then grey and have no palette: ``dataset`` for those of the dataset's own labels, as its
            test server wants them (label ids of Cityscapes, 0 and 255 of INRIA), or a number for
            each class. By default classes are numbered from 0 on.
    """

    output_dir: str | None = None
    probabilities: Probabilities | None = None
    polygons: Polygons | None = None
    label_values: Literal["dataset"] | list[int] | None = None


@dataclass(frozen=True)
class Classes:
    """What label files show of each class.

    Args:
        names: A name for each.
        colors: An RGB colour for each.
        values: The number from 0 to 255 that stands for each, in grey files without a palette; by
            default its own number.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    values: tuple[int, ...] | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """What stands for each class in the files."""
        return self.values or tuple(range(len(self.names)))

    @property
    def nodata(self) -> int:
        """What stands for pixels without data: the highest number that is no class, mostly 255."""
        return max(set(range(IGNORE_INDEX + 1)) - set(self.numbers))


def checked_label_values(
    wanted: str | list[int] | tuple[int, ...] | None,
    of_dataset: tuple[int, ...] | None,
    num_classes: int,
) -> tuple[int, ...] | None:
    """What stands for each class in label files, where it is not its number.

    Raises:
        InputError: The dataset does not know it, or it is not a byte of its own for each class.
    """
    if wanted is None:
        return None
    if wanted == "dataset":
        if of_dataset is None:
            raise InputError(
                "label_values is dataset, but the labels of this data hold no number for each "
                "class. Give label_values a number for each class, such as [0, 255], or take it "
                "out."
            )
        wanted = of_dataset
    if isinstance(wanted, str) or not all(0 <= value <= IGNORE_INDEX for value in wanted):
        raise InputError(
            f"label_values is {wanted!r}, but a number from 0 to 255 for each class, or "
            "dataset, is expected."
        )
    if len(wanted) != num_classes or len(set(wanted)) != len(wanted):
        raise InputError(
            f"label_values is {list(wanted)}, but {num_classes} different numbers are needed, one "
            "for each class."
        )
    return tuple(wanted)
