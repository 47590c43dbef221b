"""All output files of one image, written from its first row to its last."""

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from lightning_seg.callbacks.label_png import label_png
from lightning_seg.data.reading.image_files import cut, may_lack_data, no_data
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.tiff import Window
from lightning_seg.files import naming, partial_path
from lightning_seg.own_files import complete_own
from lightning_seg.prediction.files import ENTROPY_STEPS, UNCERTAINTIES, Classes, PredictionFiles
from lightning_seg.prediction.geotiff import (
    GeoTiff,
    becomes_geotiff,
    read_georeference,
)
from lightning_seg.prediction.qgis_style import label_style
from lightning_seg.prediction.row_store import Rows


def output_paths(
    image: Path, stem: Path, files: PredictionFiles | None = None, multi_label: bool = False
) -> list[Path]:
    """Return the paths of all files that `ImageOutputs` writes for an image."""
    files = files or PredictionFiles()
    endings = [".tif" if multi_label or becomes_geotiff(image) else ".png"]
    endings += [raster_ending(name) for name in files.rasters]
    endings += [".qml"] if files.qgis_style else []
    endings += [] if files.polygons is None else [files.polygons.suffix]
    return [_with_ending(stem, ending) for ending in endings]


def raster_ending(name: str) -> str:
    """Return the end of the name of a map's file."""
    return f"_{name}.tif"


def _with_ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


_NO_ENTROPY = ENTROPY_STEPS + 1
_NO_COLOR = (0, 0, 0)


