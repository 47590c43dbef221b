"""Runs that are killed, stopped by signals, begun again, or share a folder."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml

from lightning_seg.callbacks.run_record import read_lines
from lightning_seg.cli.run_folder import refuse_foreign_folder
from lightning_seg.errors import InputError

FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")
CALLBACK = "--trainer.callbacks+=ended.Ended"
LAST = Path("run/checkpoints/last.ckpt")
WAIT = 600  # seconds
CLI = [sys.executable, "-m", "lightning_seg.cli"]


@pytest.fixture(autouse=True)
def _no_signal_is_ignored():
    """As in a terminal, also where the tests run in the background or under ``nohup``."""
    before = {s: signal.signal(s, signal.SIG_DFL) for s in (signal.SIGHUP, signal.SIGTERM)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(hook, what, calls=1):
    """Writes a callback that does something at the n-th call of a hook."""
    Path("ended.py").write_text(
        "import os, signal\nfrom lightning.pytorch import Callback\n"
        f"class Ended(Callback):\n    calls = {calls}\n    def {hook}(self, *arguments):\n"
        f"        self.calls -= 1\n        if self.calls == 0:\n            {what}\n"
    )
    sys.modules.pop("ended", None)


def process(*arguments, **options):
    return subprocess.Popen(
        [*CLI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def learnt(path=LAST):
    checkpoint = torch.load(path, weights_only=False)
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "random_states", "global_step")
    return [plain(checkpoint[key]) for key in keys]


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


WEIGHED = (
    *("--data.class_balanced", "true", "--data.crop_size", "32", "--data.samples_per_epoch", "8"),
    *("--model.losses.cross_entropy.loss.class_weights", "inverse_frequency"),
    "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
    *("--trainer.callbacks.decay", "0.9", "--trainer.max_epochs", "6"),
)


@pytest.mark.timeout(3 * WAIT)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(run):
    status, _, err = run(*FIT[:3], *WEIGHED, "--run_dir", "whole")
    assert status == 0, err
    for epochs in (1, 3):  # the kill comes somewhere behind these
        killed = process(*FIT, *WEIGHED, "--ckpt_path", "auto")
        deadline = time.monotonic() + WAIT
        while not LAST.exists() or _epochs() < epochs:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.kill()
        killed.wait()
    status, _, err = run(*FIT, *WEIGHED, "--ckpt_path", "auto")
    assert status == 0, err
    assert learnt() == learnt("whole/checkpoints/last.ckpt")
    assert _epochs() == 6


def _epochs():
    path = Path("run/epochs.jsonl")
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_batch_start"])
def test_a_signal_ends_training_with_a_checkpoint_at_the_next_step(run, name, hook):
    longer = ("--trainer.max_epochs", "2", "--data.batch_size", "1")
    status, _, err = run(*FIT[:3], "--run_dir", "whole", *longer)
    assert status == 0, err
    ended(hook, f"os.kill(os.getpid(), signal.{name})", calls=2)
    status, _, err = run(*FIT, *longer, CALLBACK)
    assert status == 128 + getattr(signal, name)
    steps = 2 if hook == "on_train_batch_start" else 4
    assert f"{name}: training stopped after step {steps}; {LAST} was written" in err
    assert torch.load(LAST, weights_only=False)["global_step"] == steps
    status, _, err = run(*FIT, *longer, "--ckpt_path", "last")
    assert status == 0, err
    assert learnt() == learnt("whole/checkpoints/last.ckpt")
    assert _epochs() == 2


def test_a_second_signal_ends_at_once(run):
    ended("on_train_batch_start", "[os.kill(os.getpid(), signal.SIGTERM) for _ in range(2)]")
    assert run(*FIT, CALLBACK)[0] == 128 + signal.SIGTERM
    assert not LAST.exists()


def test_a_hangup_that_is_ignored_stays_ignored(run):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ended("on_train_batch_start", "os.kill(os.getpid(), signal.SIGHUP)")
        status, _, err = run(*FIT, CALLBACK)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert status == 0, err


def test_a_test_ends_at_once(run):
    status, _, err = run(*FIT)
    assert status == 0, err
    ended("on_test_batch_start", "os.kill(os.getpid(), signal.SIGTERM)")
    test = ("test", "--config", "run/config.yaml", "--ckpt_path", "last")
    assert run(*test, CALLBACK)[0] == 128 + signal.SIGTERM


def test_a_job_that_slurm_will_end_is_put_into_the_queue_again(run, monkeypatch):
    Path("bin").mkdir()
    Path("bin/scontrol").write_text("#!/bin/sh\necho $@ > requeued\n")
    Path("bin/scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"bin:{os.environ['PATH']}")
    slurm = {"NTASKS": 1, "JOB_ID": 12, "JOB_NAME": "x", "PROCID": 0, "LOCALID": 0, "NODEID": 0}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    ended("on_train_batch_start", "os.kill(os.getpid(), signal.SIGUSR1)")
    assert run(*FIT, CALLBACK)[0] == 128 + signal.SIGUSR1
    assert Path("requeued").read_text() == "requeue 12\n"
    assert LAST.exists()


def test_a_full_disk_ends_training_with_one_sentence_and_keeps_the_last_checkpoint(run):
    status, _, err = run(*FIT)
    assert status == 0, err
    complete = learnt()
    half = LAST.stat().st_size // 2
    full = process(
        *FIT, "--ckpt_path", "last", "--trainer.max_epochs", "3",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (half, half)),
    )  # fmt: skip
    _, err = full.communicate(timeout=WAIT)
    assert full.returncode == 2
    assert "Traceback" not in err
    (message,) = [line for line in err.splitlines() if "error" in line]
    assert re.search(r"run/checkpoints/(best|last)\.ckpt: File too large\. .*resumed", message)
    assert learnt() == complete
    assert {path.name for path in LAST.parent.iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_named(refused):
    Path("run").mkdir(mode=0o555)
    assert refused(*FIT).startswith("run/.lock: Permission denied. ")


def test_a_file_in_the_place_of_the_runs_folder_is_named(refused):
    Path("run").touch()
    assert refused(*FIT).startswith("run: File exists. ")


@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork"])
def test_a_signal_to_one_of_two_processes_stops_both(workplace, strategy):
    ended("on_train_batch_start", "os.kill(os.getpid(), signal.SIGTERM)")
    text = Path("ended.py").read_text()
    only = "if self.calls == 0 and arguments[0].global_rank == 0:"
    Path("ended.py").write_text(text.replace("if self.calls == 0:", only))
    two = ("--trainer.devices", "2", "--trainer.strategy", strategy, "--trainer.max_epochs", "9")
    started = process(*FIT, *two, CALLBACK)
    assert started.wait(WAIT) == 128 + signal.SIGTERM
    assert "SIGTERM: training stopped after step 1" in started.stderr.read()
    states = torch.load(LAST, weights_only=False)["random_states"]
    assert len(states) == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_ends_the_others_and_is_named(workplace, rank):
    ended("on_train_batch_start", "os.kill(os.getpid(), signal.SIGKILL)", calls=3)
    text = Path("ended.py").read_text()
    only = f"if self.calls == 0 and arguments[0].global_rank == {rank}:"
    Path("ended.py").write_text(text.replace("if self.calls == 0:", only))
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_epochs", "9")
    started = process(*FIT, *two, CALLBACK)
    _, err = started.communicate(timeout=60 + WAIT)  # both processes hold the pipe until they end
    assert started.returncode in (2, -signal.SIGKILL)
    if rank:  # named by us or, if it is faster, by Lightning, which then ends process 0
        ours = "process 0 of 2 stops, because process 1 was ended by SIGKILL"
        assert re.search(rf"{ours}|\[rank: 1\] Child process .* terminated with code -9", err)
    else:
        assert "error: process 1 of 2 stops, because another process" in err
    assert not [line for line in err.splitlines() if "Traceback" in line]


def test_torchrun_starts_again_from_the_last_checkpoint(workplace):
    once = "open('died', 'x').close(), os.kill(os.getpid(), signal.SIGKILL)"
    ended("on_train_batch_start", once, calls=4)
    text = Path("ended.py").read_text()
    only = "if self.calls == 0 and arguments[0].global_rank == 1 and not os.path.exists('died'):"
    Path("ended.py").write_text(text.replace("if self.calls == 0:", only))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    restarts = ["--nproc-per-node=2", "--max-restarts=1", "-m", "lightning_seg.cli"]
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_epochs", "6")
    started = subprocess.run(
        [*torchrun, *restarts, *FIT, *two, "--data.batch_size=1", CALLBACK, "--ckpt_path=auto"],
        capture_output=True, text=True, check=False, timeout=WAIT,
        env=os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    assert Path("died").exists()
    assert _epochs() == 6
    assert len(read_lines(Path("run/environment.jsonl"))) == 2


def test_a_run_killed_between_its_first_record_and_its_first_checkpoint_is_begun_again(run):
    ended("on_save_checkpoint", "os.kill(os.getpid(), signal.SIGKILL)")
    killed = process(*FIT, CALLBACK, "--trainer.limit_val_batches", "0")
    assert killed.wait(WAIT) == -signal.SIGKILL, killed.stderr.read()
    assert _epochs() == 1
    assert not LAST.exists()
    status, _, err = run(*FIT, "--trainer.max_epochs", "2")
    assert status == 0, err
    assert _epochs() == 2


def test_auto_begins_a_run_and_then_resumes_it(run):
    for epochs in (1, 2, 2):
        status, _, err = run(*FIT, "--ckpt_path", "auto", "--trainer.max_epochs", str(epochs))
        assert status == 0, err
        assert _epochs() == epochs
    assert len(Path("run/environment.jsonl").read_text().splitlines()) == 3


@pytest.mark.timeout(2 * WAIT)
def test_two_fits_do_not_share_a_folder(run):
    ended("on_train_batch_start", "import time; time.sleep(3600)")
    first = process(*FIT, CALLBACK, "--data.num_workers", "1", start_new_session=True)
    try:
        deadline = time.monotonic() + WAIT
        while not Path("run/environment.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        status, _, err = run(*FIT)
        assert status == 2
        assert f"run: another fit (process {first.pid} on " in err
        first.kill()  # but not its data worker, which ends a little later
        first.wait()
        status, _, err = run(*FIT)
        assert status == 0, err
    finally:
        with suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)


def test_checkpoints_of_another_program_do_not_make_a_folder_a_runs(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "theirs.ckpt").touch()
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="test belongs to no run"):
        refuse_foreign_folder(tmp_path)


@pytest.mark.parametrize("folder", ["", "."])
def test_the_persons_own_configuration_is_never_replaced(refused, folder):
    before = Path("config.yaml").read_text()
    message = refused("fit", "--config", "config.yaml", f"--run_dir={folder}")
    assert ("belongs to no run" if folder else "--run_dir is empty") in message
    assert Path("config.yaml").read_text() == before


def test_a_runs_configuration_is_one_file_and_written_once(run):
    config = yaml.safe_load(Path("config.yaml").read_text())
    for part in ("data", "model"):
        Path(f"{part}.yaml").write_text(yaml.safe_dump(config[part]))
        config[part] = f"{part}.yaml"
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert run(*FIT)[0] == 0
    for name in ("config.yaml", "data.yaml", "model.yaml"):
        Path(name).unlink()
    written = Path("run/config.yaml").read_bytes()
    own = ("--config", "run/config.yaml", "--ckpt_path", "last")
    flipped = ("--model.inference=TestTimeAugmentation", "--model.inference.flip=true")
    for command, folder in (("validate", "val"), ("test", "test"), ("predict", "predict")):
        status, _, err = run(command, *own, *flipped)
        assert status == 0, err
        used = yaml.safe_load(Path("run", folder, "config.yaml").read_text())
        assert used["model"]["init_args"]["inference"]["flip"] is True
    assert run("test", *own, "--data.num_classes", "5")[0] == 2
    assert run("fit", *own, "--trainer.max_epochs", "2")[0] == 0
    assert Path("run/resumed/config.yaml").exists()
    assert Path("run/config.yaml").read_bytes() == written
    assert not list(Path("run").glob("*/*data.yaml")) + list(Path("run").glob("data.yaml"))
    metrics = []
    for _ in range(2):
        assert run("test", *own)[0] == 0
        metrics.append(json.loads(Path("run/test/metrics.json").read_text()))
    assert metrics[0] == metrics[1]
