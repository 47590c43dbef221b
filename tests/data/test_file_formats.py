import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data import FolderDataModule
from lightning_seg.data.reading import tiff as rasters
from lightning_seg.data.reading.image_files import image_size, read_image, read_label
from lightning_seg.data.reading.pairs import find_images, images_at
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
WINDOW = Window(row=11, column=29, height=40, width=33)


def write_tiff(path, pixels):
    rasterio = pytest.importorskip("rasterio")
    height, width, bands = pixels.shape
    kind = {"driver": "GTiff", "dtype": pixels.dtype, "count": bands}
    place = rasterio.transform.from_origin(100, 200, 0.5, 0.5)
    with rasterio.open(path, "w", height=height, width=width, transform=place, **kind) as file:
        file.write(pixels.transpose(2, 0, 1))


def write_jp2(path, pixels):
    rasterio = pytest.importorskip("rasterio.shutil")
    write_tiff(path.with_suffix(".tif"), pixels)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
    rasterio.copy(path.with_suffix(".tif"), path, driver="JP2OpenJPEG", **lossless)
    path.with_suffix(".tif").unlink()


def write_vrt(path, pixels):
    """Write a VRT of a TIFF in a folder beside it."""
    rasterio = pytest.importorskip("rasterio.shutil")
    tiles = path.parent.parent / "tiles"
    tiles.mkdir(exist_ok=True)
    write_tiff(tiles / f"{path.stem}.tif", pixels)
    rasterio.copy(tiles / f"{path.stem}.tif", path, driver="VRT")


@pytest.mark.parametrize(("write", "suffix"), [(write_jp2, ".jp2"), (write_vrt, ".vrt")])
def test_jpeg_2000_and_vrt_are_read_by_window(tmp_path, write, suffix):
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / f"a{suffix}"
    write(path, PIXELS)
    assert image_size(path) == (70, 90)
    np.testing.assert_array_equal(read_image(path, 3), PIXELS)
    np.testing.assert_array_equal(read_image(path, 3, WINDOW), PIXELS[11:51, 29:62])
    np.testing.assert_array_equal(read_label(path, colors=True), PIXELS)


@pytest.mark.parametrize("name", ["a.jp2", "a.vrt"])
def test_what_only_gdal_reads_names_rasterio_where_it_is_missing(tmp_path, monkeypatch, name):
    monkeypatch.setattr(rasters, "rasterio", None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match=rf"{name} needs rasterio: pip install"):
        read_image(tmp_path / name, 3)


@pytest.mark.parametrize("name", ["a.jp2", "a.vrt"])
@pytest.mark.parametrize("content", [b"", b"no raster", b"<VRTDataset/>"])
def test_a_broken_jpeg_2000_or_vrt_is_named(tmp_path, name, content):
    pytest.importorskip("rasterio")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} cannot be read as an image"):
        image_size(tmp_path / name)


