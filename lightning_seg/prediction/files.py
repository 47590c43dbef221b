"""Settings of the files that a prediction writes."""

from dataclasses import dataclass
from typing import Literal

from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.errors import InputError
from lightning_seg.prediction.polygons import Polygons

Probabilities = Literal["uint8", "float16"]
# Maps in [0, 1] with a no-data value.
UNCERTAINTIES = ("entropy", "disagreement")
# The value 1 is stored as this byte; the next one means no data.
ENTROPY_STEPS = 254


@dataclass(frozen=True)
class PredictionFiles:
    """Settings of the files that a prediction writes.

    Args:
        output_dir: Output folder; by default ``predictions`` in the run's folder.
        probabilities: Also write ``NAME_probabilities.tif`` with one band per class, as ``uint8``
            (255 times the probability, the smaller file) or ``float16``.
        polygons: Also write the outlines of objects.
        label_values: The pixel value, 0 to 255, of each class in label files: a list with one value
            per class, or ``dataset`` for the values of the dataset's own labels, which its test
            server expects (Cityscapes label ids, INRIA's 0 and 255). Such files are greyscale,
            without a palette. By default a class's value is its index. With several labels per
            pixel, the two values of absent and present, by default 0 and 1.
        entropy: Also write ``NAME_entropy.tif``: the entropy of each pixel's probabilities over
            the logarithm of the number of classes, from 0 (certain) to 1 (all classes equally
            probable). Bytes are 254 times that, which readers undo by the file's scale; 255 is no
            data.
        disagreement: Also write ``NAME_disagreement.tif``, for an ensemble: the part of the entropy
            that comes from members contradicting each other, in the same unit and bytes; see
            `Ensemble.probabilities_and_disagreement`. It is 0 where all members agree.
        cloud_optimized: Write GeoTIFFs as cloud-optimised ones, with overviews.
        mosaic: Also write ``mosaic.vrt`` over the labels of all images, and one over their
            probabilities and uncertainties, once all are finished. Images must have one coordinate
            system and one pixel size.
        qgis_style: Also write ``NAME.qml`` with the names and colours of the classes, which QGIS
            applies to the labels.
    """

    output_dir: str | None = None
    probabilities: Probabilities | None = None
    polygons: Polygons | None = None
    label_values: Literal["dataset"] | list[int] | None = None
    entropy: bool = False
    disagreement: bool = False
    cloud_optimized: bool = False
    mosaic: bool = False
    qgis_style: bool = False

    def check_several_labels(self) -> None:
        """Raise InputError if a file is only possible with one label per pixel."""
        for name in ("polygons", *UNCERTAINTIES, "qgis_style"):
            if getattr(self, name):
                raise InputError(
                    f"predictions.{name} is for one label per pixel, but here pixels have several. "
                    "Remove it; predictions.probabilities writes the probability of each."
                )

    @property
    def rasters(self) -> dict[str, Probabilities]:
        """Kind of the maps that are written as GeoTIFFs, by name."""
        kinds: dict[str, Probabilities] = {}
        if self.probabilities is not None:
            kinds["probabilities"] = self.probabilities
        kinds |= {name: "uint8" for name in UNCERTAINTIES if getattr(self, name)}
        return kinds

    @property
    def maps(self) -> dict[str, Probabilities]:
        """Kind of all maps that are computed, by name; polygons need the labels' probability."""
        return self.rasters | ({} if self.polygons is None else {"confidence": "uint8"})


@dataclass(frozen=True)
class Classes:
    """Names, colours and pixel values of the classes in label files.

    Args:
        names: One name per class.
        colors: One RGB colour per class, 0 to 255.
        values: One pixel value per class, 0 to 255; the files are then greyscale. By default a
            class's value is its index.
        multi_label: Whether pixels have several labels: the files then have a band for each class,
            of two values.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    values: tuple[int, ...] | None = None
    multi_label: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """Pixel value of each class in the files, or of absent and present."""
        return self.values or tuple(range(2 if self.multi_label else len(self.names)))

    @property
    def nodata(self) -> int:
        """Nodata value: the highest byte that is not a class, usually 255."""
        return max(set(range(IGNORE_INDEX + 1)) - set(self.numbers))


def checked_label_values(
    wanted: str | list[int] | tuple[int, ...] | None,
    of_dataset: tuple[int, ...] | None,
    num_classes: int,
) -> tuple[int, ...] | None:
    """Return the pixel value of each class in label files; None where it is the class index."""
    if wanted is None:
        return None
    if wanted == "dataset":
        if of_dataset is None:
            raise InputError(
                "label_values is dataset, but this dataset defines no label value for each class. "
                "Set label_values to one value per class, such as [0, 255], or remove it."
            )
        wanted = of_dataset
    if isinstance(wanted, str) or not all(0 <= value <= IGNORE_INDEX for value in wanted):
        raise InputError(
            f"label_values is {wanted!r}, expected a list with one value from 0 to 255 per class, "
            "or dataset."
        )
    if len(wanted) != num_classes or len(set(wanted)) != len(wanted):
        raise InputError(
            f"label_values is {list(wanted)}, expected {num_classes} different values, one per "
            "class."
        )
    return tuple(wanted)
