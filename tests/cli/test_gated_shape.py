"""GSCNN's edge supervision from a configuration."""

import json
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = {
    "encoder": "test_resnet",
    "pretrained": "false",
    "channels": "16",
    "low_level_channels": "8",
    "shape_channels": "16",
}


def test_gscnn_learns_edges_and_classes(run):
    arguments = (
        *("--model.network", str(CONFIGS / "network" / "gscnn_wide_resnet50.yaml")),
        *(f"--model.network.{name}={value}" for name, value in SMALL.items()),
        *("--model.auxiliary", str(CONFIGS / "auxiliary" / "edges.yaml")),
        *("--trainer.max_epochs", "4"),
    )
    status, _, err = run("fit", "--config", "config.yaml", "--run_dir", "run", *arguments)
    assert status == 0, err
    epochs = [json.loads(line) for line in Path("run/epochs.jsonl").read_text().splitlines()]
    terms = [epoch["train/edge"] for epoch in epochs]
    assert terms[-1] < terms[0]
