"""What commands print, and what they import to do so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")
SHOWN = ("--trainer.enable_progress_bar=true", "--trainer.enable_model_summary=true")


def events():
    return sorted(Path("run").rglob("events.out.tfevents*"))


def test_a_fit_prints_a_short_summary_progress_in_80_columns_and_its_best_score(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = run(*FIT, *SHOWN, "--trainer.max_epochs=2")
    assert status == 0, err
    lines = out.splitlines()
    assert any(re.fullmatch(r"network +Unet +[\d.]+ [KM]", line) for line in lines)
    assert "FLOPs" not in out
    assert "PerSampleMean" not in out
    assert "Trainer already configured" not in err
    progress = [line for line in lines if line.startswith("Epoch 1/1")]
    assert progress
    assert all("loss:" in line and "val:" in line and "boundary:" in line for line in progress)
    assert max(map(len, progress)) <= 80
    assert re.search(r"Best: +val/boundary_iou 0\.\d{4}, in epoch [01] of 0 to 1\n", out)
    fitted = events()
    assert len(fitted) == 1
    for command in ("test", "validate"):
        status, _, err = run(command, "--config", "run/config.yaml", "--ckpt_path", "best")
        assert status == 0, err
    assert events() == fitted


def test_a_progress_bar_and_a_summary_of_the_users_own_replace_ours(run):
    callbacks = ("--trainer.callbacks+=TQDMProgressBar", "--trainer.callbacks+=RichModelSummary")
    status, out, err = run(*FIT, *SHOWN, *callbacks, "--trainer.fast_dev_run=true")
    assert status == 0, err
    assert "FLOPs" in out


def test_an_unknown_command_is_told_all_commands(refused):
    message = refused("tset", "--config", "config.yaml")
    assert message.startswith(
        "there is no command tset. Did you mean test? Commands: init, data, fit,"
    )
    assert message.endswith("frames.")


@pytest.mark.parametrize(
    "words", [["--help"], ["data", "--help"], ["export", "-h"], ["init", "-h"]]
)
def test_help_imports_neither_torch_nor_lightning(words):
    script = (
        "import sys\nfrom lightning_seg.cli import main\n"
        f"sys.argv[1:] = {words}\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'torch', 'lightning', 'numpy'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: lightning-seg" in done.stdout
