"""Callbacks in other projects' own modules, which `make check-others` runs with more projects."""

from importlib import import_module

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("project", ["segmentation_models_pytorch", "transformers", "monai"])
def test_a_project_is_measured(project, tmp_path):
    import_module(f"use_{project}").check(tmp_path)
