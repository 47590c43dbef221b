import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from foreign_modules import Base, ReturnsDict, Scenes, loader, trainer
from PIL import Image

from lightning_seg.callbacks import PredictionWriter
from lightning_seg.callbacks.prediction_writer import label_png
from lightning_seg.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")

COLORS = [(255, 255, 255), (0, 0, 255), (10, 200, 30)]


class Colored(ReturnsDict):
    class_colors = COLORS


def predict(module, folder, writer=None, count=5, names=True, **kwargs):
    t = trainer(folder, writer or PredictionWriter(), **kwargs)
    t.predict(module, loader(count, as_dict=True, names=names), return_predictions=False)


def expected(index):
    return Scenes(5)[index][0].argmax(0).numpy()


def test_files_are_named_after_samples_and_hold_labels_with_a_palette(tmp_path):
    predict(Colored(), tmp_path)
    folder = tmp_path / "predictions"
    assert sorted(p.name for p in folder.glob("[!.]*")) == [f"scene_{i}.png" for i in range(5)]
    image = Image.open(folder / "scene_3.png")
    assert image.mode == "P"
    assert np.array_equal(np.array(image), expected(3))
    assert np.array_equal(np.array(image.convert("RGB")), np.array(COLORS)[expected(3)])


@in_clean_process
def test_two_processes_write_the_same_files_as_one(tmp_path):
    predict(Colored(), tmp_path / "one")
    predict(Colored(), tmp_path / "two", devices=2, strategy="ddp_fork")
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / run / "predictions").glob("[!.]*")}
        for run in ("one", "two")
    )
    assert one == two
    assert len(one) == 5


def test_files_go_to_output_dir(tmp_path):
    predict(Colored(), tmp_path / "run", PredictionWriter(str(tmp_path / "maps")))
    assert len(list((tmp_path / "maps").glob("[!.]*"))) == 5
    assert not (tmp_path / "run" / "predictions").exists()


def test_samples_without_names_are_numbered(tmp_path):
    class Scores(Base):
        def predict_step(self, batch, batch_idx):
            return self(batch["image"])

    predict(Scores(), tmp_path, names=False)
    names = sorted(p.name for p in (tmp_path / "predictions").glob("[!.]*"))
    assert names == [f"{i:06d}.png" for i in range(5)]
    image = np.array(Image.open(tmp_path / "predictions" / "000004.png"))
    assert np.array_equal(image, expected(4))


def test_more_than_256_classes_are_written_with_16_bits(tmp_path):
    labels = torch.arange(600, dtype=torch.int32).view(20, 30)
    path = tmp_path / "labels.png"
    path.write_bytes(label_png(labels, [(0, 0, 0)] * 600))
    assert np.array_equal(np.array(Image.open(path)), labels.numpy())


def test_an_output_that_is_not_a_label_map_is_described(tmp_path):
    class Odd(Base):
        def predict_step(self, batch, batch_idx):
            return {"count": 3}

    with pytest.raises(InputError, match="predict_step of Odd returned a dict with the keys 'cou"):
        predict(Odd(), tmp_path)


def test_a_sample_name_cannot_escape_the_folder(tmp_path):
    class Escapes(Colored):
        def predict_step(self, batch, batch_idx):
            return super().predict_step(batch, batch_idx) | {"name": ["../../up", "b"]}

    predict(Escapes(), tmp_path, count=2)
    names = sorted(p.name for p in (tmp_path / "predictions").glob("[!.]*"))
    assert names == ["b.png", "up.png"]
