"""A georeferenced label map and outlines of a GeoTIFF, by a network that labels bright pixels."""

from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import torch
from rasterio.transform import from_origin

from lightning_seg.heads import ClassificationHead
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.prediction import Polygons, predict_rasters
from lightning_seg.tasks import SegmentationTask

pixels = np.full((3, 96, 128), 30, np.uint8)
pixels[:, 20:60, 30:90] = 220
place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_400_000, 0.5, 0.5)}
with rasterio.open(
    "image.tif", "w", driver="GTiff", count=3, height=96, width=128, dtype="uint8", **place
) as file:
    file.write(pixels)

torch.manual_seed(0)
task = SegmentationTask(
    2,
    3,
    network=lambda channels: Unet(channels, encoder="resnet18"),
    head=ClassificationHead,
    losses={"cross_entropy": WeightedLoss(CrossEntropyLoss())},
)
predict_rasters(task, "image.tif", "out", class_names=["a", "b"], polygons=Polygons())
(labels,) = sorted(Path("out").rglob("*.tif"))
with rasterio.open(labels) as file:
    assert file.crs == place["crs"]
    assert file.transform == place["transform"]
(outlines,) = sorted(Path("out").rglob("*.gpkg"))
assert len(pyogrio.raw.read(outlines)[2]) >= 1
