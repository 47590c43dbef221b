import json
import resource
import warnings
import weakref
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from PIL import Image

from lightning_seg.errors import InputError
from lightning_seg.files import UNWRITABLE
from lightning_seg.prediction.files import Classes, PredictionFiles
from lightning_seg.prediction.geotiff import limited_cache
from lightning_seg.prediction.outputs import ImageOutputs
from lightning_seg.prediction.polygons import Polygons, _selected
from lightning_seg.prediction.row_labels import argmax_rows

rasterio = pytest.importorskip("rasterio")
pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

CLASSES = Classes(("road", "house", "tree"), ((255, 255, 255), (0, 0, 255), (0, 255, 0)))
PLACE = {
    "crs": rasterio.CRS.from_epsg(25833),
    "transform": rasterio.Affine(0.05, 0, 367000, 0, -0.05, 5808000),
}


def write_image(path, pixels, **place):
    bands = pixels.transpose(2, 0, 1)
    with rasterio.open(
        path, "w", "GTiff", *reversed(bands.shape[1:]), len(bands), dtype=bands.dtype, **place
    ) as file:
        file.write(bands)


def scene(height=600, width=530):
    labels = np.zeros((height, width), np.uint8)
    labels[100:200, 50:150] = 1
    labels[200:260, 50:150] = 2
    labels[400:403, 400:403] = 1
    return labels


def probabilities(labels):
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 3).permute(2, 0, 1)
    return one_hot * 0.7 + 0.1


def predict(image, labels, stem, classes=CLASSES, **kwargs):
    channels = kwargs.pop("channels", 3)
    files = PredictionFiles(**kwargs)
    outputs = ImageOutputs(image, labels.shape, stem, classes, files, channels=channels)
    rows = probabilities(labels)
    for start in range(0, len(labels), 70):
        outputs.write(argmax_rows(rows[:, start : start + 70], start, files.maps))
    return [path.name for path in outputs.finish()]


@pytest.fixture
def tile(tmp_path):
    path = tmp_path / "tile.tif"
    write_image(path, np.ones((600, 530, 3), np.uint8), **PLACE)
    return path


def test_labels_of_a_geotiff_keep_its_georeference_and_have_class_colours(tile, tmp_path):
    out = tmp_path / "out"
    assert predict(tile, scene(), out / "tile") == ["tile.tif"]
    assert [path.name for path in out.glob("[!.]*")] == ["tile.tif"]
    with rasterio.open(out / "tile.tif") as file:
        assert np.array_equal(file.read(1), scene())
        assert file.crs == PLACE["crs"]
        assert file.transform == PLACE["transform"]
        assert file.nodata is None
        assert file.colorinterp[0].name == "palette"
        assert [file.colormap(1)[k] for k in range(3)] == [(*c, 255) for c in CLASSES.colors]
        assert file.profile["tiled"]
        assert file.compression.name == "deflate"
        assert file.tags()["CLASS_1"] == "house"
    assert np.array_equal(np.array(Image.open(out / "tile.tif")), scene())


@pytest.mark.parametrize("nodata", [0, 255, 7])
def test_nodata_pixels_have_no_label(tmp_path, nodata):
    pixels = np.full((600, 530, 3), 9, np.uint8)
    pixels[:300, :200] = nodata
    write_image(tmp_path / "a.tif", pixels, nodata=nodata, **PLACE)
    predict(tmp_path / "a.tif", scene(), tmp_path / "out")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata == 255
        labels = file.read(1)
        assert (labels[:300, :200] == 255).all()
        assert np.array_equal(labels[300:], scene()[300:])
        assert np.array_equal(file.dataset_mask() > 0, labels != 255)
        assert file.colormap(1)[255] == (0, 0, 0, 0)


def test_a_fourth_band_is_not_taken_for_a_mask(tmp_path):
    pixels = np.zeros((600, 530, 4), np.uint8)
    write_image(tmp_path / "a.tif", pixels, photometric="rgb", **PLACE)
    predict(tmp_path / "a.tif", scene(), tmp_path / "out", channels=4)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata is None
        assert np.array_equal(file.read(1), scene())


