"""Images and labels that lie in different places."""

import numpy as np
import pytest

from lightning_seg.data import FolderDataModule
from lightning_seg.data.inspection import inspect_dataset
from lightning_seg.errors import InputError

rasterio = pytest.importorskip("rasterio")


def write(path, left, pixel=0.5, crs="EPSG:25832", bands=1):
    path.parent.mkdir(exist_ok=True)
    place = {} if left is None else {"transform": rasterio.Affine(pixel, 0, left, 0, -pixel, 5e6)}
    profile = {"driver": "GTiff", "width": 16, "height": 12, "count": bands, "dtype": "uint8"}
    values = np.random.default_rng(0).integers(0, 2, (bands, 12, 16), dtype=np.uint8)
    with rasterio.open(path, "w", **profile, crs=crs, **place) as file:
        file.write(values)


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "images" / "a.tif", 400_000.0, bands=3)
    return FolderDataModule(tmp_path, 2, num_workers=0, fractions=(1.0, 0.0, 0.0))


@pytest.mark.parametrize("shift", [40.0, -0.6])
def test_a_shifted_label_is_refused_by_check_and_fit_with_both_bounds(data, shift):
    write(data.root / "masks" / "a.tif", 400_000.0 + shift)
    (problem,) = inspect_dataset(data).problems
    for said in ("400000 to 400008 by 4999994 to 5000000 (EPSG:25832)", f"{400_000 + shift:.10g}"):
        assert said in problem
    with pytest.raises(InputError, match=r"images/a\.tif covers .*its label .*masks/a\.tif covers"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("left", "crs"), [(400_000.0, "EPSG:25832"), (400_000.2, "EPSG:32632"), (None, None)]
)
def test_a_label_in_the_same_place_or_without_one_is_accepted(data, left, crs):
    write(data.root / "masks" / "a.tif", left, crs=crs)
    assert inspect_dataset(data).problems == []
    data.setup("fit")
