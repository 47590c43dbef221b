import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data.reading import tiff as rasters
from lightning_seg.data.reading.image_files import image_size, read_image, read_label
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
WINDOW = Window(row=11, column=29, height=40, width=33)

LAYOUTS = {
    "uncompressed": {},
    "strips": {"rowsperstrip": 16},
    "deflate strips": {"rowsperstrip": 16, "compression": "zlib"},
    "deflate tiles": {"tile": (32, 32), "compression": "zlib"},
    "predictor": {"compression": "zlib", "predictor": True},
    "big endian": {"byteorder": ">"},
}


@pytest.fixture(params=["rasterio", "tifffile"])
def _engine(request, monkeypatch):
    if request.param == "tifffile":
        monkeypatch.setattr(rasters, "rasterio", None)
    elif rasters.rasterio is None:
        pytest.skip("rasterio is not installed")


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_window_is_the_same_part_of_the_whole_raster(tmp_path, layout, dtype):
    path = tmp_path / "a.tif"
    pixels = PIXELS.astype(dtype) * (257 if dtype == np.uint16 else 1)
    tifffile.imwrite(path, pixels, photometric="rgb", **layout)
    np.testing.assert_array_equal(read_image(path, 3), pixels)
    np.testing.assert_array_equal(read_image(path, 3, WINDOW), pixels[11:51, 29:62])
    assert read_image(path, 3, WINDOW).dtype == dtype


@pytest.mark.usefixtures("_engine")
def test_bands_stored_apart_are_put_together(tmp_path):
    path = tmp_path / "a.tif"
    bands = PIXELS.transpose(2, 0, 1)
    tifffile.imwrite(
        path, bands, photometric="rgb", planarconfig="separate", tile=(32, 32), compression="zlib"
    )
    assert image_size(path) == (70, 90)
    np.testing.assert_array_equal(read_image(path, 3, WINDOW), PIXELS[11:51, 29:62])


@pytest.mark.usefixtures("_engine")
def test_a_replaced_raster_is_read_by_its_new_header(tmp_path):
    path = tmp_path / "a.tif"
    for pixels in (PIXELS, PIXELS[:30].transpose(1, 0, 2)):
        tifffile.imwrite(path, pixels, photometric="rgb")
        assert image_size(path) == pixels.shape[:2]
        np.testing.assert_array_equal(read_image(path, 3), pixels)


@pytest.mark.usefixtures("_engine")
def test_the_header_of_an_unchanged_raster_is_read_once(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb")
    read_image(path, 3)
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"II*\0", b"none", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert image_size(path) == (70, 90)


@pytest.mark.usefixtures("_engine")
def test_a_window_is_read_without_the_rest_of_the_raster(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", rowsperstrip=10, compression="zlib")
    cut(path)
    first_rows = read_image(path, 3, Window(0, 0, 20, 90))
    np.testing.assert_array_equal(first_rows, PIXELS[:20])


def test_lzw_without_rasterio_is_read_whole_and_refused_by_window(tmp_path, monkeypatch):
    monkeypatch.setattr(rasters, "rasterio", None)
    path = tmp_path / "a.tif"
    Image.fromarray(PIXELS).save(path, compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(path, 3), PIXELS)
    with pytest.raises(InputError, match=r"a\.tif is compressed with LZW.*lightning_seg\[geo\]"):
        read_image(path, 3, WINDOW)


def test_photographs_are_rotated_by_their_exif_tag(tmp_path):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:, :30] = 255
    image = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert image_size(tmp_path / "a.jpg") == (40, 60)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", 3), upright, atol=30)


def test_grey_images_are_repeated_and_alpha_is_dropped(tmp_path):
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([PIXELS, PIXELS[..., 0]])).save(tmp_path / "alpha.png")
    grey = read_image(tmp_path / "grey.png", 3)
    np.testing.assert_array_equal(grey, PIXELS[..., :1].repeat(3, axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", 1), PIXELS[..., :1])
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png", 3), PIXELS)


def test_a_raster_of_four_bands_needs_four_channels(tmp_path):
    path = tmp_path / "a.tif"
    bands = np.dstack([PIXELS, PIXELS[..., 0]])
    tifffile.imwrite(path, bands, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_image(path, 4), bands)
    with pytest.raises(
        InputError, match=r"a\.tif has 4 channel.*set in_channels to 4 if the dataset has"
    ):
        read_image(path, 3)


def test_16_bit_grey_keeps_its_values(tmp_path):
    values = PIXELS[..., 0].astype(np.uint16) * 257
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 1)[..., 0], values)


