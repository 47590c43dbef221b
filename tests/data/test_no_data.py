import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg.data import FolderDataModule
from lightning_seg.data.reading import tiff as rasters
from lightning_seg.data.reading.image_files import image_channels, no_data, read_image
from lightning_seg.errors import InputError

MASK = np.ones((6, 8), np.uint8)


@pytest.fixture(params=["rasterio", "tifffile"])
def _engine(request, monkeypatch):
    if request.param == "tifffile":
        monkeypatch.setattr(rasters, "rasterio", None)
    elif rasters.rasterio is None:
        pytest.skip("rasterio is not installed")


def sample(root, image, in_channels, nodata=None, value_range=None, **options):
    """Return the only sample of a folder with this TIFF."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    tags = [] if nodata is None else [(42113, "s", 0, nodata, True)]
    tifffile.imwrite(root / "images/a.tif", image, extratags=tags, **options)
    Image.fromarray(MASK).save(root / "masks/a.png")
    data = FolderDataModule(
        root,
        num_classes=2,
        in_channels=in_channels,
        value_range=value_range,
        fractions=(1, 0, 0),
    )
    return data.dataset("train", data.pairs("train"))[0]


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize(
    ("value", "nodata"),
    [
        (-3.4028235e38, None),
        (-3.4028235e38, "-3.40282346638529e+38"),
        (np.nan, None),
        (-9, "-9"),
        (-np.inf, "-inf"),
    ],
)
def test_elevation_without_data_is_0_and_void(tmp_path, value, nodata):
    elevation = np.full((6, 8), 30, np.float32)
    elevation[1:3, 2:5] = value
    got = sample(tmp_path, elevation, 1, nodata, value_range=(20, 40))
    empty = elevation != 30
    np.testing.assert_array_equal(got["image"][0], np.where(empty, 0, 0.5))
    np.testing.assert_array_equal(got["mask"], np.where(empty, 255, MASK))


@pytest.mark.parametrize(
    ("values", "nodata", "expected"),
    [
        (np.array([[-3.4028235e38, np.nan, 20, 812]], np.float32), None, "floats from 20 to 812"),
        (np.array([[-9999, 20, 812]], np.int16), "-9999", "type int16, from 20 to 812"),
    ],
)
def test_no_data_are_not_advised_as_a_value_range(tmp_path, values, nodata, expected):
    with pytest.raises(InputError, match=expected):
        sample(tmp_path, values, 1, nodata)


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize(
    ("dtype", "nodata", "value_range"),
    [
        (np.uint8, "255", None),
        (np.uint16, "65535", None),
        (np.uint16, "65535", (0, 4095)),
        (np.int16, "-9999", (-50, 3000)),
    ],
)
def test_integers_without_data_are_0(tmp_path, dtype, nodata, value_range):
    image = np.full((6, 8, 3), 100, dtype)
    image[:2], image[2, :, 1] = int(nodata), int(nodata)
    got = sample(tmp_path, image, 3, nodata, value_range, photometric="rgb")
    empty = image == int(nodata)
    np.testing.assert_array_equal(got["mask"] == 255, empty.all(axis=2))
    if np.issubdtype(dtype, np.unsignedinteger):  # a bright pixel of one band has data
        empty[2] = False
        assert (got["image"][1, 2] == 1).all()
    np.testing.assert_array_equal(got["image"].permute(1, 2, 0) == 0, empty)


@pytest.mark.usefixtures("_engine")
def test_a_fourth_band_that_is_tagged_as_alpha_keeps_the_headers_value(tmp_path):
    image = np.full((6, 8, 4), 255, np.uint8)
    image[2:, :, :3] = 100
    got = sample(tmp_path, image, 4, "255", photometric="rgb", extrasamples=["unassalpha"])
    assert (got["image"][3] == 1).all()
    assert (got["image"][:3, :2] == 0).all()


def test_the_value_without_data_is_an_index_of_a_palette(tmp_path):
    indices = np.array([[0, 1], [2, 0]], np.uint8)
    colors = np.zeros((3, 256), np.uint16)
    colors[:, :3] = np.array([[9, 9, 9], [0, 2, 2], [7, 8, 0]], np.uint16).T * 257
    options = {"photometric": "palette", "colormap": colors}
    tifffile.imwrite(tmp_path / "a.tif", indices, extratags=[(42113, "s", 0, "0", 1)], **options)
    expected = [[[0, 0, 0], [0, 2, 2]], [[7, 8, 0], [0, 0, 0]]]
    assert read_image(tmp_path / "a.tif", 3).tolist() == expected


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_that_a_rasters_own_mask_excludes_are_void(tmp_path, internal, orientation):
    rasterio = pytest.importorskip("rasterio")
    image, tags = np.full((6, 8, 3), 7, np.uint8), [(274, "H", 1, orientation, True)]
    assert (sample(tmp_path, image, 3)["mask"] == 1).all()
    stored = image if orientation == 1 else image.transpose(1, 0, 2)
    tifffile.imwrite(tmp_path / "images/a.tif", stored, photometric="rgb", extratags=tags)
    valid = np.ones(stored.shape[:2], bool)
    valid[0] = False
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(tmp_path / "images/a.tif", "r+") as file,
    ):
        file.write_mask(valid)
    assert (tmp_path / "images/a.tif.msk").exists() != internal
    data = FolderDataModule(tmp_path, num_classes=2, fractions=(1, 0, 0))
    mask = data.dataset("train", data.pairs("train"))[0]["mask"]
    upright = valid if orientation == 1 else np.rot90(valid, -1)
    np.testing.assert_array_equal(mask == 255, ~upright)


@pytest.mark.usefixtures("_engine")
def test_integers_have_no_data_where_all_bands_hold_the_headers_value(tmp_path):
    image = np.full((6, 8, 3), 7, np.uint8)
    image[0], image[1, :, 0] = 0, 0
    got = sample(tmp_path, image, 3, "0", photometric="rgb")
    assert (got["mask"][0] == 255).all()
    assert (got["mask"][1:] == 1).all()


@pytest.mark.usefixtures("_engine")
def test_alpha_0_is_void_in_a_model_of_three_bands(tmp_path):
    image = np.full((6, 8, 4), 7, np.uint8)
    image[2:, :, 3] = 0
    got = sample(tmp_path, image, 3, photometric="rgb", extrasamples=["unassalpha"])
    assert got["image"].shape == (3, 6, 8)
    np.testing.assert_array_equal(got["mask"], np.where(image[..., 3] == 0, 255, MASK))
    assert read_image(tmp_path / "images/a.tif", 4).shape == (6, 8, 4)


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize(("bands", "in_channels"), [(1, 1), (1, 3), (4, 4)])
def test_alpha_after_grey_or_four_bands_is_void_and_no_channel(tmp_path, bands, in_channels):
    image = np.full((6, 8, bands + 1), 7, np.uint8)
    image[2:, :, -1] = 0
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    extra = ["unspecified"] * (bands - 1) + ["unassalpha"]
    got = sample(tmp_path, image, in_channels, extrasamples=extra, **options)
    assert image_channels(tmp_path / "images/a.tif") == bands
    assert got["image"].shape == (in_channels, 6, 8)
    assert (got["image"] == 7 / 255).all()
    np.testing.assert_array_equal(got["mask"] == 255, image[..., -1] == 0)


def test_a_grey_png_with_alpha_has_one_channel(tmp_path):
    image, path = np.full((6, 8, 2), 7, np.uint8), tmp_path / "a.png"
    image[2:, :, 1] = 0
    Image.fromarray(image, "LA").save(path)
    assert image_channels(path) == 1
    for channels in (1, 3):
        assert read_image(path, channels).shape == (6, 8, channels)
        np.testing.assert_array_equal(no_data(path, channels), image[..., 1] == 0)


def test_alpha_is_a_band_like_others_in_a_model_of_four(tmp_path):
    image = np.zeros((6, 8, 4), np.uint8)
    got = sample(tmp_path, image, 4, photometric="rgb", extrasamples=["unassalpha"])
    assert (got["mask"] == 1).all()


def test_each_band_can_have_its_own_value_range(tmp_path):
    image = np.dstack([np.full((6, 8), value, np.float32) for value in (5, 300)])
    got = sample(
        tmp_path, image, 2, value_range=[(0, 10), (200, 600)], planarconfig="contig", photometric=1
    )
    assert got["image"][:, 0, 0].tolist() == [0.5, 0.25]
    with pytest.raises(InputError, match="value_range has 2 pairs for 3 channels"):
        FolderDataModule(tmp_path, num_classes=2, value_range=[(0, 1), (0, 1)])


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("LA", "png"), ("RGBA", "webp")])
def test_transparent_pixels_of_photos_are_void(tmp_path, mode, suffix):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    pixels = np.full((6, 8, len(mode)), 100, np.uint8)
    pixels[2:4, 1:5, -1] = 0
    Image.fromarray(pixels, mode).save(tmp_path / f"images/a.{suffix}", lossless=True)
    Image.fromarray(MASK).save(tmp_path / "masks/a.png")
    data = FolderDataModule(tmp_path, num_classes=2, fractions=(1, 0, 0))
    mask = data.dataset("train", data.pairs("train"))[0]["mask"]
    np.testing.assert_array_equal(mask == 255, pixels[..., -1] == 0)
