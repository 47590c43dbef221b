"""The short form of the check of mangled files, and the findings of its long form."""

import sys

import pytest
from faults.mangled_files import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are POSIX's")


def test_mangled_files_are_read_or_refused_by_name_within_a_limit_of_memory():
    outcomes, failures, _ = run(count=240, seed=1)
    assert not failures, next(iter(failures.values()))
    assert any(name.endswith("read") for name in outcomes)
