import signal
import sys
from pathlib import Path

import pytest
from test_sweep_real_runs import BASE, ROOT

from lightning_seg import cli


def test_a_fit_ended_by_sigterm_has_a_nonzero_status(tmp_path, monkeypatch):
    """On SIGTERM Lightning ends its loop with status 0, and a script would continue with test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("base.yaml").write_text(BASE)
    Path("ended_early.py").write_text(
        "import os, signal\nfrom lightning.pytorch import Callback\n"
        "class EndedEarly(Callback):\n"
        "    def on_train_batch_end(self, *arguments):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    method = f"{ROOT}/configs/method/cross_entropy.yaml"
    words = ("fit", "--config", "base.yaml", "--config", method, "--run_dir", "run")
    callback = ("--trainer.callbacks+=ended_early.EndedEarly", "--trainer.max_epochs", "3")
    monkeypatch.setattr(sys, "argv", ["lightning-seg", *words, *callback])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 128 + signal.SIGTERM
