"""Maps of an ensemble: labels, mean probabilities, entropy and disagreement."""

import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from test_mosaic import write_tile
from test_raster_prediction import make_task

from lightning_seg.errors import InputError
from lightning_seg.inference.uncertainty import normalized_entropy
from lightning_seg.prediction import predict_rasters, row_labels
from lightning_seg.tasks import Ensemble

rasterio = pytest.importorskip("rasterio")

MAPS = {"probabilities": "float16", "entropy": True, "disagreement": True, "mosaic": True}


def predict(task, images, out, **maps):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    predict_rasters(task, images, out, class_names=["a", "b", "c"], trainer=trainer, **maps)


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rasterio.open(path) as file:
            return file.read(masked=True) * file.scales[0]


def sharper(seed):
    """A task with clear opinions; untrained ones are nearly uniform."""
    task = make_task(seed)
    with torch.no_grad():
        for parameter in task.head.parameters():
            parameter *= 40
    return task


def test_disagreement_is_written_beside_the_entropy_without_seams(tmp_path, monkeypatch):
    images = tmp_path / "images"
    write_tile(images / "a.tif", size=(120, 130), nodata=0)
    members = [sharper(0), sharper(1)]
    predict(Ensemble(members), images, tmp_path / "out", **MAPS)
    means = []
    for number, member in enumerate(members):
        predict(member, images, tmp_path / f"{number}", probabilities="float16")
        means.append(read(tmp_path / f"{number}" / "a_probabilities.tif"))
    mean = read(tmp_path / "out" / "a_probabilities.tif")
    assert np.abs(mean - (means[0] + means[1]) / 2).max() < 1e-3
    assert np.array_equal(read(tmp_path / "out" / "a.tif")[0], mean.argmax(0))
    entropy = read(tmp_path / "out" / "a_entropy.tif")
    expected = normalized_entropy(torch.from_numpy(mean.filled().astype(np.float64)))
    assert np.abs(entropy - expected.numpy()).max() < 1 / 254
    disagreement = read(tmp_path / "out" / "a_disagreement.tif")
    assert 0.02 < disagreement.max() <= entropy.max()
    assert (disagreement <= entropy + 1 / 254).all()
    assert np.array_equal(read(tmp_path / "out" / "mosaic_disagreement.vrt"), disagreement)

    # Through rows that are stored on disk, the files are the same.
    monkeypatch.setattr(row_labels, "SECONDS", 0)
    predict(Ensemble(members), images, tmp_path / "stored", **MAPS)
    for name in ("a.tif", "a_entropy.tif", "a_disagreement.tif"):
        assert (tmp_path / "stored" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_an_ensemble_of_one_or_of_equal_members_writes_the_files_of_that_member(tmp_path):
    images = tmp_path / "images"
    write_tile(images / "a.tif", size=(120, 130))
    wanted = {"probabilities": "float16", "entropy": True}
    predict(sharper(0), images, tmp_path / "alone", **wanted)
    for name, count in (("one", 1), ("three", 3)):
        more = wanted | {"disagreement": True}
        predict(Ensemble([sharper(0)] * count), images, tmp_path / name, **more)
        for ending in ("", "_probabilities", "_entropy"):
            file = f"a{ending}.tif"
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
        assert not read(tmp_path / name / "a_disagreement.tif").any()


def test_disagreement_of_one_model_is_refused(tmp_path):
    write_tile(tmp_path / "images" / "a.tif")
    with pytest.raises(InputError, match="disagreement is that of an ensemble's members"):
        predict(make_task(), tmp_path / "images", tmp_path / "out", disagreement=True)
