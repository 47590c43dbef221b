"""Checks before a prediction: no file is overwritten, lost georeferences are reported."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import is_raster
from lightning_seg.errors import InputError
from lightning_seg.prediction.geotiff import has_place, is_turned
from lightning_seg.prediction.outputs import becomes_geotiff


def refuse_clashes(files: Mapping[Pair, Sequence[Path]]) -> None:
    """Raise if predictions would overwrite each other or an input file."""
    read = {
        path.resolve(): path
        for pair in files
        for path in (pair.image, pair.extra)
        if path is not None
    }
    written: dict[Path, Path] = {}
    for pair, paths in files.items():
        for path in paths:
            place = path.resolve()
            if place in read:
                raise InputError(
                    f"The prediction of {pair.image} would overwrite the image {read[place]}. Set "
                    "output_dir (--predictions.output_dir) to a different folder."
                )
            if place in written:
                raise InputError(
                    f"The predictions of {written[place]} and {pair.image} would both be named "
                    f"{path.name}. Rename one of the images."
                )
            written[place] = pair.image


def warn_of_lost_places(pairs: Sequence[Pair], why_whole: str = "") -> None:
    """Warn once if labels of georeferenced images will have no georeference."""
    for pair in pairs:
        image = pair.image
        if not is_raster(image) or not has_place(image):
            continue
        if why_whole:
            reason = f"images are predicted whole. {why_whole}"
        elif not becomes_geotiff(image):
            reason = "GeoTIFFs need rasterio: pip install 'lightning_seg[geo]'"
        elif is_turned(image):
            reason = "its Orientation tag says that it is stored rotated. Save it upright"
        else:
            continue
        rank_zero_warn(
            f"The labels of {image} (and others like it) will have no georeference: {reason}"
        )
        return
