"""Scalars, pictures, tables and files with the loggers that people use, several at once."""

import csv
import json
from pathlib import Path

import pytest
from foreign_modules import ReturnsLoss, loader, trainer
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels

pytest.importorskip("mlflow")
wandb = pytest.importorskip("wandb")
foreign = pytest.importorskip("pytorch_lightning.loggers")

MERGED = {"things": ["car", "tree"]}  # without trimap scores: empty cells


def run(folder, *loggers):
    metrics = BoundaryMetrics(class_names=["sky|air", "car", "tree"], merged_classes=MERGED)
    callbacks = metrics, PredictionPanels(num_images=1)
    t = trainer(folder, *callbacks, logger=list(loggers), log_every_n_steps=1)
    module = ReturnsLoss()
    t.fit(module, loader(), loader())
    t.test(module, loader(), verbose=False)
    return {k: v.item() for k, v in t.logged_metrics.items() if k.startswith("test/")}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    yield tmp_path
    wandb.finish()


def test_all_loggers_get_the_same_scalars_and_pictures(offline):
    boards = [
        kind(offline, name=name, version="0")
        for name, kind in (("board", TensorBoardLogger), ("foreign", foreign.TensorBoardLogger))
    ]
    mlflow = MLFlowLogger("scenes", tracking_uri=f"file:{offline}/mlruns")
    weights_and_biases = WandbLogger("run", offline, offline=True)
    values = run(offline, *boards, CSVLogger(offline, name="csv"), mlflow, weights_and_biases)
    assert {"test/boundary_f", "test/boundary_f_1px"} < values.keys()

    def check(found):
        assert {name: float(found[name]) for name in values} == pytest.approx(values, nan_ok=True)

    shown = []
    for board in boards:
        events = EventAccumulator(board.log_dir, size_guidance={"images": 0}).Reload()
        check({name: events.Scalars(name)[-1].value for name in values})
        shown.append(set(events.Tags()["images"]))
    pictures = shown[0]
    assert {"test/curves", "test/confusion"} < pictures
    assert shown[1] == pictures

    client, run_id = mlflow.experiment, mlflow.run_id
    check(client.get_run(run_id).data.metrics)
    paths = {
        artifact.path
        for folder in ("val", "test")
        for artifact in client.list_artifacts(run_id, folder)
    }
    pngs = {path for path in paths if path.endswith(".png")}
    assert {path.split("_step_")[0] for path in pngs} == pictures

    check(weights_and_biases.experiment.summary)
    images = Path(weights_and_biases.experiment.dir, "media/images")
    shown = {f"{path.parent.name}/{path.name.rsplit('_', 2)[0]}" for path in images.rglob("*.png")}
    assert shown == pictures

    *_, row = csv.DictReader(Path(offline, "csv/version_0/metrics.csv").read_text().splitlines())
    check(row)


def test_all_loggers_get_the_scores_of_each_class_as_a_table(offline):
    boards = [
        kind(offline, name=name, version="0")
        for name, kind in (("board", TensorBoardLogger), ("foreign", foreign.TensorBoardLogger))
    ]
    mlflow = MLFlowLogger("scenes", tracking_uri=f"file:{offline}/mlruns")
    weights_and_biases = WandbLogger("run", offline, offline=True)
    run(offline, *boards, CSVLogger(offline, name="csv"), mlflow, weights_and_biases)

    folder = Path(boards[0].log_dir)
    last = read_csv((folder / "epochs_per_class.csv").read_text())
    assert {row.pop("epoch") for row in last} == {"0"}
    tables = {"val": last, "test": read_csv((folder / "test/per_class.csv").read_text())}
    assert [row["class"] for row in tables["test"]] == ["sky|air", "car", "tree", "things"]
    assert tables["test"][-1]["trimap_iou/3"] == ""

    def check(found, stage):
        for row, wanted in zip(found, tables[stage], strict=True):
            assert list(row) == list(wanted)
            assert row["class"] == wanted["class"]
            for key in list(wanted)[1:]:
                assert (row[key] in (None, "")) == (wanted[key] == ""), key
                if wanted[key]:
                    assert float(row[key]) == pytest.approx(float(wanted[key]), abs=1e-6), key

    for board in boards:
        events = EventAccumulator(board.log_dir).Reload()
        for stage in tables:
            (event,) = events.Tensors(f"{stage}/per_class/text_summary")
            check(read_markdown(event.tensor_proto.string_val[0].decode()), stage)

    client, run_id = mlflow.experiment, mlflow.run_id
    for stage in tables:
        paths = [artifact.path for artifact in client.list_artifacts(run_id, stage)]
        (path,) = [path for path in paths if path.startswith(f"{stage}/per_class_step_")]
        check(read_csv(Path(client.download_artifacts(run_id, path)).read_text()), stage)

    for stage in tables:
        media = Path(weights_and_biases.experiment.dir, "media/table", stage)
        (path,) = media.glob("per_class_*.table.json")
        table = json.loads(path.read_text())
        check([dict(zip(table["columns"], row, strict=True)) for row in table["data"]], stage)


def read_csv(text):
    return list(csv.DictReader(text.splitlines()))


def read_markdown(text):
    rows = [line[2:-2].split(" | ") for line in text.splitlines()]
    columns, rule, *data = [[cell.replace("\\|", "|") for cell in row] for row in rows]
    assert set(rule) == {"---"}
    return [dict(zip(columns, row, strict=True)) for row in data]


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_two_runs_write_into_folders_of_their_own(offline, kind):
    for number in range(2):
        if kind == "mlflow":
            logger = MLFlowLogger("scenes", tracking_uri=f"file:{offline}/mlruns")
        else:
            logger = WandbLogger("run", offline, version=f"run{number}", offline=True)
        run(offline, logger)
        wandb.finish()
    written = list(offline.glob("lightning_logs/*/*/test/metrics.json"))
    assert len(written) == 2


def test_files_go_to_a_folder_by_option(tmp_path):
    t = trainer(tmp_path, BoundaryMetrics(folder=tmp_path / "scores"))
    t.test(ReturnsLoss(), loader(), verbose=False)
    assert (tmp_path / "scores" / "test" / "metrics.json").is_file()
