"""Shared paths of the tests."""

import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Several test processes share the cores; and what forks should not have started threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# The same examples in every run: a test passes or fails whoever runs it.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def _as_nondeterministic_as_before():
    """Undo ``Trainer(deterministic=True)``, which affects the whole process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """Folder of the real CamVid frames, if this machine has them."""
    root = SHARED / "data" / "camvid"
    if not root.is_dir():
        pytest.skip(f"the CamVid frames are not at {root}")
    return root
