import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from test_raster_prediction import make_task, quiet_predict

from lightning_seg.errors import InputError
from lightning_seg.inference.uncertainty import normalized_entropy
from lightning_seg.prediction.mosaic import mosaic_vrt, refuse_mosaic

rasterio = pytest.importorskip("rasterio")

CRS = "EPSG:25833"


def write_tile(path, column=0, row=0, crs=CRS, pixel=0.5, size=(60, 70), seed=0, **profile):
    """Write an image whose corner is some pixels right of and below that of all tiles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(1, 256, (3, *size), np.uint8)
    place = rasterio.Affine(pixel, 0, 367000 + pixel * column, 0, -pixel, 5808000 - pixel * row)
    profile = {"crs": crs, "transform": place} | profile
    with rasterio.open(path, "w", "GTiff", *reversed(size), 3, dtype="uint8", **profile) as file:
        file.write(pixels)


@pytest.mark.parametrize("optimized", [False, True])
def test_a_mosaic_joins_the_predictions_of_a_folder(tmp_path, caplog, optimized):
    images, out = tmp_path / "images", tmp_path / "out"
    write_tile(images / "a.tif")
    write_tile(images / "b.tif", column=70, row=20, seed=1)
    settings = {
        "entropy": True,
        "probabilities": "uint8",
        "mosaic": True,
        "qgis_style": True,
        "cloud_optimized": optimized,
    }
    quiet_predict(images, out, **settings)
    caplog.clear()
    for kind, empty in (("", 255), ("_probabilities", 0), ("_entropy", 255)):
        with warnings.catch_warnings(), caplog.at_level("WARNING"):
            warnings.simplefilter("error")
            with (
                rasterio.open(out / f"mosaic{kind}.vrt") as mosaic,
                rasterio.open(out / f"a{kind}.tif") as a,
                rasterio.open(out / f"b{kind}.tif") as b,
            ):
                pixels = mosaic.read()
                assert (mosaic.crs, mosaic.transform) == (a.crs, a.transform)
                assert (mosaic.scales, mosaic.descriptions) == (a.scales, a.descriptions)
                if not kind:
                    colors = a.colormap(1)
                    assert [mosaic.colormap(1)[k] for k in range(3)] == [
                        colors[k] for k in range(3)
                    ]
                    assert mosaic.tags()["CLASS_1"] == "b"
                    assert mosaic.nodata == 255
                expected = np.full((len(pixels), 80, 140), empty, np.uint8)
                expected[:, :60, :70] = a.read()
                expected[:, 20:, 70:] = b.read()
        assert np.array_equal(pixels, expected)
    assert not caplog.records
    assert (out / "mosaic.qml").read_text() == (out / "a.qml").read_text()
    before = (out / "mosaic.vrt").read_bytes()
    quiet_predict(images, out, **settings)  # all is finished
    assert (out / "mosaic.vrt").read_bytes() == before


def test_a_foreign_file_is_not_replaced_by_a_mosaic(tmp_path):
    write_tile(tmp_path / "images" / "a.tif")
    out = tmp_path / "out"
    out.mkdir()
    (out / "mosaic.vrt").write_text("mine")
    with pytest.raises(InputError, match=r"mosaic.vrt was not written by lightning-seg"):
        quiet_predict(tmp_path / "images", out, mosaic=True)
    assert (out / "mosaic.vrt").read_text() == "mine"
    assert not (out / "a.tif").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"crs": "EPSG:25832"}, "one coordinate system, but .*a.tif has EPSG:25833 and .*b.tif"),
        ({"pixel": 0.4}, "one pixel size, but that of .*a.tif is 0.5 x 0.5 and that of .*b.tif"),
        ({"transform": rasterio.Affine(0.5, 0.1, 0, 0.1, -0.5, 0)}, "north up, unlike .*b.tif"),
    ],
)
def test_tiles_that_do_not_fit_are_refused_before_the_first_prediction(tmp_path, other, message):
    write_tile(tmp_path / "images" / "a.tif")
    write_tile(tmp_path / "images" / "b.tif", column=70, **other)
    refuse_mosaic([tmp_path / "images" / "a.tif"])
    with pytest.raises(InputError, match=message):
        quiet_predict(tmp_path / "images", tmp_path / "out", mosaic=True)
    assert not list((tmp_path / "out").glob("*.tif"))


def test_a_mosaic_of_images_without_a_place_is_refused(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"header places them with north up, unlike .*a\.png"):
        refuse_mosaic([tmp_path / "a.png"])


def test_no_data_of_a_tile_shows_the_tile_below(tmp_path):
    for name, value in (("a", 3), ("b", 255)):
        place = {"crs": CRS, "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", "GTiff", 8, 8, 1, dtype="uint8", nodata=255, **place
        ) as file:
            file.write(np.full((1, 8, 8), value, np.uint8))
    vrt = mosaic_vrt([tmp_path / "a.tif", tmp_path / "b.tif"], 255)
    (tmp_path / "mosaic.vrt").write_text(vrt)
    with rasterio.open(tmp_path / "mosaic.vrt") as file:
        assert (file.read() == 3).all()


def test_entropy_has_no_seams_between_windows_and_stored_rows(tmp_path):
    """It is that of the averaged probabilities, wherever rows are cut and stored."""
    images, out = tmp_path / "images", tmp_path / "out"
    write_tile(images / "a.tif", size=(200, 130))
    quiet_predict(images, out, entropy=True, probabilities="float16")
    with rasterio.open(out / "a_probabilities.tif") as file:
        means = torch.from_numpy(file.read())
    with rasterio.open(out / "a_entropy.tif") as file:
        entropy = file.read() / 254
    expected = normalized_entropy(means.double())
    assert np.abs(entropy - expected.numpy()).max() < 0.5 / 254 + 2e-3
    assert 0 < entropy.min() < entropy.max() <= 1
    with rasterio.open(images / "a.tif") as file:
        image = torch.from_numpy(file.read()).float() / 255
    task = make_task().eval()
    with torch.inference_mode():
        whole = task.infer(image[None])["logits"].softmax(dim=1)[0]
    assert np.abs(entropy - normalized_entropy(whole.double()).numpy()).max() < 0.5 / 254 + 1e-4
