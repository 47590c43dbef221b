"""Places of georeferenced rasters, where rasterio is installed."""

from pathlib import Path

from lightning_seg.data.reading.tiff import is_raster, opened
from lightning_seg.errors import InputError

try:
    import rasterio
except ImportError:  # optional: places are then not compared
    rasterio = None


def refuse_other_place(image: Path, partner: Path, kind: str) -> None:
    """Raise if two rasters are georeferenced, but their bounds differ by over a pixel.

    Args:
        image: The image file.
        partner: Its label, or another file that must cover the same area.
        kind: The partner's name in the message.
    """
    if rasterio is None or not (is_raster(image) and is_raster(partner)):
        return
    place, other = _place(image), _place(partner)
    if place is None or other is None:
        return
    (bounds, pixel, crs), (others, _, other_crs) = place, other
    if all(abs(one - two) <= pixel for one, two in zip(bounds, others, strict=True)):
        return
    raise InputError(
        f"{image} covers {_named(bounds, crs)}, but its {kind} {partner} covers "
        f"{_named(others, other_crs)}. Cut or project both to the same area, or remove the pair."
    )


def _place(path: Path) -> tuple[tuple[float, ...], float, object] | None:
    """Return the bounds, pixel size and coordinate system; None if there are none."""
    try:
        with opened(path) as source:
            if source.transform.is_identity:
                return None
            a, b, _, d, e, _ = source.transform[:6]
            return tuple(source.bounds), max(map(abs, (a, b, d, e))), source.crs
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path} cannot be read by GDAL ({error}). Replace the file.") from error


def _named(bounds: tuple[float, ...], crs: object) -> str:
    left, bottom, right, top = bounds
    system = f" ({crs})" if crs else ""
    return f"{left:.10g} to {right:.10g} by {bottom:.10g} to {top:.10g}{system}"
