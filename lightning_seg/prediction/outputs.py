"""All output files of one image, written from its first row to its last."""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from lightning_seg.callbacks.label_png import label_png
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.tiff import is_raster
from lightning_seg.files import naming, partial_path
from lightning_seg.own_files import complete_own
from lightning_seg.prediction.files import Classes, Probabilities
from lightning_seg.prediction.geotiff import Georeference, GeoTiff, rasterio, read_georeference
from lightning_seg.prediction.polygons import Polygons
from lightning_seg.prediction.row_store import Rows

_PROBABILITIES = "_probabilities.tif"


def output_paths(
    image: Path,
    stem: Path,
    probabilities: Probabilities | None = None,
    polygons: Polygons | None = None,
) -> list[Path]:
    """Return the paths of all files that `ImageOutputs` writes for an image."""
    endings = [".tif" if becomes_geotiff(image) else ".png"]
    endings += [] if probabilities is None else [_PROBABILITIES]
    endings += [] if polygons is None else [polygons.suffix]
    return [_with_ending(stem, ending) for ending in endings]


def becomes_geotiff(image: Path) -> bool:
    """Return whether an image's labels become a GeoTIFF; otherwise they become a PNG."""
    return is_raster(image) and rasterio is not None


def _with_ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


class _LabelFile(Protocol):
    def write(self, rows: np.ndarray) -> None: ...

    def close(self) -> None: ...


class ImageOutputs:
    """The label raster of one image and, on request, its probabilities and polygons.

    All files get their final names once the last one is complete. The labels of a TIFF become a
    GeoTIFF with the same georeference and the class colours as colour table; pixels of the image
    without data (a nodata value, NaN, alpha 0, a mask) get the value 255. The labels of other
    images become a PNG with a palette. With ``classes.values`` both are greyscale, and if 255 is a
    class, the highest unused byte means nodata. Probabilities become a GeoTIFF with one band per
    class: ``uint8`` (255 times the probability) or ``float16``.

    Args:
        image: The image file.
        size: Its height and width.
        stem: Path of the files, without suffix.
        classes: Names, colours and pixel values of the classes.
        probabilities: How probabilities are stored; None writes none.
        polygons: How outlines are written; None writes none.
        run: The run's folder; files of another run are not replaced.
        channels: Number of the image's channels that are in use.
    """

    def __init__(
        self,
        image: Path,
        size: tuple[int, int],
        stem: Path,
        classes: Classes,
        probabilities: Probabilities | None = None,
        polygons: Polygons | None = None,
        run: Path | None = None,
        channels: int = 3,
    ) -> None:
        self._classes = classes
        self._run = run
        self._polygons = polygons
        self._stem = stem
        self._partial: dict[Path, Path] = {}
        is_geotiff = becomes_geotiff(image)
        self._georeference = (
            read_georeference(image, channels) if is_geotiff else Georeference(image)
        )
        self._png: np.ndarray | None = None
        self._labels: _LabelFile
        if is_geotiff:
            self._label_path = self._begin(".tif")
            self._labels = GeoTiff(
                self._label_path,
                (1, *size),
                "uint8",
                self._georeference,
                nodata=classes.nodata if self._georeference.has_nodata else None,
                colors=classes.colors if classes.values is None else (),
                tags={
                    f"CLASS_{number}": name
                    for number, name in zip(classes.numbers, classes.names, strict=True)
                },
            )
        else:
            self._label_path = self._begin(".png")
            self._labels = _Png(self._label_path, size, classes)
        self._maps: GeoTiff | None = None
        if probabilities is not None:
            self._maps = GeoTiff(
                self._begin(_PROBABILITIES),
                (len(classes.names), *size),
                probabilities,
                self._georeference,
                descriptions=classes.names,
                scale=1 / 255 if probabilities == "uint8" else None,
            )

    def write(self, rows: Rows) -> None:
        """Append rows below the previous ones.

        Raises:
            OSError: A file cannot be written.
        """
        labels = rows.labels
        if self._classes.values is not None:
            labels = np.array(self._classes.values, np.uint8)[labels]
        if self._georeference.has_nodata:
            valid = self._georeference.valid(rows.first, len(labels))
            labels = np.where(valid, labels, np.uint8(self._classes.nodata))
        self._labels.write(labels[None])
        if self._maps is not None:
            assert rows.maps is not None, "rows have maps when probabilities are requested"
            self._maps.write(rows.maps)

    def finish(self) -> list[Path]:
        """Close all files, give them their final names and return their paths.

        Raises:
            OSError: A file is incomplete, such as on a full disk; none gets its name then.
        """
        self._labels.close()
        if self._maps is not None:
            self._maps.close()
        if self._polygons is not None:
            labels = self._labels.pixels if isinstance(self._labels, _Png) else self._label_path
            path = self._begin(self._polygons.suffix)
            self._polygons.write(labels, self._classes.names, path, self._classes.numbers)
        for path, partial in self._partial.items():
            complete_own(partial, path, self._run)
        return list(self._partial)

    def abandon(self) -> None:
        """Close and remove the unfinished files."""
        with suppress(OSError):
            self._labels.close()
        if self._maps is not None:
            with suppress(OSError):
                self._maps.close()
        for partial in self._partial.values():
            partial.unlink(missing_ok=True)

    def _begin(self, ending: str) -> Path:
        path = _with_ending(self._stem, ending)
        self._partial[path] = partial_path(path)
        return self._partial[path]


class _Png:
    """Labels collected in memory, because a PNG is written all at once."""

    def __init__(self, path: Path, size: tuple[int, int], classes: Classes) -> None:
        self._path = path
        self._classes = classes
        self._row = 0
        self.pixels = np.zeros(size, np.uint8)

    def write(self, rows: np.ndarray) -> None:
        self.pixels[self._row : self._row + rows.shape[1]] = rows[0]
        self._row += rows.shape[1]

    def close(self) -> None:
        # The pixels already hold the classes' values.
        values = None if self._classes.values is None else range(IGNORE_INDEX + 1)
        png = label_png(torch.from_numpy(self.pixels), self._classes.colors, values)
        with naming(self._path):
            self._path.write_bytes(png)