@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_colours_keep_their_values(tmp_path, alpha):
    values = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    written = np.dstack([values[..., ::-1], values[..., :1]] if alpha else [values[..., ::-1]])
    cv2.imwrite(str(tmp_path / "a.png"), written)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 3), values)


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_with_overwritten_bytes_is_named(tmp_path, name):
    if name == "a.png":
        Image.fromarray(PIXELS).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, PIXELS, photometric="rgb", compression="zlib")
    content = bytearray((tmp_path / name).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} cannot be read as an image"):
        read_image(tmp_path / name, 3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_a_truncated_image_is_named(tmp_path, name):
    Image.fromarray(PIXELS).save(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name} cannot be read.*cut off.*Download"):
        read_image(cut(tmp_path / name), 3)


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_truncated_raster_is_named(tmp_path, layout):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", **layout)
    with pytest.raises(InputError, match=r"a\.tif cannot be read.*cut off.*Download"):
        read_image(cut(tmp_path / "a.tif"), 3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("content", [b"", b"this is a text, whatever its name says"])
def test_a_file_that_is_not_an_image_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    for read in (image_size, lambda path: read_image(path, 3)):
        with pytest.raises(InputError, match=f"{name} cannot be read as an image"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"{name} does not exist"):
        read_image(tmp_path / name, 3)


IDS = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)


def label_image(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(IDS.astype(np.uint16))
    image = Image.fromarray(IDS)
    if mode != "P":
        return image.convert(mode)
    image.putpalette(PALETTE.tobytes())
    return image


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_ids_are_read_from_every_kind_of_png(tmp_path, mode):
    label_image(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", colors=False), IDS)


def test_ids_of_16_bits_are_read_from_a_label_saved_as_rgb(tmp_path):
    ids = IDS.astype(np.uint16) + 300
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([ids, ids, ids]))
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", colors=False), ids)


@pytest.mark.usefixtures("_engine")
def test_a_second_band_of_ids_may_only_be_alpha(tmp_path):
    path, bands = tmp_path / "a.tif", np.dstack([IDS, 1 - IDS])
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(path, bands, extrasamples=["unassalpha"], **options)
    np.testing.assert_array_equal(read_label(path, colors=False), IDS)
    tifffile.imwrite(path, bands, extrasamples=["unspecified"], **options)
    with pytest.raises(InputError, match=r"a\.tif has 2 bands.*set multi_label"):
        read_label(path, colors=False)


def test_a_one_bit_label_holds_0_and_1(tmp_path):
    Image.fromarray(IDS > 0).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", colors=False), IDS > 0)


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_colours_are_read_from_every_kind_of_png(tmp_path, mode):
    label_image("P").convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", colors=True), PALETTE[IDS])


def test_grey_is_a_colour_of_three_equal_parts(tmp_path):
    label_image("L").save(tmp_path / "a.png")
    expected = np.stack([IDS, IDS, IDS], axis=2)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", colors=True), expected)


def test_a_colour_label_where_ids_are_expected_names_the_palette(tmp_path):
    label_image("P").convert("RGB").save(tmp_path / "a.png")
    message = r"a\.png is a colour label.*\(255, 0, 0\) at row 0, column 1.*as palette"
    with pytest.raises(InputError, match=message):
        read_label(tmp_path / "a.png", colors=False)


def paletted_by_pillow(path: Path, compression: str | None = None) -> None:
    label_image("P").save(path, compression=compression)


def paletted_by_tifffile(path: Path) -> None:
    colors = np.zeros((3, 256), np.uint16)
    colors[:, :3] = PALETTE.T.astype(np.uint16) * 257
    tifffile.imwrite(path, IDS, photometric="palette", colormap=colors)


def paletted_by_rasterio(path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    kind = {"driver": "GTiff", "dtype": "uint8", "count": 1, "photometric": "palette"}
    with rasterio.open(path, "w", height=2, width=3, **kind) as file:
        file.write(IDS, 1)
        file.write_colormap(1, {index: (*color, 255) for index, color in enumerate(PALETTE)})


@pytest.mark.usefixtures("_engine")
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize(
    "write",
    [
        paletted_by_pillow,
        partial(paletted_by_pillow, compression="tiff_lzw"),
        paletted_by_tifffile,
        paletted_by_rasterio,
    ],
    ids=["Pillow", "Pillow, LZW", "tifffile", "rasterio"],
)
def test_a_paletted_tiff_gives_indices_as_ids_and_entries_as_colours(tmp_path, write):
    path = tmp_path / "a.tif"
    write(path)
    np.testing.assert_array_equal(read_label(path, colors=False), IDS)
    np.testing.assert_array_equal(read_label(path, colors=True), PALETTE[IDS])
    np.testing.assert_array_equal(read_image(path, 3), PALETTE[IDS])


@pytest.mark.usefixtures("_engine")
def test_a_window_of_a_paletted_tiff_gives_colours(tmp_path):
    path = tmp_path / "a.tif"
    paletted_by_tifffile(path)
    np.testing.assert_array_equal(read_image(path, 3, Window(0, 1, 2, 2)), PALETTE[IDS][:, 1:])


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_0_is_white_ids_are_as_stored_and_images_as_shown(tmp_path, dtype):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IDS.astype(dtype), photometric="miniswhite")
    np.testing.assert_array_equal(read_label(path, colors=False), IDS)
    shown = np.iinfo(dtype).max - IDS.astype(dtype)
    np.testing.assert_array_equal(read_image(path, 1)[..., 0], shown)
    assert read_image(path, 1).dtype == dtype


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_one_bit_tiff_holds_0_and_1_and_shows_black_and_white(tmp_path, photometric):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IDS > 0, photometric=photometric)
    np.testing.assert_array_equal(read_label(path, colors=False), IDS > 0)
    white = (IDS > 0) == (photometric == "minisblack")
    np.testing.assert_array_equal(read_image(path, 1)[..., 0], 255 * white)


def stored_for(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Return the stored pixels of a file with this orientation tag (TIFF 6.0, p. 36)."""
    across = {1: "left", 2: "right", 3: "right", 4: "left"}
    down = {1: "top", 2: "top", 3: "bottom", 4: "bottom"}
    sides = {5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom")}
    if orientation in sides:  # row 0 is a side of the visual image, column 0 its top or bottom
        side, edge = sides[orientation]
    else:
        side, edge = across[orientation], down[orientation]
    stored = upright[::-1] if edge == "bottom" else upright
    stored = stored[:, ::-1] if side == "right" else stored
    return np.ascontiguousarray(stored.swapaxes(0, 1) if orientation in sides else stored)


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rasters_are_rotated_by_their_orientation_tag(tmp_path, orientation):
    path = tmp_path / "a.tif"
    tag = [(274, 3, 1, orientation, True)]
    stored = stored_for(PIXELS, orientation)
    tifffile.imwrite(
        path, stored, photometric="rgb", rowsperstrip=16, compression="zlib", extratags=tag
    )
    assert image_size(path) == PIXELS.shape[:2]
    np.testing.assert_array_equal(read_image(path, 3), PIXELS)
    np.testing.assert_array_equal(read_label(path, colors=True), PIXELS)
    np.testing.assert_array_equal(read_image(path, 3, WINDOW), PIXELS[11:51, 29:62])


@pytest.mark.parametrize("orientation", [3, 6])
def test_photographs_in_jpeg_and_tiff_are_rotated_alike(tmp_path, orientation):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:10, :30] = 255
    stored = stored_for(upright, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    Image.fromarray(stored).save(tmp_path / "a.tif", tiffinfo={274: orientation})
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", 3), upright, atol=30)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 3), upright)


def test_a_rotated_lzw_file_without_rasterio_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(rasters, "rasterio", None)
    path = tmp_path / "a.tif"
    Image.fromarray(PIXELS).save(path, compression="tiff_lzw", tiffinfo={274: 3})
    with pytest.raises(InputError, match=r"a\.tif is compressed with LZW.*lightning_seg\[geo\]"):
        read_image(path, 3)