class _LabelFile(Protocol):
    def write(self, rows: np.ndarray) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class ImageOutputs:
    """The label raster of one image and, on request, its probabilities, uncertainties and polygons.

    All files get their final names once the last one is complete. The labels of a TIFF become a
    GeoTIFF with the same georeference and the class colours as colour table, those of other images
    a PNG with a palette. Pixels of the image without data (a nodata value, NaN, alpha 0, a mask)
    get the value 255. With ``classes.values`` both are greyscale, and if 255 is a
    class, the highest unused byte means nodata. Several labels per pixel always become a TIFF, with
    a band of 0 and 1 (or of the two ``classes.values``) for each class. Maps become GeoTIFFs, see
    `PredictionFiles`.

    Args:
        image: The image file.
        size: Its height and width.
        stem: Path of the files, without suffix.
        classes: Names, colours and pixel values of the classes.
        files: Which files are written.
        run: The run's folder; files of another run are not replaced.
        channels: Number of the image's channels that are in use.
    """

    def __init__(
        self,
        image: Path,
        size: tuple[int, int],
        stem: Path,
        classes: Classes,
        files: PredictionFiles | None = None,
        run: Path | None = None,
        channels: int = 3,
    ) -> None:
        self._classes = classes
        self._run = run
        self._files = files or PredictionFiles()
        self._stem = stem
        self._partial: dict[Path, Path] = {}
        self._confidence: Path | None = None
        self._image = image
        self._width = size[1]
        self._channels = channels
        self._may_lack_data = may_lack_data(image, channels)
        is_geotiff = becomes_geotiff(image)
        self._georeference = read_georeference(image) if is_geotiff else {}
        self._png: np.ndarray | None = None
        self._labels: _LabelFile
        if is_geotiff or classes.multi_label:
            several = classes.multi_label
            self._label_path = self._begin(".tif")
            self._labels = GeoTiff(
                self._label_path,
                (len(classes.names) if several else 1, *size),
                "uint8",
                self._georeference,
                nodata=classes.nodata if self._may_lack_data else None,
                colors=classes.colors if classes.values is None and not several else (),
                descriptions=classes.names if several else (),
                tags={}
                if several
                else {
                    f"CLASS_{number}": name
                    for number, name in zip(classes.numbers, classes.names, strict=True)
                },
                overviews="mode" if self._files.cloud_optimized else None,
            )
        else:
            self._label_path = self._begin(".png")
            self._labels = _Png(self._label_path, size, classes)
        self._maps = {name: self._map(name, size) for name in self._files.maps}

    def _map(self, name: str, size: tuple[int, int]) -> GeoTiff:
        """Begin the file of a map."""
        files, names = self._files, self._classes.names
        overviews: Literal["average"] | None = "average" if files.cloud_optimized else None
        path = _with_ending(self._stem, raster_ending(name))
        if name == "probabilities":
            return GeoTiff(
                self._begin(raster_ending(name)),
                (len(names), *size),
                files.rasters[name],
                self._georeference,
                descriptions=names,
                scale=1 / 255 if files.probabilities == "uint8" else None,
                overviews=overviews,
            )
        if name in UNCERTAINTIES:
            return GeoTiff(
                self._begin(raster_ending(name)),
                (1, *size),
                "uint8",
                self._georeference,
                nodata=_NO_ENTROPY if self._may_lack_data else None,
                descriptions=(name,),
                scale=1 / ENTROPY_STEPS,
                overviews=overviews,
            )
        self._confidence = partial_path(path)  # for polygons alone
        return GeoTiff(self._confidence, (1, *size), "uint8", {})

    def write(self, rows: Rows) -> None:
        """Append rows below the previous ones.

        Raises:
            OSError: A file cannot be written.
        """
        labels = rows.labels
        if self._classes.values is not None:
            labels = np.array(self._classes.values, np.uint8)[labels]
        maps = dict(rows.maps)
        if (empty := self._no_data(rows.first, labels.shape[-2])) is not None:
            labels = np.where(empty, np.uint8(self._classes.nodata), labels)
            for name in maps.keys() & set(UNCERTAINTIES):
                maps[name] = np.where(empty, np.uint8(_NO_ENTROPY), maps[name])
        self._labels.write(labels.reshape(-1, *labels.shape[-2:]))
        for name, file in self._maps.items():
            file.write(maps[name])

    def _no_data(self, first: int, rows: int) -> np.ndarray | None:
        """Return where rows of the image have no data, as in training; None if all have some."""
        if not self._may_lack_data:
            return None
        window = Window(first, 0, rows, self._width)
        if becomes_geotiff(self._image):
            return no_data(self._image, self._channels, window)
        return None if self._whole_no_data is None else cut(self._whole_no_data, window)

    @cached_property
    def _whole_no_data(self) -> np.ndarray | None:
        """Where an image that can only be decoded whole has no data."""
        return no_data(self._image, self._channels)

    def finish(self) -> list[Path]:
        """Close all files, give them their final names and return their paths.

        Raises:
            OSError: A file is incomplete, such as on a full disk; none gets its name then.
        """
        self._labels.close()
        for file in self._maps.values():
            file.close()
        if self._files.qgis_style:
            style = self._begin(".qml")
            with naming(style):
                style.write_text(label_style(self._classes), encoding="utf-8")
        if (polygons := self._files.polygons) is not None:
            labels = self._labels.pixels if isinstance(self._labels, _Png) else self._label_path
            path, classes = self._begin(polygons.suffix), self._classes
            assert self._confidence is not None, "polygons need it"
            polygons.write(labels, classes.names, path, self._confidence, classes.numbers)
            self._confidence.unlink()
        for path, partial in self._partial.items():
            complete_own(partial, path, self._run)
        return list(self._partial)

    def abandon(self) -> None:
        """Close and remove the unfinished files."""
        with suppress(OSError):
            self._labels.abandon()
        for file in self._maps.values():
            with suppress(OSError):
                file.abandon()
        unfinished = [*self._partial.values(), *([self._confidence] if self._confidence else [])]
        for partial in unfinished:
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

    def abandon(self) -> None:
        pass

    def close(self) -> None:
        # The pixels already hold the classes' values.
        values = None if self._classes.values is None else range(IGNORE_INDEX + 1)
        colors = list(self._classes.colors)
        if (self.pixels == IGNORE_INDEX).any():
            colors += [_NO_COLOR] * (IGNORE_INDEX + 1 - len(colors))
        png = label_png(torch.from_numpy(self.pixels), colors, values)
        with naming(self._path):
            self._path.write_bytes(png)
