"""A GDAL virtual raster (VRT) over the predictions of a folder of tiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from lightning_seg.data.reading.tiff import is_raster
from lightning_seg.errors import InputError
from lightning_seg.prediction.geotiff import is_rotated, rasterio, read_georeference

MOSAIC = "mosaic"
# Difference of pixel sizes that readers cannot see.
_SAME_SIZE = 1e-6


def refuse_mosaic(images: Sequence[Path]) -> None:
    """Raise unless the predictions of all images fit one raster.

    Raises:
        InputError: An image has no georeference or is rotated, or two have different coordinate
            systems or pixel sizes.
    """
    first: tuple[Path, dict[str, Any]] | None = None
    for image in images:
        readable = is_raster(image) and not is_rotated(image)
        profile = read_georeference(image) if readable else {}
        place = profile.get("transform")
        if place is None or place.b or place.d or place.e >= 0 or place.a <= 0:
            raise InputError(
                f"A mosaic needs images whose header places them with north up, unlike {image}. "
                "Warp it (gdalwarp), or leave out predictions.mosaic."
            )
        if first is None:
            first = image, profile
            continue
        other, known = first
        if profile["crs"] != known["crs"]:
            raise InputError(
                f"A mosaic needs one coordinate system, but {other} has {known['crs']} and {image} "
                f"has {profile['crs']}. Reproject one of them (gdalwarp -t_srs), or leave out "
                "predictions.mosaic: images are never reprojected here."
            )
        sizes = (known["transform"].a, known["transform"].e), (place.a, place.e)
        if any(abs(a - b) > _SAME_SIZE * abs(a) for a, b in zip(*sizes, strict=True)):
            raise InputError(
                f"A mosaic needs one pixel size, but that of {other} is "
                f"{sizes[0][0]:.10g} x {-sizes[0][1]:.10g} and that of {image} "
                f"{sizes[1][0]:.10g} x {-sizes[1][1]:.10g}. Resample one of them (gdalwarp -tr), "
                "or leave out predictions.mosaic."
            )


def mosaic_vrt(tiles: Sequence[Path], nodata: int | None = None) -> str:
    """Return a VRT over GeoTIFFs in its own folder, for which `refuse_mosaic` raises nothing.

    Bands, colours, names and scales are those of the first tile. Where tiles overlap, the last one
    is on top.

    Args:
        tiles: The GeoTIFFs.
        nodata: Value of pixels without a tile, which means no data in the tiles, too; by default
            such pixels are 0.
    """
    headers = [_Header(path) for path in tiles]
    first = headers[0]
    left = min(tile.bounds[0] for tile in headers)
    top = max(tile.bounds[3] for tile in headers)
    right = max(tile.bounds[2] for tile in headers)
    bottom = min(tile.bounds[1] for tile in headers)
    x, y = first.transform.a, -first.transform.e
    root = Element(
        "VRTDataset",
        rasterXSize=str(round((right - left) / x)),
        rasterYSize=str(round((top - bottom) / y)),
    )
    if first.crs is not None:
        SubElement(root, "SRS").text = first.crs
    SubElement(root, "GeoTransform").text = f"{left!r}, {x!r}, 0, {top!r}, 0, {-y!r}"
    _add_tags(root, first.tags)
    for number in range(len(first.types)):
        band = _add_band(root, first, number, nodata)
        for path, tile in zip(tiles, headers, strict=True):
            _add_source(band, path, tile, number, nodata, (left, top))
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


class _Header:
    """What a VRT needs to know of a tile."""

    def __init__(self, path: Path) -> None:
        with rasterio.open(path, driver="GTiff") as file:
            self.bounds = tuple(file.bounds)
            self.transform = file.transform
            self.crs = file.crs.to_wkt() if file.crs else None
            self.size = file.width, file.height
            self.types = [_gdal_type(name) for name in file.dtypes]
            self.blocks = file.block_shapes
            self.descriptions = file.descriptions
            self.scales = file.scales
            self.tags = {k: v for k, v in file.tags().items() if k.startswith("CLASS_")}
            palette = file.colorinterp[0].name == "palette"
            self.colors = file.colormap(1) if palette else None


def _add_tags(parent: Element, tags: dict[str, str]) -> None:
    if tags:
        metadata = SubElement(parent, "Metadata")
        for key, value in tags.items():
            SubElement(metadata, "MDI", key=key).text = value


def _add_band(root: Element, tile: _Header, number: int, nodata: int | None) -> Element:
    band = SubElement(root, "VRTRasterBand", dataType=tile.types[number], band=str(number + 1))
    if tile.descriptions[number]:
        SubElement(band, "Description").text = tile.descriptions[number]
    if nodata is not None:
        SubElement(band, "NoDataValue").text = str(nodata)
    if tile.scales[number] != 1:
        SubElement(band, "Scale").text = repr(tile.scales[number])
    if tile.colors is not None:
        SubElement(band, "ColorInterp").text = "Palette"
        table = SubElement(band, "ColorTable")
        for value in range(256):
            color = (0,) * 4 if value == nodata else tile.colors.get(value, (0, 0, 0, 255))
            entry = {f"c{k + 1}": str(channel) for k, channel in enumerate(color)}
            SubElement(table, "Entry", entry)
    return band


def _add_source(
    band: Element,
    path: Path,
    tile: _Header,
    number: int,
    nodata: int | None,
    corner: tuple[float, float],
) -> None:
    source = SubElement(band, "SimpleSource" if nodata is None else "ComplexSource")
    SubElement(source, "SourceFilename", relativeToVRT="1").text = path.name
    SubElement(source, "SourceBand").text = str(number + 1)
    width, height = map(str, tile.size)
    rows, columns = tile.blocks[number]
    SubElement(
        source,
        "SourceProperties",
        RasterXSize=width,
        RasterYSize=height,
        DataType=tile.types[number],
        BlockXSize=str(columns),
        BlockYSize=str(rows),
    )
    place = tile.transform
    # Tiles of one grid begin at whole pixels, but for rounding.
    offsets = (place.c - corner[0]) / place.a, (place.f - corner[1]) / place.e
    x, y = (str(round(offset, 3)) for offset in offsets)
    SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
    SubElement(source, "DstRect", xOff=x, yOff=y, xSize=width, ySize=height)
    if nodata is not None:
        SubElement(source, "NODATA").text = str(nodata)


def _gdal_type(name: str) -> str:
    return {"uint8": "Byte", "float32": "Float32"}[name]
