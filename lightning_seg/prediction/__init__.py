"""Prediction of rasters of any size: label rasters, class probabilities and polygons."""

from lightning_seg.errors import needs

with needs("train", "lightning_seg.prediction"):
    from lightning_seg.prediction.files import PredictionFiles
    from lightning_seg.prediction.polygons import Polygons
    from lightning_seg.prediction.predict import predict, predict_rasters
    from lightning_seg.prediction.raster_data import RasterDataModule
    from lightning_seg.prediction.raster_writer import RasterWriter

__all__ = [
    "Polygons",
    "PredictionFiles",
    "RasterDataModule",
    "RasterWriter",
    "predict",
    "predict_rasters",
]
