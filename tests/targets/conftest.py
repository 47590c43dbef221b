"""Location of the reference values."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip(f"the reference values are not at {folder}")
    return folder