@pytest.fixture
def requests():
    """A web server on this machine, which notes the paths that are asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a.tif", asked
        server.shutdown()


@pytest.mark.parametrize(
    "way", ["address", "proxy", "service", "nested", "case", "namespace", "metadata", "table"]
)
def test_a_vrt_reaches_no_address(tmp_path, monkeypatch, requests, way):
    pytest.importorskip("rasterio")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address, asked = requests
    source, service = f"/vsicurl/{address}", tmp_path / "service.xml"
    if way == "service":
        source = str(service)
        service.write_text(
            f"<GDAL_WMS><Service name='TMS'><ServerUrl>{address}</ServerUrl></Service></GDAL_WMS>"
        )
    path = tmp_path / "a.vrt"
    if way == "proxy":
        source = f"/vsicurl?proxy={address}&amp;url={address}"
    if way == "table":  # of a format whose files name others
        source = str(tmp_path / "a.gpkg")
        (tmp_path / "a.gpkg").write_bytes(b"SQLite format 3\0")
    if way == "nested":
        write_plain_vrt(path, tmp_path / "b.vrt")
        write_plain_vrt(tmp_path / "b.vrt", source)
    else:
        write_plain_vrt(path, source)
    text = path.read_text()
    if way == "case":
        text = text.replace("SourceFilename", "sourcefilename")
    elif way == "namespace":
        text = text.replace("<VRTDataset", '<VRTDataset xmlns="x"')
    elif way == "metadata":
        write_tiff(tmp_path / "b.tif", PIXELS)
        text = text.replace(source, str(tmp_path / "b.tif"))
        places = f"<Metadata domain='GEOLOCATION'><MDI key='X_DATASET'>{source}</MDI></Metadata>"
        text = text.replace("</VRTDataset>", f"{places}</VRTDataset>")
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.vrt cannot be read .*it names '.*', which"):
        read_image(path, 3)
    assert asked == []


def write_plain_vrt(path, source):
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{source}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path.write_text(f'<VRTDataset rasterXSize="90" rasterYSize="70">{bands}</VRTDataset>')


def test_addresses_and_archives_in_a_vrt_are_read_where_they_are_allowed(tmp_path, monkeypatch):
    pytest.importorskip("rasterio")
    monkeypatch.setenv("LIGHTNING_SEG_REMOTE_RASTERS", "1")
    served = tmp_path / "served"
    served.mkdir()
    write_tiff(served / "a.tif", PIXELS)
    with ZipFile(tmp_path / "tiles.zip", "w") as archive:
        archive.write(served / "a.tif", "a.tif")
    write_plain_vrt(tmp_path / "zip.vrt", f"/vsizip/{tmp_path}/tiles.zip/a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "zip.vrt", 3), PIXELS)
    handler = partial(SimpleHTTPRequestHandler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.tif"
        write_plain_vrt(tmp_path / "web.vrt", f"/vsicurl/{address}")
        np.testing.assert_array_equal(read_image(tmp_path / "web.vrt", 3), PIXELS)
        server.shutdown()


def test_a_path_that_only_gdal_knows_is_refused_and_a_vrt_named_instead():
    with pytest.raises(InputError, match=r"is /vsizip/a.zip/b.tif, a path .* Name it in a VRT"):
        images_at("/vsizip/a.zip/b.tif")


def test_jfif_is_jpeg(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.jfif")
    assert list(find_images(tmp_path)) == ["a"]
    assert read_image(tmp_path / "a.jfif", 3).shape == PIXELS.shape


def write_pairs(root, count=2):
    for index in range(count):
        for folder in ("images", "masks"):
            path = root / folder / "town" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), index % 2, np.uint8)).save(path)


def test_an_image_in_a_format_that_is_not_read_is_named_as_such(tmp_path):
    write_pairs(tmp_path)
    path = tmp_path / "images/town/1.png"
    Image.open(path).save(path.with_suffix(".gif"))
    path.unlink()
    with pytest.raises(InputError, match=r"1\.gif is there, but \.gif is not read: convert it"):
        FolderDataModule(tmp_path, num_classes=2).pairs("train")


def test_a_folder_of_formats_that_are_not_read_is_named_with_them(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"no image that can be read, but \.gif\. Read are \.png"):
        find_images(tmp_path)


def test_linked_sub_folders_are_followed_but_not_in_circles(tmp_path):
    write_pairs(tmp_path)
    write_pairs(tmp_path / "elsewhere")
    for folder in ("images", "masks"):
        (tmp_path / folder / "linked").symlink_to(tmp_path / "elsewhere" / folder)
        (tmp_path / folder / "circle").symlink_to(tmp_path / folder)
    pairs = FolderDataModule(tmp_path, num_classes=2, fractions=(1, 0, 0)).pairs("train")
    assert [p.name for p in pairs] == ["linked/town/0", "linked/town/1", "town/0", "town/1"]


def test_two_folders_that_link_to_each_other_end(tmp_path):
    write_pairs(tmp_path)
    shutil.rmtree(tmp_path / "masks")
    (tmp_path / "images/b").mkdir()
    (tmp_path / "images/b/c").symlink_to(tmp_path / "images/town")
    (tmp_path / "images/town/d").symlink_to(tmp_path / "images/b")
    names = ["b/c/0", "b/c/1", "town/0", "town/1"]
    assert list(find_images(tmp_path / "images")) == names


def test_a_missing_folder_with_a_name_too_long_is_one_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        find_images(tmp_path / ("a" * 300))


def test_a_changed_vrt_is_checked_again(tmp_path):
    pytest.importorskip("rasterio")
    write_tiff(tmp_path / "b.tif", PIXELS)
    write_plain_vrt(tmp_path / "b.vrt", tmp_path / "b.tif")
    write_plain_vrt(tmp_path / "a.vrt", tmp_path / "b.vrt")
    note = '<Metadata><MDI key="license">https://example.org</MDI></Metadata></VRTDataset>'
    text = (tmp_path / "a.vrt").read_text().replace("</VRTDataset>", note)
    (tmp_path / "a.vrt").write_text(text)
    np.testing.assert_array_equal(read_image(tmp_path / "a.vrt", 3), PIXELS)
    write_plain_vrt(tmp_path / "b.vrt", "/vsicurl/http://127.0.0.1:9/a.tif")
    with pytest.raises(InputError, match="which is not a file"):
        read_image(tmp_path / "a.vrt", 3)
