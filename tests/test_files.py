import errno
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from clean_processes import in_clean_process

from lightning_seg.callbacks.run_record import read_lines
from lightning_seg.files import append, atomic_file, partial_path, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from lightning_seg.files import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_write_left_is_removed_by_the_next_process(tmp_path):
    path = tmp_path / "last.ckpt"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 1
    write_atomically(path, "complete")
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_what_other_running_processes_write_stays(tmp_path):
    init = tmp_path / f".partial-{os.uname().nodename}-1-0-a.tif"
    elsewhere = tmp_path / ".partial-another-machine-1-0-b.tif"
    forgotten = tmp_path / ".partial-another-machine-1-0-c.tif"
    for path in (init, elsewhere, forgotten):
        path.touch()
    os.utime(forgotten, (time.time() - 2 * 24 * 3600,) * 2)
    partial_path(tmp_path / "a.tif")
    assert set(tmp_path.iterdir()) == {init, elsewhere}


def test_digits_in_a_machines_name_are_not_a_process(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "ip-10-1")
    gone = tmp_path / ".partial-ip-10-1-99999999-0-a.ckpt"
    other = tmp_path / ".partial-ip-10-99999999-0-a.ckpt"  # of a machine named ip-10
    gone.touch()
    other.touch()
    partial_path(tmp_path / "a.ckpt")
    assert list(tmp_path.iterdir()) == [other]


def limit(size):
    """Limit the size of this process's files, as a full disk would."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@in_clean_process
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "last.ckpt"
    write_atomically(path, "old")
    limit(1_000_000)
    with pytest.raises(OSError, match=r"last\.ckpt") as caught, atomic_file(path) as file:
        torch.save({"weights": torch.zeros(1_000_000)}, file)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["last.ckpt"]


@in_clean_process
def test_a_line_is_appended_whole_or_not_at_all(tmp_path):
    path = tmp_path / "epochs.jsonl"
    append(path, '{"epoch": 0}\n')
    limit(20)
    with pytest.raises(OSError, match=r"epochs\.jsonl"):
        append(path, '{"epoch": 1}\n')
    assert path.read_text() == '{"epoch": 0}\n'


def test_a_line_that_a_kill_cut_off_is_not_read_and_is_replaced(tmp_path):
    path = tmp_path / "epochs.jsonl"
    path.write_text('{"epoch": 0}\n{"epo')
    assert read_lines(path) == [{"epoch": 0}]
    append(path, '{"epoch": 1}\n')
    assert read_lines(path) == [{"epoch": 0}, {"epoch": 1}]
