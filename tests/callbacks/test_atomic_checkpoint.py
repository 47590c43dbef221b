import os
import random
import signal
import time

import pytest
import torch
from clean_processes import in_clean_process

from lightning_seg.callbacks import AtomicCheckpointIO


def test_a_saved_checkpoint_loads(tmp_path):
    path = tmp_path / "deep" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"a": torch.arange(3)}}, path)
    state = AtomicCheckpointIO().load_checkpoint(path)["state_dict"]
    assert torch.equal(state["a"], torch.arange(3))
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_no_file_is_written_to_the_system_temp_folder(tmp_path, monkeypatch):
    """It may be on another file system, where moving a file copies it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").is_file()


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    first = {"epoch": 1, "state_dict": {"a": torch.tensor(1.0)}}
    AtomicCheckpointIO().save_checkpoint(first, path)
    with pytest.raises(AttributeError):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2, "bad": lambda: None}, path)
    assert AtomicCheckpointIO().load_checkpoint(path) == first
    assert os.listdir(tmp_path) == ["last.ckpt"]


@in_clean_process
def test_a_kill_at_any_time_leaves_a_complete_checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    weights = torch.rand(2_000_000)
    AtomicCheckpointIO().save_checkpoint({"epoch": 0, "state_dict": {"a": weights}}, path)
    chance = random.Random(0)
    for _ in range(8):
        child = os.fork()
        if child == 0:
            epoch = 0
            while True:
                epoch += 1
                AtomicCheckpointIO().save_checkpoint(
                    {"epoch": epoch, "state_dict": {"a": weights}}, path
                )
        time.sleep(chance.uniform(0.02, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert torch.equal(AtomicCheckpointIO().load_checkpoint(path)["state_dict"]["a"], weights)
