"""Files that this program did not write, or that somebody changed since, are never replaced."""

import os
import shutil
import subprocess
import sys

import pytest

from lightning_seg.errors import InputError
from lightning_seg.own_files import complete_own, refuse_foreign, write_own


def test_own_files_are_replaced_again_and_again(tmp_path):
    for content in ("one", b"two", "three"):
        write_own(tmp_path / "a.txt", content)
    (tmp_path / "partial").write_text("four")
    complete_own(tmp_path / "partial", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "four"


def test_a_file_written_just_before_a_kill_is_known(tmp_path, monkeypatch):
    """Its content is noted before it gets its name."""
    write_own(tmp_path / "a.txt", "one")

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_own(tmp_path / "a.txt", "two")
    monkeypatch.undo()
    write_own(tmp_path / "a.txt", "three")
    (tmp_path / "a.txt").write_text("two")
    write_own(tmp_path / "a.txt", "four")


def test_what_another_process_wrote_meanwhile_is_known(tmp_path):
    write_own(tmp_path / "a.txt", "one")
    script = f"""
from pathlib import Path
from lightning_seg.own_files import write_own
write_own(Path({str(tmp_path / "b.txt")!r}), "two")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    write_own(tmp_path / "b.txt", "three")
    assert (tmp_path / "b.txt").read_text() == "three"


def test_a_removed_folder_begins_anew(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in "abc":
        write_own(folder / f"{name}.txt", "one")
    shutil.rmtree(folder)
    folder.mkdir()
    write_own(folder / "d.txt", "one")
    (folder / "a.txt").write_text("one")
    with pytest.raises(InputError, match=r"a.txt was not written by lightning-seg"):
        write_own(folder / "a.txt", "two")


@pytest.mark.parametrize("kind", ["foreign", "changed", "renamed", "link", "dangling", "folder"])
def test_everything_else_is_refused_and_kept(tmp_path, kind):
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    if kind == "foreign":
        path.write_text("mine")
    elif kind == "changed":
        write_own(path, "one")
        path.write_text("mine")
    elif kind == "renamed":
        write_own(other, "one")
        other.rename(path)
    elif kind == "folder":
        path.mkdir()
    else:
        write_own(path, "one")
        path.rename(other)
        path.symlink_to(other if kind == "link" else tmp_path / "none")
    before = os.lstat(path)
    with pytest.raises(InputError, match=r"a.txt was not written by lightning-seg"):
        write_own(path, "two")
    assert os.lstat(path) == before


def test_a_folder_that_is_a_link_makes_no_difference(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "masks")
    with pytest.raises(InputError, match="never replaced"):
        refuse_foreign([tmp_path / "out" / "a.png"])


def test_case_makes_no_difference_to_what_is_known(tmp_path):
    """On a file system that ignores case, ``A.png`` names the file written as ``a.png``."""
    write_own(tmp_path / "a.png", "one")
    (tmp_path / "a.png").rename(tmp_path / "A.png")
    write_own(tmp_path / "A.png", "two")


def test_files_of_another_run_are_kept_also_after_both_moved(tmp_path):
    write_own(tmp_path / "here" / "out" / "a.png", "one", tmp_path / "here" / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    path = tmp_path / "there" / "out" / "a.png"
    with pytest.raises(InputError, match=r"belongs to another run, .*there/run"):
        write_own(path, "two", tmp_path / "there" / "another")
    assert path.read_text() == "one"
    write_own(path, "two", tmp_path / "there" / "run")