def test_what_is_void_in_training_has_no_label(tmp_path):
    colors = np.full((600, 530, 4), 9, np.uint8)
    colors[:300, :200, 3] = 0  # transparent
    heights = np.full((600, 530, 3), 9, np.float32)
    heights[:300, :200, 1] = np.nan
    for name, pixels, options in (("colors", colors, {"alpha": "yes"}), ("heights", heights, {})):
        write_image(tmp_path / f"{name}.tif", pixels, **options, **PLACE)
        predict(tmp_path / f"{name}.tif", scene(), tmp_path / "out", channels=3)
        with rasterio.open(tmp_path / "out.tif") as file:
            assert file.nodata == 255
            labels = file.read(1)
            assert (labels[:300, :200] == 255).all()
            assert np.array_equal(labels[300:], scene()[300:])
            assert np.array_equal(labels[:, 200:], scene()[:, 200:])


def test_transparent_pixels_of_a_photo_have_no_label(tmp_path):
    pixels = np.full((600, 530, 4), 9, np.uint8)
    pixels[:300, :200, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    predict(tmp_path / "a.png", scene(), tmp_path / "out", polygons=Polygons(tolerance=0))
    expected = np.where(pixels[..., 3] == 0, 255, scene())
    assert np.array_equal(np.array(Image.open(tmp_path / "out.png")), expected)
    _, _, _, (_, _, sizes, *_) = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert sizes.sum() == (expected != 255).sum()


@pytest.mark.parametrize("optimized", [False, True])
def test_a_georeference_by_control_points_is_kept(tmp_path, optimized):
    points = [
        rasterio.control.GroundControlPoint(row, column, 3e5 + column, 5e6 - row)
        for row, column in ((0, 0), (0, 500), (500, 0), (500, 500))
    ]
    write_image(tmp_path / "a.tif", np.ones((600, 530, 3), np.uint8), gcps=points, crs=PLACE["crs"])
    predict(tmp_path / "a.tif", scene(), tmp_path / "out", cloud_optimized=optimized)
    with rasterio.open(tmp_path / "out.tif") as file:
        actual, crs = file.gcps
    assert crs == PLACE["crs"]
    assert [(p.row, p.col, p.x, p.y) for p in actual] == [(p.row, p.col, p.x, p.y) for p in points]


def test_other_images_get_a_png_with_a_palette(tmp_path):
    Image.fromarray(np.ones((600, 530, 3), np.uint8)).save(tmp_path / "a.png")
    assert predict(tmp_path / "a.png", scene(), tmp_path / "out") == ["out.png"]
    image = Image.open(tmp_path / "out.png")
    assert image.mode == "P"
    assert np.array_equal(np.array(image), scene())
    assert image.convert("RGB").getpixel((60, 110)) == (0, 0, 255)


FILES = PredictionFiles(
    probabilities="uint8", entropy=True, polygons=Polygons(), cloud_optimized=True, qgis_style=True
)
VALUES = Classes(CLASSES.names, CLASSES.colors, (0, 255, 128))


def test_a_geotiff_with_custom_label_values_has_no_palette(tile, tmp_path):
    predict(tile, scene(), tmp_path / "out", VALUES)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert np.array_equal(file.read(1), np.array([0, 255, 128])[scene()])
        assert file.transform == PLACE["transform"]
        assert file.colorinterp[0].name == "gray"
        assert (file.nodata, file.count, file.dtypes[0]) == (None, 1, "uint8")
        assert file.tags()["CLASS_255"] == "house"


def test_a_png_with_custom_label_values_has_no_palette(tmp_path):
    Image.fromarray(np.zeros((600, 530, 3), np.uint8)).save(tmp_path / "a.png")
    predict(tmp_path / "a.png", scene(), tmp_path / "out", VALUES)
    image = Image.open(tmp_path / "out.png")
    assert image.mode == "L"
    assert np.array_equal(np.array(image), np.array([0, 255, 128])[scene()])


def test_nodata_avoids_255_where_a_class_has_that_value(tmp_path):
    pixels = np.full((600, 530, 3), 9, np.uint8)
    pixels[:300, :200] = 0
    write_image(tmp_path / "a.tif", pixels, nodata=0, **PLACE)
    predict(tmp_path / "a.tif", scene(), tmp_path / "out", VALUES)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata == 254
        assert (file.read(1)[:300, :200] == 254).all()


def test_polygons_hold_class_indices_with_custom_label_values(tile, tmp_path):
    for name, classes in (("plain", CLASSES), ("values", VALUES)):
        predict(tile, scene(), tmp_path / name, classes, polygons=Polygons(tolerance=0))
    plain, values = (pyogrio.raw.read(tmp_path / f"{name}.gpkg")[3] for name in ("plain", "values"))
    for column, expected in zip(values, plain, strict=True):
        assert sorted(map(str, column)) == sorted(map(str, expected))


def test_probabilities_are_stored_as_bytes(tile, tmp_path):
    assert predict(tile, scene(), tmp_path / "out", probabilities="uint8") == [
        "out.tif",
        "out_probabilities.tif",
    ]
    with rasterio.open(tmp_path / "out_probabilities.tif") as file:
        assert file.descriptions == CLASSES.names
        assert file.crs == PLACE["crs"]
        values = file.read() * np.array(file.scales)[:, None, None]
    assert np.abs(values - probabilities(scene()).numpy()).max() <= 0.5 / 255 + 1e-6


def test_probabilities_can_be_stored_with_16_bits(tile, tmp_path):
    predict(tile, scene(), tmp_path / "out", probabilities="float16")
    with rasterio.open(tmp_path / "out_probabilities.tif") as file:
        values = file.read()
    assert np.array_equal(values, probabilities(scene()).half().float().numpy())


@pytest.mark.parametrize("kind", ["GeoPackage", "GeoJSON"])
def test_polygons_outline_every_object(tile, tmp_path, kind):
    polygons = Polygons(kind, tolerance=0, classes=["house", "tree"])
    name = predict(tile, scene(), tmp_path / "out", polygons=polygons)[1]
    meta, _, shapes, fields = pyogrio.raw.read(tmp_path / name)
    actual = {key: values.tolist() for key, values in zip(meta["fields"], fields, strict=True)}
    order = np.argsort(actual["pixels"])
    assert [actual["name"][i] for i in order] == ["house", "tree", "house"]
    assert [actual["class"][i] for i in order] == [1, 2, 1]
    assert [actual["pixels"][i] for i in order] == [9, 6000, 10000]
    assert [actual["area"][i] for i in order] == pytest.approx([0.0225, 15, 25])
    bounds = shapely.from_wkb(shapes)[order[-1]].bounds
    if kind == "GeoJSON":
        assert bounds[0] == pytest.approx(13.04, abs=0.1)
        assert bounds[1] == pytest.approx(52.4, abs=0.1)
    else:
        assert "25833" in meta["crs"]
        assert bounds == pytest.approx((367002.5, 5807990, 367007.5, 5807995))


def test_small_polygons_can_be_dropped(tile, tmp_path):
    predict(tile, scene(), tmp_path / "out", polygons=Polygons(min_pixels=10, classes=["house"]))
    assert len(pyogrio.raw.read(tmp_path / "out.gpkg")[2]) == 1


def test_excluded_classes_have_no_polygons():
    class Outline(dict):
        """A dict that supports weak references."""

        __hash__ = object.__hash__

    alive = weakref.WeakSet()

    def objects():
        ring = [(0, 0), (0, 1), (1, 1), (0, 0)]
        for number in range(300):
            outline = Outline(type="Polygon", coordinates=[ring])
            alive.add(outline)
            assert len(alive) <= 2
            yield outline, number % 3
            del outline

    kept, values = _selected(objects(), rasterio.Affine.identity(), {1}, 1)
    assert len(kept) == len(values) == 0
    kept, values = _selected(objects(), rasterio.Affine.scale(0.5), {1, 2}, 2)
    assert len(kept) == 200
    assert set(values) == {1, 2}


def test_simplified_neighbours_keep_their_shared_boundary(tile, tmp_path):
    labels = np.fromfunction(lambda y, x: y > 300 + x // 2, (600, 530)).astype(np.uint8)
    predict(tile, labels, tmp_path / "out", polygons=Polygons(tolerance=3))
    upper, lower = shapely.from_wkb(pyogrio.raw.read(tmp_path / "out.gpkg")[2])
    assert len(upper.exterior.coords) + len(lower.exterior.coords) < 30
    assert shapely.coverage_is_valid([upper, lower])
    assert upper.area + lower.area == pytest.approx(600 * 530 * 0.05**2)


def test_polygons_without_a_georeference_are_in_pixels(tmp_path):
    Image.fromarray(np.ones((600, 530, 3), np.uint8)).save(tmp_path / "a.png")
    wanted = Polygons("GeoJSON", classes=["tree"])
    predict(tmp_path / "a.png", scene(), tmp_path / "out", polygons=wanted)
    (feature,) = json.loads((tmp_path / "out.geojson").read_text())["features"]
    probability = feature["properties"].pop("probability")
    assert probability == pytest.approx(0.8, abs=0.5 / 255)
    assert feature["properties"] == {"class": 2, "name": "tree", "pixels": 6000, "area": 6000.0}
    assert shapely.geometry.shape(feature["geometry"]).bounds == (50, 200, 150, 260)


def test_an_image_without_objects_gives_an_empty_file(tile, tmp_path):
    predict(
        tile, np.zeros((600, 530), np.uint8), tmp_path / "out", polygons=Polygons(classes=["tree"])
    )
    assert len(pyogrio.raw.read(tmp_path / "out.gpkg")[2]) == 0


def test_unknown_classes_of_polygons_are_named():
    with pytest.raises(InputError, match="names 'car', but the classes are: road, house, tree"):
        Polygons(classes=["car"]).check(CLASSES.names)


def test_polygons_have_the_mean_probability_of_their_pixels(tile, tmp_path):
    labels = torch.from_numpy(scene())
    ramp = torch.linspace(0.5, 1, 530).expand(600, 530)
    rows = torch.stack([torch.where(labels == k, ramp, (1 - ramp) / 2) for k in range(3)])
    files = PredictionFiles(polygons=Polygons(tolerance=0, min_pixels=10))
    outputs = ImageOutputs(tile, (600, 530), tmp_path / "out", CLASSES, files)
    outputs.write(argmax_rows(rows, 0, files.maps))
    outputs.finish()
    meta, _, _, fields = pyogrio.raw.read(tmp_path / "out.gpkg")
    actual = dict(zip(meta["fields"], fields, strict=True))
    order = np.argsort(actual["class"])
    assert actual["name"][order].tolist() == ["road", "house", "tree"]
    house = ramp[100:200, 50:150].mean().item()
    road = ramp[labels == 0].double().mean().item()
    assert actual["probability"][order[1:]] == pytest.approx([house, house], abs=1 / 255)
    assert actual["probability"][order[0]] == pytest.approx(road, abs=1 / 255)
    assert not list(tmp_path.glob("*confidence*"))


def test_smallest_size_and_tolerance_can_be_in_metres(tile, tmp_path):
    labels = np.zeros((600, 530), np.uint8)
    labels[100:200, 50:150] = 1  # 25 square metres
    labels[120:130, 60:70] = 0  # a hole of 0.25
    labels[150:180, 100:130] = 0  # and one of 2.25
    labels[300:310, 300:310] = 1
    for name, settings in (
        ("metres", {"min_area": 1.0, "tolerance_metres": 0.1}),
        ("pixels", {"min_pixels": 400, "tolerance": 2.0}),
    ):
        polygons = Polygons(classes=["house"], **settings)
        predict(tile, labels, tmp_path / name, polygons=polygons)
    metres, pixels = (
        shapely.from_wkb(pyogrio.raw.read(tmp_path / f"{name}.gpkg")[2])
        for name in ("metres", "pixels")
    )
    (house,) = metres
    assert len(house.interiors) == 1
    assert house.area == pytest.approx(25 - 2.25)
    assert house.equals(pixels[0])


def test_sizes_in_metres_need_a_coordinate_system_in_metres(tile, tmp_path):
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(1e-6, 0, 13, 0, -1e-6, 52)}
    write_image(tmp_path / "degrees.tif", np.ones((60, 50, 3), np.uint8), **place)
    Image.fromarray(np.ones((60, 50, 3), np.uint8)).save(tmp_path / "nowhere.png")
    polygons = Polygons(min_area=1.0)
    polygons.check_places([tile])
    for name, system in (("degrees.tif", "EPSG:4326"), ("nowhere.png", "not known")):
        with pytest.raises(InputError, match=rf"that of .*{name} is {system}. Give tolerance"):
            polygons.check_places([tile, tmp_path / name])


def test_regular_polygons_have_right_angles_and_no_slivers(tile, tmp_path):
    y, x = np.indices((600, 530))
    along, across = (x - 250) * 0.94 + (y - 300) * 0.342, (y - 300) * 0.94 - (x - 250) * 0.342
    labels = np.where((np.abs(along) < 120) & (np.abs(across) < 80), 1, 0).astype(np.uint8)
    labels[(labels == 1) & (across > 20)] = 0
    labels[(np.abs(along) < 120) & (across > 20) & (across < 21.5)] = 2  # a thin strip
    polygons = Polygons(regular=True, classes=["house", "tree"])
    predict(tile, labels, tmp_path / "out", polygons=polygons)
    meta, _, found, fields = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert dict(zip(meta["fields"], fields, strict=True))["name"].tolist() == ["house"]
    (house,) = shapely.from_wkb(found)
    assert len(house.exterior.coords) == 5
    assert house.area == pytest.approx(240 * 101.5 * 0.05**2, rel=0.01)
    assert house.minimum_rotated_rectangle.area == pytest.approx(house.area, rel=1e-4)


def test_regular_polygons_need_a_tolerance():
    with pytest.raises(InputError, match="tolerance is 0, but regular outlines need more"):
        Polygons(regular=True, tolerance=0)


def test_entropy_is_0_where_certain_and_1_where_all_classes_are_equal(tmp_path):
    image = np.full((600, 530, 3), 9, np.uint8)
    image[:300, :200] = 0
    write_image(tmp_path / "a.tif", image, nodata=0, **PLACE)
    rows = torch.full((3, 600, 530), 1 / 3)
    rows[:, 400:] = torch.tensor([1.0, 0, 0])[:, None, None]
    rows[:, 300:400] = torch.tensor([0.5, 0.5, 0])[:, None, None]
    files = PredictionFiles(entropy=True)
    outputs = ImageOutputs(tmp_path / "a.tif", (600, 530), tmp_path / "out", CLASSES, files)
    for start in range(0, 600, 70):
        outputs.write(argmax_rows(rows[:, start : start + 70], start, files.maps))
    assert [path.name for path in outputs.finish()] == ["out.tif", "out_entropy.tif"]
    with rasterio.open(tmp_path / "out_entropy.tif") as file:
        values, valid = file.read(1) * file.scales[0], file.read_masks(1) > 0
        assert file.crs == PLACE["crs"]
        assert file.nodata == 255
    assert not valid[:300, :200].any()
    assert valid[300:].all()
    assert (values[:300, 200:] == 1).all()
    assert values[300:400] == pytest.approx(np.log(2) / np.log(3), abs=0.5 / 254)
    assert (values[400:] == 0).all()


def test_cloud_optimized_geotiffs_have_overviews_and_the_same_pixels(tmp_path, caplog):
    image = np.full((1100, 1300, 3), 9, np.uint8)
    image[:300, :200] = 0
    write_image(tmp_path / "a.tif", image, nodata=0, **PLACE)
    labels = np.zeros((1100, 1300), np.uint8)
    labels[200:900:8, 300:301] = 2  # vanishes in overviews
    labels[500:, 700:] = 1
    kinds = {"probabilities": "float16", "entropy": True}
    with warnings.catch_warnings(), caplog.at_level("WARNING"):
        warnings.simplefilter("error")
        for name, optimized in (("plain", False), ("cloud", True)):
            predict(tmp_path / "a.tif", labels, tmp_path / name, cloud_optimized=optimized, **kinds)
        for ending in ("", "_probabilities", "_entropy"):
            with (
                rasterio.open(tmp_path / f"plain{ending}.tif") as plain,
                rasterio.open(tmp_path / f"cloud{ending}.tif") as cloud,
            ):
                assert cloud.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert cloud.overviews(1) == [2, 4]
                assert np.array_equal(cloud.read(), plain.read())
                for name in ("crs", "transform", "nodata", "scales", "descriptions", "dtypes"):
                    assert getattr(cloud, name) == getattr(plain, name)
        with rasterio.open(tmp_path / "cloud.tif", overview_level=0) as file:
            half = file.read(1)
            assert file.colormap(1)[1] == (0, 0, 255, 255)
            assert file.tags()["CLASS_1"] == "house"
        assert not (half == 2).any()
        assert np.array_equal(half[250:, 350:], np.ones((300, 300), np.uint8))
    assert not caplog.records
    assert not list(tmp_path.glob(".*.tif*"))


def test_a_qgis_style_has_the_name_and_colour_of_each_label_value(tile, tmp_path):
    classes = Classes(("road & path", "house", "tree"), CLASSES.colors, (0, 255, 128))
    names = predict(tile, scene(), tmp_path / "out", classes, qgis_style=True)
    assert names == ["out.tif", "out.qml"]
    root = ElementTree.parse(tmp_path / "out.qml").getroot()
    assert root.find("pipe/rasterrenderer").attrib["type"] == "paletted"
    entries = [entry.attrib for entry in root.iter("paletteEntry")]
    assert [(e["value"], e["label"], e["color"]) for e in entries] == [
        ("0", "road & path", "#ffffff"),
        ("255", "house", "#0000ff"),
        ("128", "tree", "#00ff00"),
    ]


def test_gdal_caches_at_most_64_megabytes():
    with limited_cache():
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 64 * 1024 * 1024


def test_abandoned_outputs_leave_no_files(tile, tmp_path):
    out = tmp_path / "out"
    outputs = ImageOutputs(tile, (600, 530), out / "a", CLASSES, FILES)
    outputs.write(argmax_rows(probabilities(scene())[:, :300], 0, FILES.maps))
    outputs.abandon()
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("size", [400, 2000, 14_000, 150_000])
@in_clean_process
def test_a_full_disk_leaves_no_incomplete_file(tmp_path, size):
    """GDAL says nothing where the disk is full when it closes a file."""
    path, out = tmp_path / "tile.tif", tmp_path / "out"
    write_image(path, np.ones((600, 530, 3), np.uint8), **PLACE)
    labels = np.random.default_rng(0).integers(0, 3, (600, 530), dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    outputs = ImageOutputs(path, labels.shape, out / "a", CLASSES, FILES)

    def write():
        outputs.write(argmax_rows(probabilities(labels), 0, FILES.maps))
        outputs.finish()

    with pytest.raises(OSError, match=r"GDAL cannot write it|incomplete") as caught:
        write()
    assert caught.value.errno in UNWRITABLE
    outputs.abandon()
    assert list(out.iterdir()) == []
