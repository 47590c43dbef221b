"""Files made to break a reader: each is refused by name, before it takes any memory."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data.reading import limits
from lightning_seg.data.reading import tiff as rasters
from lightning_seg.data.reading.image_files import image_size, read_image, read_label
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
SHORT, LONG, FLOAT, ASCII = 3, 4, 11, 2
WIDTH, LENGTH, BITS, SAMPLES = 256, 257, 258, 277
ROWS_PER_STRIP, TILE_WIDTH, TILE_LENGTH = 278, 322, 323


@pytest.fixture(params=["rasterio", "tifffile"])
def _engine(request, monkeypatch):
    if request.param == "tifffile":
        monkeypatch.setattr(rasters, "rasterio", None)
    elif rasters.rasterio is None:
        pytest.skip("rasterio is not installed")


def overwrite_tag(path: Path, code: int, value: int, kind: int = LONG) -> None:
    """Overwrite a tag's entry in the only directory of a little-endian TIFF."""
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", content, place)[0] == code:
            struct.pack_into("<HHII", content, place, code, kind, 1, value)
            path.write_bytes(content)
            return
    raise AssertionError(f"no tag {code}")


def write_png_header(path: Path, height: int, width: int, bits: int) -> None:
    """Write a PNG of RGB colours that promises this size in 60 bytes."""
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"tile": (32, 32)}])
@pytest.mark.parametrize(
    ("tag", "value", "kind"),
    [
        (LENGTH, 200_000, LONG),
        (WIDTH, 4_000_000, LONG),
        (WIDTH, 0, LONG),
        (LENGTH, 2**32 - 1, LONG),
        (SAMPLES, 60_000, SHORT),
        (BITS, 14, SHORT),
        (WIDTH, 0x42340000, FLOAT),
        (LENGTH, 0x41414141, ASCII),
    ],
)
def test_a_raster_whose_header_lies_is_named(tmp_path, layout, tag, value, kind):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", **layout)
    overwrite_tag(path, tag, value, kind)
    for window in (None, Window(0, 0, 10, 10)):
        with pytest.raises(InputError, match=r"a\.tif"):
            read_image(path, 3, window)


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("value", [0, 2**31])
@pytest.mark.parametrize("tag", [TILE_WIDTH, TILE_LENGTH])
def test_a_raster_with_impossible_tiles_is_named(tmp_path, tag, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(32, 32), compression="zlib")
    overwrite_tag(path, tag, value)
    with pytest.raises(InputError, match=r"a\.tif"):
        read_image(path, 3)


@pytest.mark.usefixtures("_engine")
def test_a_raster_that_lists_too_few_strips_is_refused_by_its_header(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", rowsperstrip=10, compression="zlib")
    overwrite_tag(path, LENGTH, 2_000_000)
    with pytest.raises(InputError, match="7 strips or tiles are listed, 200000 are needed"):
        image_size(path)


def test_memory_that_runs_out_is_not_called_damage(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(np, "asarray", exhausted)
    with pytest.raises(InputError, match=r"a\.png needs more memory than there is"):
        read_image(tmp_path / "a.png", 3)


@pytest.mark.parametrize(("side", "bits"), [(13_000, 8), (30_000, 16)])
def test_a_decompression_bomb_is_refused(tmp_path, side, bits):
    path = tmp_path / "a.png"
    write_png_header(path, side, side, bits)
    for read in (image_size, lambda path: read_image(path, 3), lambda p: read_label(p, True)):
        with pytest.raises(InputError, match=rf"a\.png would be decoded to {side} x {side} pixels"):
            read(path)


@pytest.mark.usefixtures("_engine")
def test_a_bomb_in_a_raster_is_refused_whole_and_can_be_read_by_window(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "_UNSUSPICIOUS", 2**20)
    path = tmp_path / "a.tif"
    black = np.zeros((2000, 1000, 3), np.uint8)
    tifffile.imwrite(path, black, photometric="rgb", rowsperstrip=100, compression="zlib")
    with pytest.raises(InputError, match=r"a\.tif would be decoded to 1000 x 2000 pixels"):
        read_image(path, 3)
    assert not read_image(path, 3, Window(1900, 900, 100, 100)).any()


def test_an_image_beyond_pillows_limit_is_read(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 3), PIXELS)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp", "a.webp"])
def test_the_environment_sets_the_limit_of_pixels(tmp_path, monkeypatch, name):
    Image.fromarray(PIXELS).save(tmp_path / name)
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "6299")
    with pytest.raises(InputError, match=rf"{name} would be.*{limits.LIMIT_VARIABLE} to 6300"):
        read_image(tmp_path / name, 3)
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "6300")
    assert read_image(tmp_path / name, 3).shape == PIXELS.shape


def test_the_environment_can_permit_what_looks_like_a_bomb(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"little")
    with pytest.raises(InputError, match="like a decompression bomb"):
        limits.refuse_too_large(path, 20_000, 20_000, 1)
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "400000000")
    limits.refuse_too_large(path, 20_000, 20_000, 1)
    monkeypatch.setenv(limits.LIMIT_VARIABLE, "many")
    with pytest.raises(InputError, match=r"'many'\. Set"):
        limits.refuse_too_large(path, 1, 1, 1)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_flipped_bit_of_a_png_is_found(tmp_path, bits):
    path = tmp_path / "a.png"
    pixels = PIXELS[:6, :7].astype(np.uint16) * 257 if bits == 16 else PIXELS[:6, :7]
    cv2.imwrite(str(path), pixels)
    content = path.read_bytes()
    for place in range(len(content)):
        mangled = bytearray(content)
        mangled[place] ^= 1 << place % 8
        path.write_bytes(mangled)
        with pytest.raises(InputError, match=r"a\.png cannot be read|a\.png would be decoded"):
            read_label(path, colors=True) if bits == 8 else read_image(path, 3)


def test_a_png_without_its_end_is_cut_off(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    os.truncate(tmp_path / "a.png", (tmp_path / "a.png").stat().st_size - 6)
    with pytest.raises(InputError, match=r"a\.png cannot be read.*cut off"):
        read_image(tmp_path / "a.png", 3)


def test_a_name_too_long_for_the_file_system_is_one_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / ("a" * 300 + ".png"), 3)


def test_a_file_that_pillow_would_give_to_another_program_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(InputError, match=r"a\.png cannot be read.*of no known format"):
        read_image(tmp_path / "a.png", 3)
